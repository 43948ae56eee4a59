"""What a journal directory still holds after a crash or damage: decided first, then made so.

A state is a fold over an unbroken prefix, so everything behind the first loss is set aside. A loss
that lies wholly at or before the checkpoint costs nothing and only gets reported.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from fustor_core.journal.frames import (
    FRAME,
    HEADER,
    Run,
    Segment,
    Survey,
    create_segment,
    segment_paths,
    survey_segment,
)


@dataclass(frozen=True, slots=True)
class TornTail:
    """Bytes behind the last whole frame of the last segment: a write that never finished."""

    path: Path
    offset: int
    bytes: int


@dataclass(frozen=True, slots=True)
class JournalDamage:
    """Frames that were there and cannot be used any more.

    Attributes:
        path: the file where the loss shows.
        reason: what was found, for people.
        first_lsn, last_lsn: the numbers lost at this place; `last_lsn` is None when nobody can
            tell. What was set aside behind them is lost to the state as well.
        needed: False when all of them are at or before the checkpoint.
        set_aside: files that now hold what was taken out; whole frames may be among it.
    """

    path: Path
    reason: str
    first_lsn: int
    last_lsn: int | None
    needed: bool
    set_aside: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Recovery:
    """What opening a journal found.

    Attributes:
        frames: whole frames that can be replayed.
        torn: the tail that was cut, or None.
        damage: every loss, oldest first.
    """

    frames: int
    torn: TornTail | None
    damage: tuple[JournalDamage, ...]

    @property
    def whole(self) -> bool:
        """True when nothing that the state still needs is lost (a torn tail apart)."""
        return not any(loss.needed for loss in self.damage)


class _Piece(NamedTuple):
    """A run and the lsn that must come right before it."""

    survey: Survey
    run: Run
    follows: int


@dataclass(slots=True)
class _Chain:
    kept: list[_Piece] = field(default_factory=list)
    losses: list[JournalDamage] = field(default_factory=list)
    cut: bool = False


def recover(
    folder: Path, after: int | None, fdatasync: Callable[[int], None]
) -> tuple[list[Segment], int, Recovery]:
    """Survey `folder`, cut a torn tail, set damage aside.

    A loss is declared by the header of a new segment before anything is moved, so that it is
    reported again at each opening until the checkpoint has passed it.

    Args:
        folder: the journal's directory; it exists.
        after: lsn up to which the state is safe elsewhere; None: not known, the journal is then
            believed to begin where its first segment does.
        fdatasync: makes a descriptor's data durable.

    Returns:
        segments in order; the highest lsn that may ever have been given out; the report.

    Raises:
        StateError: a segment of a newer format (nothing was touched).
    """
    surveys = [survey_segment(named, path) for named, path in segment_paths(folder)]
    chain = _chain(_pieces(surveys), after)
    segments = _segments(chain.kept)
    torn = None
    if surveys and not chain.cut:
        if surveys[-1].follows is not None or surveys[-1].runs:
            torn = _cut_tail(surveys[-1], segments)
        else:
            torn = _drop_headless(surveys[-1], segments, chain)
    highest = max([after or 0] + [_highest(survey, bool(chain.losses)) for survey in surveys])
    gone: list[Path] = []
    if not chain.cut or _declare(folder, segments, highest, after or 0, fdatasync):
        gone = _set_rest_aside(surveys, segments, chain.cut)
    if chain.cut:
        chain.losses[-1] = replace(chain.losses[-1], set_aside=tuple(gone))
    frames = sum(segment.last - segment.first + 1 for segment in segments)
    return segments, highest, Recovery(frames, torn, tuple(chain.losses))


def _highest(survey: Survey, damaged: bool) -> int:
    """Upper bound of the numbers in a file; its unreadable bytes may have held frames too."""
    last = survey.runs[-1].last if survey.runs else survey.named - 1
    return last + (survey.size - survey.end) // FRAME.size if damaged else last


def _pieces(surveys: Sequence[Survey]) -> list[_Piece]:
    """All runs in order, without those that a later segment's header has declared lost."""
    floor: int | None = None
    pieces: list[_Piece] = []
    for survey in reversed(surveys):
        runs = list(survey.runs)
        if not runs and survey.follows is not None:
            runs = [Run(HEADER.size, HEADER.size, survey.named, survey.named - 1)]
        for run in reversed(runs):
            if floor is not None and run.first > floor:
                continue
            declared = survey.follows if run.first == survey.named else None
            pieces.append(_Piece(survey, run, run.first - 1 if declared is None else declared))
        if survey.follows is not None:
            floor = survey.follows if floor is None else min(floor, survey.follows)
    pieces.reverse()
    return pieces


def _chain(pieces: Sequence[_Piece], after: int | None) -> _Chain:
    """Which pieces stay. Pure."""
    chain = _Chain()
    for piece in pieces:
        before = chain.kept[-1] if chain.kept else None
        last = before.run.last if before is not None else after
        if last is not None:
            lost_last = piece.run.first - 1
            needed = after is None or lost_last > after
            joins = _joins(before, piece, last)
            if not joins or (lost_last > last and needed):
                reason = "set aside earlier" if joins else _reason(before, piece)
                path = piece.survey.path
                chain.losses.append(JournalDamage(path, reason, last + 1, lost_last, needed))
            if not joins and needed:
                chain.cut = True
                break
        chain.kept.append(piece)
    return chain


def _joins(before: _Piece | None, piece: _Piece, last: int) -> bool:
    if before is None:
        return piece.follows <= last
    if before.survey is piece.survey and before.run.end != piece.run.start:
        return False
    return piece.follows == last


def _reason(before: _Piece | None, piece: _Piece) -> str:
    if before is not None and before.survey.fault:
        return before.survey.fault
    if piece.survey.fault and (piece.run.start > HEADER.size):
        return piece.survey.fault
    return "a segment is missing or broken"


def _segments(kept: Sequence[_Piece]) -> list[Segment]:
    """One segment a file. Of two runs in one file only the later is still needed."""
    segments: dict[Path, Segment] = {}
    for piece in kept:
        run, path = piece.run, piece.survey.path
        segments[path] = Segment(path, run.first, run.last, run.start, run.end)
    return list(segments.values())


def _drop_headless(survey: Survey, segments: Sequence[Segment], chain: _Chain) -> TornTail | None:
    """The last file has neither header nor frame: never finished, or broken."""
    if segments:
        segments[-1].closed = True
    if survey.size < HEADER.size:
        survey.path.unlink(missing_ok=True)
        return TornTail(survey.path, 0, survey.size)
    chain.losses.append(JournalDamage(survey.path, survey.fault, survey.named, None, True))
    chain.cut = True
    return None


def _declare(
    folder: Path,
    segments: list[Segment],
    highest: int,
    after: int,
    fdatasync: Callable[[int], None],
) -> bool:
    """Begin the segment whose header says that what lies before it is lost.

    False on a disk that cannot take it: everything then stays where it is and is found again.
    """
    follows = segments[-1].last if segments else after
    if segments:
        segments[-1].closed = True
    try:
        segments.append(create_segment(folder, highest + 1, follows, fdatasync)[0])
    except OSError:
        return False
    return True


def _set_rest_aside(
    surveys: Sequence[Survey], segments: Sequence[Segment], cut: bool
) -> list[Path]:
    """Move what belongs to no segment, and what stands behind the last kept frame, out."""
    ends = {segment.path: segment.end for segment in segments}
    kept = [survey for survey in surveys if survey.path in ends]
    gone: list[Path | None] = []
    if cut and kept and kept[-1].size > ends[kept[-1].path]:
        gone.append(_move_end(kept[-1].path, ends[kept[-1].path]))
    gone += [_move_whole(survey.path) for survey in surveys if survey.path not in ends]
    return [path for path in gone if path is not None]


def _cut_tail(survey: Survey, segments: list[Segment]) -> TornTail | None:
    """Cut what stands behind the last whole frame of the last segment."""
    tail = segments[-1]
    if survey.size == tail.end:
        return None
    try:
        with open(survey.path, "r+b") as stream:
            stream.truncate(tail.end)
            os.fsync(stream.fileno())
    except OSError:
        tail.closed = True  # the bytes stay; the next segment's header says that they do not count
        if tail.last < tail.first:  # but that one would have the same name
            segments.remove(tail)
            with suppress(OSError):
                tail.path.unlink()
    return TornTail(survey.path, tail.end, survey.size - tail.end)


def _move_whole(path: Path) -> Path | None:
    """Rename to ``*.damaged``; None when it fails or there is no such file any more."""
    target = _free_name(path.with_name(f"{path.name}.damaged"))
    try:
        path.rename(target)
    except OSError:
        return None
    return target


def _move_end(path: Path, offset: int) -> Path | None:
    """Copy the bytes from `offset` on to a ``*.damaged`` file, then cut them off."""
    target = _free_name(path.with_name(f"{path.name}.from-{offset}.damaged"))
    try:
        with open(path, "r+b") as stream, open(target, "xb") as copy:
            os.fchmod(copy.fileno(), 0o600)
            stream.seek(offset)
            shutil.copyfileobj(stream, copy)
            copy.flush()
            os.fsync(copy.fileno())
            stream.truncate(offset)
            os.fsync(stream.fileno())
    except OSError:
        target.unlink(missing_ok=True)
        return None
    return target


def _free_name(path: Path) -> Path:
    candidate, number = path, 1
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return candidate
