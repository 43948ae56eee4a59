"""Group commit: many callers, one fsync."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

import anyio
import anyio.abc
import anyio.lowlevel
import anyio.to_thread

from fustor_core.errors import DiskFull, StateError
from fustor_core.journal.log import Journal, JournalFailed, Payload

GATHER_S_MAX = 0.020


class _Group:
    """Callers that share one sync; `lsns` and `error` are set before `done`."""

    def __init__(self) -> None:
        self.work: list[tuple[int, Sequence[Payload]]] = []
        self.lsns: list[int] = []
        self.error: DiskFull | StateError | None = StateError("the journal's writer has ended")
        self.done = anyio.Event()


class GroupCommit:
    """Makes frames durable for concurrent callers, one write and one fdatasync for all of them.

    ``async with GroupCommit(journal) as commits: lsn = await commits.commit(kind, payloads)``

    An idle journal writes at once; while a sync runs in its worker thread, further callers gather
    for the next. Only when a crowd came last time (`crowd` callers or more) does the next group
    wait until `gather_s` after the start of the one before it.

    Args:
        journal: nothing else appends to it meanwhile.
        gather_s: 0 … 0.020 seconds.
        crowd: number of callers from which on gathering pays.
    """

    def __init__(self, journal: Journal, *, gather_s: float = 0.005, crowd: int = 8) -> None:
        if not 0 <= gather_s <= GATHER_S_MAX:
            raise ValueError(f"gather_s must lie in 0 … {GATHER_S_MAX}, not {gather_s}")
        self.journal = journal
        self.groups = 0
        self._gather_s = gather_s
        self._crowd = crowd
        self._group = _Group()
        self._wake = anyio.Event()
        self._closing = False
        self._closed: StateError | None = StateError("the journal's group commit is not running")
        self._tasks: anyio.abc.TaskGroup | None = None

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        return f"<GroupCommit {state} groups={self.groups} waiting={len(self._group.work)}>"

    async def __aenter__(self) -> Self:
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        self._closed = None
        self._tasks.start_soon(self._write_groups, name="journal")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        self._closing = True
        self._wake.set()
        assert self._tasks is not None
        return await self._tasks.__aexit__(kind, error, trace)

    async def commit(self, kind: int, payloads: Sequence[Payload]) -> int:
        """Append all `payloads`, next to each other, and wait until they are durable.

        Calls are numbered in the order in which they were made. A commit that has begun is not
        cancelled: it returns or raises what happened, and the caller must act on it before it
        awaits anything else, or the journal knows more than the state.

        Args:
            kind: 0…255, of every payload.
            payloads: at least one; unchanged until this returns.

        Returns:
            lsn of the last payload; the others have the numbers right before it.

        Raises:
            DiskFull: nothing of the group was kept; a later commit may succeed.
            JournalFailed: the disk failed; the process should end.
            StateError: not running, or being closed.
        """
        if not payloads or not 0 <= kind <= 255:
            raise ValueError("a commit needs a payload, and a kind from 0 to 255")
        if self._closed is not None:
            await anyio.lowlevel.checkpoint_if_cancelled()  # who ends with it is told just that
            raise self._closed
        group = self._group
        index = len(group.work)
        group.work.append((kind, payloads))
        self._wake.set()
        with anyio.CancelScope(shield=True):
            await group.done.wait()
        if (error := group.error) is not None:
            # Each caller gets an instance of its own: a traceback belongs to one raise.
            raise type(error)(error.message, remedy=error.remedy) from error
        return group.lsns[index]

    async def _write_groups(self) -> None:
        try:
            before, callers = 0.0, 0
            while True:
                await self._wake.wait()
                if callers >= self._crowd and not self._closing:
                    await anyio.sleep_until(before + self._gather_s)
                before = anyio.current_time()
                callers = len(self._group.work)
                if not callers:
                    return  # woken for nothing but the end
                await self._write_one()
        finally:
            # Whoever is waiting now cannot be cancelled, so it is served before the end.
            self._closing = True
            try:
                with anyio.CancelScope(shield=True):
                    while self._group.work:
                        await self._write_one()
            finally:  # also where writing failed in a way that nobody has foreseen
                if self._closed is None:
                    self._closed = StateError("the journal is closed")
                self._group.done.set()

    async def _write_one(self) -> None:
        group, self._group = self._group, _Group()
        self._wake = anyio.Event()
        if self._closing:
            self._wake.set()
        try:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._sync, group)
        finally:
            group.done.set()
        self.groups += 1
        if isinstance(group.error, JournalFailed):
            self._closed = group.error
            raise group.error

    def _sync(self, group: _Group) -> None:
        """In the worker thread: append and sync; errors are the group's."""
        try:
            for kind, payloads in group.work:
                group.lsns.append([self.journal.append(kind, one) for one in payloads][-1])
            self.journal.sync()
            group.error = None
        except (DiskFull, StateError) as error:
            group.error = error
