"""Journalled inputs into the fold of a view, and out of it again where one of them failed.

Nobody foresees all faults of drivers. An input that fails in the fold is set aside (`Quarantine`):
the view becomes what it was before, from its last checkpoint and the journal, and what the input
was about is owed a look. The state stays the fold over the journal, here as at the next start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import msgspec

from fustor_core import frames
from fustor_core.admission import NAMED_MOST
from fustor_core.claims import Batch, Quarantined, decode_batch
from fustor_core.contracts import Durable, Moment, View
from fustor_core.engine import attempted, sentence
from fustor_core.fold import Fold, Folded
from fustor_core.frames import BatchHead, Meta, OweLook
from fustor_core.journal import Journal
from fustor_core.quarantine import Quarantine

OF_VIEW = frozenset({frames.BATCH, frames.FORGET, frames.CONFIRM, frames.OWE})
CLAIMS_MOST = 8
"""Claims of a batch that may fail while the others count; each costs as much as a start."""
TRIES = 100
"""Inputs that were fine before and fail when they are folded again: so many are set aside too."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A batch that was folded; `head` names what of it was set aside."""

    head: BatchHead
    batch: Batch
    folded: Folded


class Replay:
    """The inputs of one view's fold.

    Args:
        view: the driver. fold: its fold. folder: the view's in the state directory.
        on_alarm: told of what is set aside, and of what cannot be undone.

    Attributes:
        journal: where inputs stand; given before anything is folded. name: of the view.
    """

    journal: Journal
    name: str

    def __init__(
        self, view: View, fold: Fold, folder: Path, on_alarm: Callable[[str], None]
    ) -> None:
        self.quarantine = Quarantine(folder / "quarantine", on_alarm)
        self._view, self._fold, self._folder = view, fold, folder
        self._on_alarm = on_alarm
        self._at: tuple[int, int, memoryview] | None = None

    def __repr__(self) -> str:
        return f"<Replay of {self._folder}>"

    def fold_in(self, lsn: int, kind: int, frame: memoryview) -> Taken | None:
        """Fold one frame, by the same code as live; what it takes is told when it is a batch.

        Raises:
            Exception: whatever drivers raise; `set_aside` is for that.
        """
        aside = self.quarantine.get(lsn, frame)
        if kind == frames.BATCH:
            if aside is not None and not aside.claims:
                return self._spare(frame)
            return self._batch(frame, aside.claims if aside is not None else ())
        if aside is not None:
            return None
        if kind == frames.FORGET:
            self._fold.forget(frames.decode(frame, frames.Forget).keys)
        elif kind == frames.CONFIRM:
            self._fold.confirm(frames.decode(frame, frames.Confirm))
        elif kind == frames.OWE:
            self._fold.owe(frames.decode(frame, frames.OweLook))
        return None

    def _batch(self, frame: memoryview, aside: Sequence[int] = ()) -> Taken:
        head, body = frames.read_batch_frame(frame)
        batch, folded = decode_batch(body), Folded()
        for part in self._fold.batch(head, batch, self._moment(head), aside):
            folded = part
        return Taken(_without(head, batch, aside) if aside else head, batch, folded)

    def _moment(self, head: BatchHead) -> Moment:
        storage = self._fold.lag.watermark(head.wall_ns)
        return Moment(head.arrival_us, head.wall_ns, storage, None, True, 0)

    # ---- what failed

    def set_aside(self, lsn: int, kind: int, frame: memoryview, error: Exception) -> Taken | None:
        """A frame could not be folded: it is undone, and folded without the claims that failed.

        Where it fails without one of its claims, or too many fail, it is set aside as a whole. What
        was not taken is kept in the quarantine, and what it is about is owed.

        Args:
            error: why.

        Returns:
            for a batch, what came of it; None for what names no session.
        """
        head = frames.read_batch_frame(frame)[0] if kind == frames.BATCH else None
        aside: list[int] = []
        whole, taken = True, cast("Taken | Exception", error)
        while isinstance(taken, Exception):
            at = self._fold.at
            self._fold.undone(head)
            whole = not self._fold.touched or self._undo(lsn)
            if head is None or not whole or at < 0 or len(aside) == CLAIMS_MOST:
                aside = []
                break
            aside.append(at)
            taken = attempted(partial(self._batch, frame, aside))
        self.quarantine.put(lsn, kind, frame, error, head, aside)
        if not isinstance(taken, Exception):
            return taken
        if head is None:
            return None
        if not whole:
            self._owe_all(head)
        return self._spare(frame)

    def _spare(self, frame: memoryview) -> Taken | None:
        """What a batch that was set aside leaves behind."""
        head, body = frames.read_batch_frame(frame)
        batch = attempted(partial(decode_batch, body))
        if isinstance(batch, Exception):
            self._owe_all(head)
            return None
        folded = attempted(partial(self._fold.spare, head, batch, self._moment(head)))
        if isinstance(folded, Exception):
            self._owe_all(head)
            folded = Folded()
        return Taken(_without(head, batch, range(len(batch.claims))), batch, folded)

    def _owe_all(self, head: BatchHead) -> None:
        """Not even what it is about can be told: everything is owed."""
        asked = OweLook(b"/", True, head.arrival_us, head.wall_ns)
        error = attempted(partial(self._fold.owe, asked))
        if isinstance(error, Exception):
            self._on_alarm(f"nothing can be owed either ({sentence(error)}): restart fusion")

    def _undo(self, before: int) -> bool:
        """Make the view what it was before a frame; False when that cannot be."""
        error: object = "its driver keeps nothing"
        for _ in range(TRIES if isinstance(self._view, Durable) else 0):
            error = attempted(partial(self._again, before))
            if not isinstance(error, Exception):
                return True
            at, self._at = self._at, None
            if at is None:
                break
            lsn, kind, frame = at
            head = frames.read_batch_frame(frame)[0] if kind == frames.BATCH else None
            self.quarantine.put(lsn, kind, frame, error, head)
        self._on_alarm(
            f"what was begun could not be undone ({error}): everything is looked at again; "
            "restart fusion when this is told again"
        )
        return False

    def _again(self, before: int) -> None:
        assert isinstance(self._view, Durable)
        lsn, raw = self._view.open(self._folder, self.name)
        meta = frames.decode(raw, Meta) if raw else None
        with self._fold.rewinding(meta):
            for number, kind, frame in self.journal.replay(lsn):
                if number >= before:
                    return
                if kind in OF_VIEW:
                    self._at = number, kind, frame
                    self.fold_in(number, kind, frame)
                    self._at = None


def _without(head: BatchHead, batch: Batch, aside: Iterable[int]) -> BatchHead:
    """The head of a batch of which these claims were set aside; the reply names them."""
    skipped = frozenset(head.skipped)
    fresh = [i for i in aside if i not in skipped]
    more = [Quarantined(i, "set_aside", getattr(batch.claims[i], "name", None)) for i in fresh]
    named = (*head.refused, *more)[:NAMED_MOST]
    return msgspec.structs.replace(head, refused=named, skipped=sorted([*skipped, *fresh]))
