"""What could not be applied to a view: set aside on disk by name, told until it is removed."""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from fustor_core.engine import sentence
from fustor_core.frames import BatchHead
from fustor_core.state.files import FOLDER_MODE, write_atomic

KEPT = 100
"""Those that no start needs any more are kept up to here, newest first."""
TOLD = 5
TRACE_MOST = 20_000
NOTE, FRAME = ".json", ".frame"


class SetAside(msgspec.Struct, frozen=True):
    """One input of the fold that failed; its frame lies beside the note that holds this.

    Attributes:
        lsn, kind: of its frame in the journal. digest: of the frame.
        at_us: fusion time of its arrival. wall_ns: wall time of it, shown only.
        agent, session: whose batch it was, "" for what a person asked for.
        claims: indexes of those that failed, when the rest of a batch counts; none: all of it.
        error: what went wrong. trace: where, for those who mend it.
    """

    lsn: int
    kind: int
    digest: str
    at_us: int
    wall_ns: int
    agent: str
    session: str
    error: str
    claims: list[int] = []
    trace: str = ""

    @property
    def name(self) -> str:
        """Of its files, without the ending."""
        return f"{self.lsn:012d}"


class Quarantine:
    """One view's inputs that could not be applied.

    Args:
        folder: made with the first of them. on_alarm: told a sentence for each.
    """

    def __init__(self, folder: Path, on_alarm: Callable[[str], None]) -> None:
        self.folder = folder
        self._on_alarm = on_alarm
        self._all: dict[int, SetAside] = {}

    def __repr__(self) -> str:
        return f"<Quarantine {self.folder}: {len(self._all)}>"

    def open(self) -> None:
        """Read what lies there."""
        self._all = {}
        for path in sorted(self.folder.glob(f"*{NOTE}")):
            try:
                one = msgspec.json.decode(path.read_bytes(), type=SetAside)
            except (OSError, msgspec.DecodeError):
                continue  # its frame fails again, and is set aside again
            self._all[one.lsn] = one

    def get(self, lsn: int, frame: bytes | memoryview) -> SetAside | None:
        """What was set aside of the frame of this number, None when nothing was."""
        one = self._all.get(lsn)
        return one if one is not None and one.digest == _digest(frame) else None

    def put(
        self,
        lsn: int,
        kind: int,
        frame: bytes | memoryview,
        error: Exception,
        head: BatchHead | None,
        claims: Sequence[int] = (),
    ) -> None:
        """Set a frame aside.

        Args:
            error: why. head: the batch's, None for what is none. claims: as in `SetAside`.
        """
        trace = "".join(traceback.format_exception(error))[-TRACE_MOST:]
        one = SetAside(
            lsn,
            kind,
            _digest(frame),
            head.arrival_us if head is not None else 0,
            head.wall_ns if head is not None else 0,
            head.agent if head is not None else "",
            head.session if head is not None else "",
            sentence(error),
            list(claims),
            trace,
        )
        self._all[lsn] = one
        what = f"a batch of agent {one.agent}" if head is not None else "what was asked for"
        what = f"{len(claims)} of the claims of {what}" if claims else what
        where = f"the batch lies in {self.folder / one.name}{FRAME}"
        try:
            self.folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            write_atomic(self._file(one, FRAME), bytes(frame))
            write_atomic(self._file(one, NOTE), msgspec.json.encode(one))
        except OSError as fault:
            where = f"it could not be kept beside the state ({fault.strerror})"
        self._on_alarm(
            f"{what} could not be applied ({one.error}): nothing of that is in the view, and what "
            f"it is about will be looked at again; {where}"
        )

    def prune(self, lsn: int) -> None:
        """No start reads the journal up to `lsn` any more: of those only so many are kept."""
        done = sorted(number for number in self._all if number <= lsn)
        for number in done[:-KEPT]:
            one = self._all.pop(number)
            for ending in (NOTE, FRAME):
                self._file(one, ending).unlink(missing_ok=True)

    def document(self) -> dict[str, Any] | None:
        """For ViewStatus: how many there are, the newest, and what to do; None when there is none.

        A note that a person has removed is told no longer.
        """
        if not self._all:
            return None
        there = {path.name for path in self.folder.glob(f"*{NOTE}")}
        shown = [one for _, one in sorted(self._all.items()) if one.name + NOTE in there]
        if not shown:
            return None
        return {
            "count": len(shown),
            "newest": [
                {
                    "name": one.name,
                    "agent": one.agent or None,
                    "claims": len(one.claims) or None,
                    "error": one.error,
                    "wall_ns": one.wall_ns,
                }
                for one in reversed(shown[-TOLD:])
            ],
            "remedy": f"send the files in {self.folder} with a report, then remove them; what they "
            "are about is listed again, and is not complete until then",
        }

    def _file(self, one: SetAside, ending: str) -> Path:
        return self.folder / (one.name + ending)


def _digest(frame: bytes | memoryview) -> str:
    return hashlib.blake2b(frame, digest_size=16).hexdigest()
