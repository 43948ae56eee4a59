"""Whole scans as fusion follows them: how far one has come, how many audits there were. Pure.

A leader says when a whole scan begins and when it was whole. Between the two its claims come in the
order of a walk, if the source keeps that order: then the path of the last one tells that everything
before it was looked at, and that is all that has to be kept for another leader to go on behind it.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from fustor_core.claims import BEGINS, WHOLE, Batch, Looked, Many, Origin, Root
from fustor_core.contracts import Rest
from fustor_core.frames import Audits, Course
from fustor_core.registers import Seen

PATH_BYTES_MOST = 8192  # that a leader is told; behind a longer one it does not go on
SCANS = frozenset({Origin.SNAPSHOT, Origin.AUDIT})


def proven(held: Audits, claim: Root, session: str, seen: Seen) -> Audits:
    """A session has proven the root, perhaps since a whole scan begins or is over."""
    course = held.course
    if claim.course == BEGINS:
        if not claim.after:
            ordered = claim.after is not None
            course = Course(session, claim.origin is Origin.AUDIT, ordered, seen.lo)
        elif course is not None:  # it goes on with what another has begun
            course = msgspec.structs.replace(course, session=session)
        return msgspec.structs.replace(held, course=course)
    if claim.course != WHOLE or course is None or course.session != session:
        return held
    if not course.audit:
        return msgspec.structs.replace(held, course=None)
    return Audits(held.count + 1, (seen.hi, (seen.hi - course.began_us) / 1e6), None)


def passed(held: Audits, session: str, batch: Batch, skipped: Collection[int]) -> Audits:
    """These claims are applied: how far the whole scan has come with them."""
    course = held.course
    if course is None or not course.ordered or course.session != session:
        return held
    after = course.after
    for index, claim in enumerate(batch.claims):
        if isinstance(claim, Root):
            after = b"" if claim.course == BEGINS and not claim.after else after
        elif isinstance(claim, Looked) and claim.origin in SCANS:
            if index in skipped and isinstance(claim, Many):  # all others leave a listing owed
                return msgspec.structs.replace(held, course=None)
            after = after if index in skipped else claim.path
    if after == course.after:
        return held
    return msgspec.structs.replace(held, course=msgspec.structs.replace(course, after=after))


def rest(held: Audits, session: str, now_us: int) -> Rest | None:
    """What a leader finds of a whole scan that another one has begun; None = nothing."""
    course = held.course
    if course is None or not course.after or course.session == session:
        return None
    if len(course.after) > PATH_BYTES_MOST:
        return None
    return Rest(course.after, course.session, (now_us - course.began_us) / 1e6)
