"""The machine of fusion: its disk, its process, its boots."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import anyio
import anyio.abc

from fustor_core.contracts import Accept, Arbitrator, View
from fustor_core.errors import DiskFull, FustorError
from fustor_core.fold import Fold
from fustor_core.fusion import Fusion
from fustor_core.fusion_pipe import FusionPipeline
from fustor_core.peers import FusionOptions
from fustor_core.testing.sim.host import Machine
from fustor_core.testing.sim.options import Options

VIEW = "sim"
Told = Callable[[str], None]
Handle = Callable[[Accept], Awaitable[None]]


class Killed(OSError):
    """The process was killed in the middle of this."""


class Server:
    """Fusion on a virtual machine.

    Args:
        machine: its clocks. folder: its state directory, on a disk that loses what is not synced
            when the process is killed in a write. make: new drivers for each process.
        point, count: told the windows that are passed, and what happened.
        folded, started, answered, moved: given the fold before anything comes in; told that a
            process runs, that a request was answered, that a state machine moved.

    Attributes:
        door: the way in; None while no process runs. full: the disk takes nothing.
        runs: a process does, or begins to, and was not told to end.
        breaks: the next sync fails for good. struck: one did, in this process.
        alarms: what was told to people.

    A process that ends by itself although nothing was done to its disk is a crash of the core.
    """

    def __init__(
        self,
        machine: Machine,
        options: Options,
        folder: Path,
        make: Callable[[], tuple[View, Arbitrator]],
        *,
        rng: Random,
        point: Told,
        count: Told,
        folded: Callable[[Fold], None],
        started: Callable[[], None],
        answered: Callable[[], None],
        moved: Callable[[Any], None],
    ) -> None:
        self._moved = moved
        self._folded, self._started, self._answered = folded, started, answered
        self.machine, self.options, self.folder = machine, options, folder
        self._make, self._rng, self._point, self._count = make, rng, point, count
        self.pipeline: FusionPipeline | None = None
        self.door: Accept | None = None
        self.full = self.breaks = self.struck = False
        self.alarms: list[str] = []
        self.starts = 0
        self.runs = False
        self.kills = False
        self._scope: anyio.CancelScope | None = None
        self._group: anyio.abc.TaskGroup | None = None
        self._synced: dict[int, int] = {}
        self._idle: list[asyncio.Future[tuple[Handle, Accept]]] = []
        self.over = anyio.Event()

    def __repr__(self) -> str:
        return f"<Server {'up' if self.door else 'down'}>"

    # ---- the ground (see seams)

    def wall_ns(self) -> int:
        """The wall clock of fusion's host."""
        return self.machine.wall_ns()

    async def work(self, act: Callable[[], Any]) -> Any:
        """Something in a worker thread."""
        if self.kills:
            raise DiskFull("killed")
        self._point("disk.before")
        await self.machine.sleep(self._rng.uniform(0.0001, 0.003))
        if self.kills:
            raise DiskFull("killed")
        done = act()
        self._point("disk.after")
        return done

    def write(self, fd: int) -> None:
        """fdatasync of the journal.

        Raises:
            OSError: the disk is full or broken, or the process was killed in it.
        """
        self._point("disk.sync")
        if self.kills:
            self.struck = True
            self._tear(fd)
            raise Killed(errno.EIO, "killed")
        if self.full:
            self._count("disk.full")
            raise OSError(errno.ENOSPC, "planted")
        if self.breaks:
            self._count("disk.broken")
            self.breaks, self.struck = False, True
            raise OSError(errno.EIO, "planted")
        status = os.fstat(fd)
        self._synced[status.st_ino] = status.st_size

    def dropped(self) -> None:
        """A segment of the journal, behind a checkpoint."""
        self._count("disk.dropped")

    def _tear(self, fd: int) -> None:
        """Power went: of what was written and not synced, some may be there."""
        status = os.fstat(fd)
        safe = self._synced.get(status.st_ino, status.st_size)
        if safe < status.st_size:
            self._count("disk.torn")
            os.ftruncate(fd, self._rng.randrange(safe, status.st_size + 1))

    # ---- the process

    async def run(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        """One process, until it is killed or its disk breaks."""
        options = self.options
        view, arbitrator = self._make()
        self.over, self.kills, self.struck = anyio.Event(), False, False
        pipeline = FusionPipeline(
            FusionOptions(
                VIEW,
                session_timeout_s=options.session_timeout_s,
                audit_interval_s=options.audit_s,
                sentinel_interval_s=options.sentinel_s,
                max_sessions=20,
                loose_age_s=options.loose_age_s,
                hot_s=options.hot_s,
            ),
            view,
            arbitrator,
            self.folder,
            boot=self.machine.boot_id,
            on_alarm=self.alarms.append,
            on_move=self._moved,
            raw_us=self.machine.raw_us,
            sleep=self.machine.sleep,
        )
        self.starts += 1
        self._idle.clear()
        self.runs, begun = True, False
        try:
            pipeline.open()
            self._folded(pipeline.fold)
            self.pipeline = pipeline
            with anyio.CancelScope() as self._scope:
                async with anyio.create_task_group() as self._group:
                    await self._group.start(pipeline.run)
                    self._started()
                    self.door = Fusion({VIEW: pipeline})
                    begun = True
                    task_status.started()
        except* FustorError:
            if not (self.struck or self.kills or (self.full and not begun)):
                raise
            self._count("fusion.exits")  # the disk failed: the process ends, and verifies
            if not begun:
                task_status.started()
        finally:
            self.door = self._scope = self._group = None
            self.runs = False
            self.over.set()

    def kill(self) -> None:
        """kill -9."""
        if self._scope is not None:
            self.kills, self.door, self.runs = True, None, False
            self._scope.cancel()

    def end(self) -> None:
        """A clean stop."""
        if self._scope is not None:
            self.door, self.runs = None, False
            self._scope.cancel()

    def begin(self, act: Callable[[], Awaitable[object]]) -> None:
        """Somebody on this machine asks for something."""

        async def ask() -> None:
            with suppress(FustorError):
                await act()

        if self._group is not None:
            self._group.start_soon(ask)

    def arrived(self, handle: Handle) -> bool:
        """A request; False: nobody listens."""
        door, group = self.door, self._group
        if door is None or group is None:
            return False

        while self._idle:
            free = self._idle.pop()
            if not free.done():  # else a promise was broken, and all that waits is being cancelled
                free.set_result((handle, door))
                return True
        group.start_soon(self._serve, handle, door)
        return True

    async def _serve(self, handle: Handle, door: Accept) -> None:
        """One request after the other: a task for each would cost more than most of them do."""
        loop = asyncio.get_running_loop()
        while True:
            await self.machine.gate()
            await handle(door)
            self._answered()
            free: asyncio.Future[tuple[Handle, Accept]] = loop.create_future()
            self._idle.append(free)
            handle, door = await free
