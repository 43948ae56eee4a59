"""GroupCommit: concurrent callers share a sync, keep their order, and all learn the outcome."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest

from fustor_core.errors import DiskFull, StateError
from fustor_core.journal import GroupCommit, Journal, JournalFailed

pytestmark = pytest.mark.anyio


class Disk:
    """An fdatasync that can be held up and made to fail."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.free.set()
        self.entered = threading.Event()
        self.error: int | None = None
        self.calls = 0

    def __call__(self, fd: int) -> None:
        self.calls += 1
        self.entered.set()
        assert self.free.wait(30)
        if self.error is not None:
            raise OSError(self.error, os.strerror(self.error))
        os.fdatasync(fd)


def payloads(journal: Journal) -> list[bytes]:
    return [bytes(payload) for _, _, payload in journal.replay()]


async def test_one_caller_gets_the_number_of_its_last_payload(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        async with GroupCommit(journal) as commits:
            assert await commits.commit(1, [b"a"]) == 1
            assert await commits.commit(1, [b"b", b"c"]) == 3
            assert journal.durable_lsn == 3
        assert payloads(journal) == [b"a", b"b", b"c"]


async def test_callers_that_come_during_a_sync_share_the_next(tmp_path: Path) -> None:
    disk, callers = Disk(), 50
    with Journal.open(tmp_path, fdatasync=disk) as journal:
        async with GroupCommit(journal) as commits, anyio.create_task_group() as tasks:
            numbers: dict[int, int] = {}

            async def call(caller: int) -> None:
                numbers[caller] = await commits.commit(1, [b"%d" % caller] * 2)

            disk.free.clear()
            tasks.start_soon(call, 0)
            await anyio.to_thread.run_sync(disk.entered.wait)
            for caller in range(1, callers):
                tasks.start_soon(call, caller)
            await anyio.wait_all_tasks_blocked()
            assert numbers == {}, "acknowledged before the sync had ended"
            disk.free.set()
        assert commits.groups == 2
        assert numbers == {caller: 2 * caller + 2 for caller in range(callers)}
        assert payloads(journal) == [b"%d" % (n // 2) for n in range(2 * callers)]


async def test_a_crowd_needs_few_syncs(tmp_path: Path) -> None:
    disk, callers, rounds = Disk(), 20, 25
    with Journal.open(tmp_path, fdatasync=disk) as journal:
        async with GroupCommit(journal) as commits, anyio.create_task_group() as tasks:

            async def call(caller: int) -> None:
                before = 0
                for _ in range(rounds):
                    lsn = await commits.commit(1, [b"%d" % caller])
                    assert lsn > before
                    assert journal.durable_lsn >= lsn
                    before = lsn

            for caller in range(callers):
                tasks.start_soon(call, caller)
        total = callers * rounds
        assert len(payloads(journal)) == total
        assert disk.calls < total / 4


async def test_a_full_disk_fails_the_group_and_the_next_tries_again(tmp_path: Path) -> None:
    disk = Disk()
    with Journal.open(tmp_path, fdatasync=disk) as journal:
        async with GroupCommit(journal) as commits:
            await commits.commit(1, [b"before"])
            disk.error = errno.ENOSPC
            refused: list[DiskFull] = []

            async def call() -> None:
                with pytest.raises(DiskFull) as caught:
                    await commits.commit(1, [b"refused"])
                refused.append(caught.value)

            async with anyio.create_task_group() as tasks:
                for _ in range(5):
                    tasks.start_soon(call)
            assert len(set(map(id, refused))) == 5
            assert all(error.remedy for error in refused)
            disk.error = None
            assert await commits.commit(1, [b"after"]) == 2
        assert payloads(journal) == [b"before", b"after"]


async def test_a_failed_disk_ends_it_for_good(tmp_path: Path) -> None:
    disk = Disk()
    with Journal.open(tmp_path, fdatasync=disk) as journal:

        async def use() -> None:
            async with GroupCommit(journal) as commits:
                await commits.commit(1, [b"before"])
                disk.error = errno.EIO
                with pytest.raises(JournalFailed):
                    await commits.commit(1, [b"lost"])
                disk.error = None
                with pytest.raises(JournalFailed):
                    await commits.commit(1, [b"later"])

        with pytest.raises(ExceptionGroup) as caught:
            await use()
        assert caught.group_contains(JournalFailed)
        assert payloads(journal) == [b"before"]


async def test_leaving_serves_who_is_waiting_then_refuses(tmp_path: Path) -> None:
    disk = Disk()
    with Journal.open(tmp_path, fdatasync=disk) as journal:
        commits = GroupCommit(journal)
        numbers: list[int] = []

        async def call() -> None:
            numbers.append(await commits.commit(1, [b"x"]))

        with pytest.raises(StateError, match="not running"):
            await commits.commit(1, [b"too early"])
        async with anyio.create_task_group() as tasks, commits:
            disk.free.clear()
            for _ in range(3):
                tasks.start_soon(call)
            await anyio.to_thread.run_sync(disk.entered.wait)
            tasks.start_soon(call)
            await anyio.wait_all_tasks_blocked()
            disk.free.set()
        assert sorted(numbers) == [1, 2, 3, 4]
        with pytest.raises(StateError, match="closed"):
            await commits.commit(1, [b"too late"])


async def test_a_cancelled_caller_still_learns_what_happened(tmp_path: Path) -> None:
    disk = Disk()
    with Journal.open(tmp_path, fdatasync=disk) as journal:
        async with GroupCommit(journal) as commits:
            numbers: list[int] = []

            async def call() -> None:
                numbers.append(await commits.commit(1, [b"x"]))

            disk.free.clear()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(call)
                await anyio.to_thread.run_sync(disk.entered.wait)
                tasks.start_soon(call)
                await anyio.wait_all_tasks_blocked()
                tasks.cancel_scope.cancel()
                disk.free.set()
            assert numbers == [1, 2]
        assert payloads(journal) == [b"x", b"x"]


async def cancelled_in_a_sync(
    folder: Path, *calls: Callable[[GroupCommit], Awaitable[None]]
) -> None:
    """These callers and the writer are cancelled together, while the disk is at work."""
    disk = Disk()
    with Journal.open(folder, fdatasync=disk) as journal:
        async with anyio.create_task_group() as tasks:

            async def run() -> None:
                async with GroupCommit(journal) as commits, anyio.create_task_group() as inner:
                    for call in calls:
                        inner.start_soon(call, commits)
                    await anyio.sleep_forever()

            disk.free.clear()
            tasks.start_soon(run)
            await anyio.to_thread.run_sync(disk.entered.wait)
            tasks.cancel_scope.cancel()
            disk.free.set()


async def test_cancelling_everything_leaves_no_caller_behind(tmp_path: Path) -> None:
    numbers: list[int] = []

    async def call(commits: GroupCommit) -> None:
        numbers.append(await commits.commit(1, [b"x"]))

    await cancelled_in_a_sync(tmp_path, call, call)
    assert numbers == [1, 2]


async def test_who_is_cancelled_with_it_hears_of_no_fault(tmp_path: Path) -> None:
    """Seed 74471: a second commit comes when nobody writes any more."""
    numbers: list[int] = []

    async def call(commits: GroupCommit) -> None:
        numbers.append(await commits.commit(1, [b"x"]))
        with anyio.CancelScope(shield=True):
            await anyio.wait_all_tasks_blocked()
        numbers.append(await commits.commit(1, [b"x"]))

    await cancelled_in_a_sync(tmp_path, call)
    assert numbers == [1]


async def test_nobody_waits_for_a_writer_that_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seed 7445: nothing that a disk does has ended it."""
    begun, free, told = anyio.Event(), anyio.Event(), list[str]()

    async def no_thread(*arguments: object) -> None:
        begun.set()
        await free.wait()
        raise RuntimeError("can't start new thread")

    async def call(commits: GroupCommit) -> None:
        with pytest.raises(StateError) as raised:
            await commits.commit(1, [b"x"])
        told.append(raised.value.message)

    monkeypatch.setattr(anyio.to_thread, "run_sync", no_thread)
    with Journal.open(tmp_path) as journal, anyio.fail_after(30):
        with pytest.RaisesGroup(RuntimeError, flatten_subgroups=True, allow_unwrapped=True):
            async with GroupCommit(journal) as commits, anyio.create_task_group() as tasks:
                tasks.start_soon(call, commits)
                await begun.wait()
                tasks.start_soon(call, commits)
                await anyio.wait_all_tasks_blocked()
                free.set()
        assert len(told) == 2
        await call(commits)
        await call(commits)


@pytest.mark.parametrize("arguments", [(1, []), (256, [b"x"]), (-1, [b"x"])])
async def test_nonsense_is_refused_before_it_can_harm_others(
    tmp_path: Path, arguments: tuple[int, list[bytes]]
) -> None:
    with Journal.open(tmp_path) as journal:
        async with GroupCommit(journal) as commits:
            with pytest.raises(ValueError, match="payload"):
                await commits.commit(*arguments)
            assert await commits.commit(1, [b"fine"]) == 1


@pytest.mark.parametrize("gather_s", [-0.001, 0.021])
def test_nobody_waits_longer_than_promised(tmp_path: Path, gather_s: float) -> None:
    with Journal.open(tmp_path) as journal, pytest.raises(ValueError, match="gather_s"):
        GroupCommit(journal, gather_s=gather_s)
