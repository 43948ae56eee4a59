"""A view behind its door: batches are durable, ordered, folded alike live and in replay."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from fustor_arbitrator_fs import FSArbitrator
from fustor_view_file import FileView

from fustor_core.claims import (
    Ack,
    Batch,
    Cell,
    Claim,
    Key,
    Listing,
    Origin,
    Root,
    Row,
    Stamp,
    edge_row,
    encode_batch,
    pack_rows,
)
from fustor_core.contracts import Grant, Hello, Pulse, Query, boottime_us
from fustor_core.errors import (
    DiskFull,
    SequenceGap,
    SessionObsoletedError,
    StaleEpochError,
)
from fustor_core.fusion_pipe import FusionPipeline
from fustor_core.peers import FusionOptions

ROOT = Key(0, 1, 0)
OPTIONS = FusionOptions("v", 30, 600, 120, 10)
ALARMS: list[str] = []


def made(folder: Path) -> FusionPipeline:
    view = FileView(FileView.Config())
    arbitrator = FSArbitrator(FSArbitrator.Config())
    return FusionPipeline(OPTIONS, view, arbitrator, folder, boot="b", on_alarm=ALARMS.append)


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[FusionPipeline]:
    pipeline = made(folder)
    pipeline.open()
    async with anyio.create_task_group() as tasks:
        await tasks.start(pipeline.run)
        yield pipeline
        tasks.cancel_scope.cancel()


class Sender:
    """An agent pipe by hand."""

    def __init__(self, pipeline: FusionPipeline, grant: Grant) -> None:
        self.pipeline, self.grant, self.seq = pipeline, grant, 0

    @classmethod
    async def open(cls, pipeline: FusionPipeline, agent: str = "a") -> Sender:
        line = {"boot": "b", "process": "1", "mount": "m", "cache_bound_s": 0}
        hello = Hello(agent, "p", "v", {}, line, {"realtime": True, "scan": True})
        return cls(pipeline, await pipeline.open_session(hello))

    async def send(self, *claims: Claim, seq: int | None = None, epoch: int | None = None) -> Ack:
        self.seq += 1
        number = self.seq if seq is None else seq
        batch = Batch(1, number, self.grant.epoch if epoch is None else epoch, list(claims))
        return await self.pipeline.push(self.grant.session_id, batch, encode_batch(batch))


def stamp(kind: str = "l") -> Stamp:
    now = boottime_us()
    return Stamp(now, now, now, kind)


def root(identity: str = "disk") -> Root:
    return Root(key=ROOT, identity=identity, stamp=stamp("s"), origin=Origin.SNAPSHOT)


def listing(key: Key, rows: dict[bytes, Row | bytes], origin: Origin = Origin.SNAPSHOT) -> Listing:
    names, blob = pack_rows(rows)
    return Listing(dir=key, names=names, rows=blob, stamp=stamp(), origin=origin)


def event(name: bytes, size: int | None) -> Cell:
    value = None if size is None else Row(size=size, ino=9, mode=stat.S_IFREG | 0o600).pack()
    return Cell(dir=ROOT, name=name, value=value, stamp=stamp("e"), origin=Origin.REALTIME)


def paths(pipeline: FusionPipeline) -> dict[str, int]:
    found: dict[str, int] = {}
    query = Query("find", pattern=b"*", limit=None)
    for page in pipeline.view.read(query, pipeline.moment()):
        found |= {item["path"]: item["size"] for item in page.items}
    return found


def tree() -> list[Claim]:
    return [
        root(),
        listing(ROOT, {b"a": Row(size=1, ino=2), b"d": edge_row(Key(0, 3, 0))}),
        listing(Key(0, 3, 0), {b"b": Row(size=2, ino=4)}),
    ]


@pytest.mark.anyio
async def test_what_was_acknowledged_is_there_after_a_crash(tmp_path: Path) -> None:
    """The state is copied while it runs, as a crash would leave it."""
    async with running(tmp_path / "live") as pipeline:
        sender = await Sender.open(pipeline)
        await sender.send(*tree())
        await sender.send(event(b"new", 7), event(b"a", None))
        before = paths(pipeline)
        shutil.copytree(tmp_path / "live", tmp_path / "crashed")
    assert set(before) == {"/d", "/d/b", "/new"}
    for copy in ("crashed", "live"):
        async with running(tmp_path / copy) as again:
            assert paths(again) == before, copy


@pytest.mark.anyio
async def test_fusion_time_and_epochs_only_grow_over_restarts(tmp_path: Path) -> None:
    last, epochs = -1, []
    for _ in range(3):
        async with running(tmp_path) as pipeline:
            assert pipeline.now_us() > last
            epochs.append((await Sender.open(pipeline)).grant.epoch)
            last = pipeline.now_us()
    assert epochs == [1, 2, 3]


@pytest.mark.anyio
async def test_numbers_are_dense_and_a_repeat_gets_the_stored_reply(tmp_path: Path) -> None:
    async with running(tmp_path) as pipeline:
        sender = await Sender.open(pipeline)
        first = await sender.send(*tree())
        head = pipeline.keeping.journal.last_lsn
        assert await sender.send(*tree(), seq=1) == first
        assert pipeline.keeping.journal.last_lsn == head, "a repeat is not journalled again"
        with pytest.raises(SequenceGap) as gap:
            await sender.send(event(b"x", 1), seq=5)
        assert gap.value.expected == 2


@pytest.mark.anyio
async def test_a_new_session_of_the_same_pipe_ends_the_old_one(tmp_path: Path) -> None:
    async with running(tmp_path) as pipeline:
        old = await Sender.open(pipeline)
        await Sender.open(pipeline)
        with pytest.raises(SessionObsoletedError) as error:
            await old.send(event(b"x", 1))
        assert error.value.reason == "replaced"
        with pytest.raises(SessionObsoletedError):
            await pipeline.beat("nobody", Pulse(2))


@pytest.mark.anyio
async def test_a_past_leaders_scan_is_refused_and_its_events_are_not(tmp_path: Path) -> None:
    async with running(tmp_path) as pipeline:
        leader = await Sender.open(pipeline)
        follower = await Sender.open(pipeline, "b")
        assert follower.grant.role == "follower"
        await leader.send(*tree())
        with pytest.raises(StaleEpochError):
            await follower.send(root(), listing(ROOT, {}))
        await follower.send(event(b"seen", 3), seq=1)
        assert "/seen" in paths(pipeline)


@pytest.mark.anyio
async def test_scans_of_an_unproven_or_other_root_are_quarantined(tmp_path: Path) -> None:
    async with running(tmp_path) as pipeline:
        sender = await Sender.open(pipeline)
        ack = await sender.send(listing(ROOT, {b"a": Row(size=1)}))
        assert [q.reason for q in ack.quarantined] == ["unproven_root"]
        await sender.send(*tree())
        ALARMS.clear()
        ack = await sender.send(root("other disk"), listing(ROOT, {}))
        assert [q.reason for q in ack.quarantined] == ["unproven_root"]
        assert ALARMS
        assert set(paths(pipeline)) == {"/a", "/d", "/d/b"}, "nothing was deleted"


@pytest.mark.anyio
async def test_a_malformed_row_is_named_and_the_rest_counts(tmp_path: Path) -> None:
    async with running(tmp_path) as pipeline:
        sender = await Sender.open(pipeline)
        await sender.send(*tree())
        broken = event(b"bad/name", 1)
        ack = await sender.send(broken, event(b"good", 2))
        assert [(q.index, q.name) for q in ack.quarantined] == [(0, b"bad/name")]
        assert "/good" in paths(pipeline)
        root_directory = pipeline.view.known(ROOT)
        assert root_directory is not None
        assert ack.owed[0].path == b"/", "its directory is owed a look"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", folder],
        capture_output=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {done.stderr.decode()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def fill(ballast: Path) -> None:
    """Take all room that is left."""
    room = os.statvfs(ballast.parent)
    with ballast.open("wb") as out:
        os.posix_fallocate(out.fileno(), 0, room.f_bavail * room.f_frsize)


@pytest.mark.anyio
async def test_a_full_disk_acknowledges_nothing_and_recovers_by_itself(small_disk: Path) -> None:
    ALARMS.clear()
    async with running(small_disk / "v") as pipeline:
        sender = await Sender.open(pipeline)
        await sender.send(*tree())
        ballast = small_disk / "ballast"
        fill(ballast)
        many = listing(ROOT, {b"n%05d" % i: Row(size=i, ino=i + 10) for i in range(3000)})
        sender.seq = 1
        with pytest.raises(DiskFull):
            await sender.send(many)
        assert set(paths(pipeline)) == {"/a", "/d", "/d/b"}, "reads go on, unchanged"
        assert any("full" in text for text in ALARMS)
        ballast.unlink()
        await sender.send(event(b"again", 1), seq=2)
        assert "/again" in paths(pipeline)
