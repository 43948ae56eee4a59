"""What of a batch can be taken, and when its looks were in fusion time. Pure.

Stamps are mapped once, on arrival. A claim that cannot be taken is quarantined and named in the
reply; the rest of its batch counts. Of a listing with rows that cannot be, the other rows count.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import msgspec

from fustor_core.claims import (
    NAME_BYTES_MAX,
    ROW_BYTES,
    Batch,
    Cell,
    Claim,
    Key,
    Listing,
    Many,
    Origin,
    Owe,
    Quarantined,
    Root,
    is_dir,
    split_names,
)
from fustor_core.clock import NEVER, OffsetBounds
from fustor_core.soundness import KINDS, Stores, fault, sorted_fault, stores

NAMED_MOST = 1000
"""Quarantined claims and rows that a reply names; all of them leave their directory owed."""

STAMP_MOST = 1 << 62
TEXT_MOST = 4096
REASON_MOST = 64
AHEAD_US = 1_000
_U64 = (1 << 64) - 1
_I63 = 1 << 63


@dataclass(slots=True)
class Admission:
    """The outcome for one batch.

    Attributes:
        stamps: (lo, hi) of each claim in fusion µs. skipped: indexes of the claims that are
            quarantined whole. refused: what the reply names.
        root_proven: whether the session's root stands proven after this batch.
        foreign: another storage stands at the session's root, or none, as far as it has told.
        denied: end of the last look that found so, by the agent's clock. proved: begin of the last
            one that found the right root.
        alarm: what a person should hear about the root, "" for nothing.
    """

    stamps: list[tuple[int, int]]
    skipped: list[int]
    refused: list[Quarantined]
    root_proven: bool
    foreign: bool = False
    denied: int = NEVER
    proved: int = NEVER
    alarm: str = ""


def admit(
    batch: Batch,
    bounds: OffsetBounds,
    now_us: int,
    *,
    identity: str,
    root: Key | None,
    root_proven: bool,
    foreign: bool = False,
    denied: int = NEVER,
    proved: int = NEVER,
    compiled: Stores | None = None,
) -> Admission:
    """Map all stamps and say which claims cannot be taken.

    Args:
        bounds: of the session's line. now_us: fusion time of the arrival.
        identity, root: the view's root as first proven, "" and None before.
        root_proven, foreign, denied, proved: by this session, so far.
        compiled: what is asked instead of `stores`.
    """
    sound = compiled or stores
    out = Admission([], [], [], root_proven, foreign, denied, proved)
    for i, claim in enumerate(batch.claims):
        faultless = isinstance(claim, Listing) and _faultless(claim, sound)
        why, stamp = "" if faultless else _absurd(claim), claim.stamp
        late = stamp.f < out.denied  # looked at before it was found to be another root, or none
        lo, hi = (now_us, now_us) if why else bounds.map(stamp.f, stamp.t, now_us)
        if lo > now_us + AHEAD_US:
            why, lo, hi = "stamp lies in the future", now_us, now_us
        if not -STAMP_MOST < lo <= hi:
            lo, hi = max(-STAMP_MOST, min(lo, hi)), max(-STAMP_MOST, hi)
        out.stamps.append((lo, hi))
        if faultless and not why and not _unproven(claim, out, late=late):
            continue
        if isinstance(claim, Root) and not why:
            same = claim.identity == (identity or claim.identity) and claim.key == (
                root or claim.key
            )
            if not (claim.present and same):
                out.denied = max(out.denied, stamp.t)
                if stamp.t > out.proved:  # else a later look has found the right one since
                    out.root_proven, out.foreign = False, True
                    out.alarm = _alarm(claim, identity)
                continue
            if not late:
                out.root_proven, out.foreign = True, False
                out.proved = max(out.proved, stamp.f)
                identity, root = claim.identity, claim.key
                continue
            why = "unproven_root"  # a scan's, which stood behind what a later look has found
        why = why or fault(claim)
        if not why and _unproven(claim, out, late=late):
            why = "unproven_root"
        if not why and isinstance(claim, Listing) and claim.names:
            why = sorted_fault(claim.names)
        if why:
            out.skipped.append(i)
            _name(out, Quarantined(i, why, getattr(claim, "name", None)))
        elif isinstance(claim, Listing):
            for name in bad_rows(claim):
                _name(out, Quarantined(i, "size is negative", name))
    return out


def without_skipped(batch: Batch, skipped: Collection[int]) -> Batch:
    """The batch without the claims that are quarantined whole: nobody may look into those."""
    if not skipped:
        return batch
    claims = [claim for i, claim in enumerate(batch.claims) if i not in skipped]
    return msgspec.structs.replace(batch, claims=claims)


def bad_rows(claim: Listing) -> list[bytes]:
    """Names of a well-formed listing whose rows cannot be."""
    if claim.rows[7::ROW_BYTES].isascii():  # highest byte of each size
        return []
    rows = (claim.rows[i : i + ROW_BYTES] for i in range(0, len(claim.rows), ROW_BYTES))
    return [n for n, row in zip(split_names(claim.names), rows, strict=True) if _bad(row)]


def without_bad_rows(claim: Listing) -> Listing:
    """The listing without the rows that cannot be: incomplete then, so its directory is owed."""
    bad = frozenset(bad_rows(claim))
    if not bad:
        return claim
    names = split_names(claim.names)
    kept = [i for i, name in enumerate(names) if name not in bad]
    return msgspec.structs.replace(
        claim,
        names=b"\0".join(names[i] for i in kept),
        rows=b"".join(claim.rows[i * ROW_BYTES : (i + 1) * ROW_BYTES] for i in kept),
        complete=False,
        reason="quarantine",
        errno=0,
    )


def usable(key: Key) -> bool:
    """Whether a key fits the columns of an edge, which is how parents name it."""
    dev, ino, birth = key
    return -_I63 <= dev < _I63 and 0 <= ino <= _U64 and -_I63 <= birth < _I63


def _faultless(claim: Listing, sound: Stores) -> bool:
    """Whether none of the checks finds anything, as of most listings: all of them at once."""
    stamp, own, via = claim.stamp, claim.own, claim.via
    if not (-STAMP_MOST < stamp.f <= stamp.t < STAMP_MOST and -STAMP_MOST < stamp.at < STAMP_MOST):
        return False
    if claim.reason or claim.weak or claim.digest is not None or stamp.kind not in KINDS:
        return False
    if not usable(claim.dir) or (own is not None and len(own) != ROW_BYTES):
        return False
    if via is not None and not (usable(via[0]) and _is_name(via[1])):
        return False
    return sound(claim.names, claim.rows)


def _bad(row: bytes) -> bool:
    return row[7] >= 0x80 and not is_dir(row)


def _unproven(claim: Claim, out: Admission, *, late: bool) -> bool:
    """What a watch has seen was seen below the root that it stands on; is that another storage, or
    gone, nothing of it counts: a watch that is armed anew meanwhile may stand on another one whose
    keys are the same as here. Nor does what comes late, from when it was so. What is owed may
    always be owed."""
    if not out.root_proven and claim.origin is not Origin.REALTIME:
        return True
    return (late or out.foreign) and not isinstance(claim, Owe)


def _name(out: Admission, one: Quarantined) -> None:
    if len(out.refused) < NAMED_MOST:
        out.refused.append(one)


def _absurd(claim: Claim) -> str:
    """Why nothing of a claim can be trusted to fit any column, or ""."""
    stamp = claim.stamp
    if not (-STAMP_MOST < stamp.f <= stamp.t < STAMP_MOST and -STAMP_MOST < stamp.at < STAMP_MOST):
        return "stamp is no interval of a clock"
    if len(stamp.kind) != 1:
        return "stamp is of an unknown kind"
    if isinstance(claim, Listing):
        if not usable(claim.dir):
            return "directory key does not fit its columns"
        return _absurd_listing(claim) if claim.reason or claim.weak or claim.via else ""
    if isinstance(claim, Cell):
        if not usable(claim.dir):
            return "directory key does not fit its columns"
        bad = claim.value is not None and len(claim.value) == ROW_BYTES and _bad(claim.value)
        return "size is negative" if bad else ""
    if isinstance(claim, Root):
        fits = usable(claim.key) and len(claim.identity) <= TEXT_MOST
        return "" if fits else "root is no key, or its identity too long"
    if isinstance(claim, Many):
        return ""  # its columns fit by their form
    if not usable(claim.dir):
        return "directory key does not fit its columns"
    if isinstance(claim, Owe) and len(claim.reason) > REASON_MOST:
        return "reason is too long"
    return ""


def _absurd_listing(claim: Listing) -> str:
    if len(claim.reason) > REASON_MOST:
        return "reason is too long"
    if not all(map(_is_name, claim.weak)):
        return "a weak name is no name"
    if claim.via is not None and not (usable(claim.via[0]) and _is_name(claim.via[1])):
        return "via is no register"
    return ""


def _is_name(name: bytes) -> bool:
    return (
        0 < len(name) <= NAME_BYTES_MAX
        and b"/" not in name
        and b"\0" not in name
        and name not in (b".", b"..")
    )


def _alarm(claim: Root, identity: str) -> str:
    seen = claim.reason or (f"found {claim.identity}" if claim.present else "nothing is there")
    if claim.present and claim.identity == identity:
        seen = f"another directory, or keys made another way: {claim.key}, birth {claim.birth}"
    return (
        f"the root is not the one that was watched ({seen}): nothing is "
        "taken from it; if it is right, give it a view of its own (`--name`)"
    )
