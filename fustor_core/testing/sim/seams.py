"""What the core takes from its surroundings by itself, replaced for the length of a run.

Most of it is given to the core as an argument (raw clocks, sleeps, jitter, folders). The rest is
here: wall time, random identities, worker threads and the file under the journal. A run gives all
of it back at its end, so that tests in the same process are not disturbed.
"""

from __future__ import annotations

import gc
import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, ClassVar, Protocol, Self

import anyio.to_thread

from fustor_core import keeping
from fustor_core.journal import Journal
from fustor_core.journal.log import SEGMENT_BYTES

DROPPED = "dropped"
ROLL_BYTES = 4 << 10
"""Runs are short: as often with a new segment behind a checkpoint as without."""


class Ground(Protocol):
    """What stands in for the surroundings: the machine of fusion."""

    def wall_ns(self) -> int: ...

    def write(self, fd: int) -> None: ...

    async def work(self, act: Callable[[], Any]) -> Any: ...

    def dropped(self) -> None: ...


class GroundJournal(Journal):
    """The journal, its file on the ground of the run."""

    ground: ClassVar[Ground]

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        after: int | None = None,
        segment_bytes: int = SEGMENT_BYTES,
        fdatasync: Callable[[int], None] | None = None,
    ) -> Self:
        """As `Journal.open`; what is made durable is up to the ground."""
        return super().open(
            folder, after=after, segment_bytes=segment_bytes, fdatasync=cls.ground.write
        )

    def drop_until(self, lsn: int) -> int:
        """As `Journal.drop_until`; what goes stays in `DROPPED`, for who replays all of it."""
        place = self.folder.with_name(DROPPED)
        place.mkdir(exist_ok=True)
        for segment in self._segments[:-1]:
            if segment.last <= lsn:
                os.link(segment.path, place / segment.path.name)
                self.ground.dropped()
        return super().drop_until(lsn)


@contextmanager
def replaced(ground: Ground, rng: Random) -> Iterator[None]:
    """Everything that the core does inside, it does on this ground."""
    modules: Any = (time, uuid, keeping, anyio.to_thread)
    clock, ids, state, threads = modules

    async def run_sync(act: Callable[..., Any], *args: Any, **_: Any) -> Any:
        return await ground.work(lambda: act(*args))

    before = clock.time_ns, ids.uuid4, state.Journal, threads.run_sync, state.ROLL_BYTES
    collects = gc.isenabled()
    GroundJournal.ground = ground
    clock.time_ns = ground.wall_ns
    ids.uuid4 = lambda: uuid.UUID(int=rng.getrandbits(128), version=4)
    state.Journal = GroundJournal
    threads.run_sync = run_sync
    state.ROLL_BYTES = ROLL_BYTES
    gc.disable()  # a run is short, and its end frees all of it
    try:
        yield
    finally:
        clock.time_ns, ids.uuid4, state.Journal, threads.run_sync, state.ROLL_BYTES = before
        if collects:
            gc.enable()
