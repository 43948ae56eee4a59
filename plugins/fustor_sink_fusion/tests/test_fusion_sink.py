"""The sink keeps its promises against a real receiver, whatever happens in between."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from fustor_sink_fusion import FusionSink
from fustor_sink_fusion.sink import PATHS_BYTES_MAX

from fustor_core.claims import PROTOCOL, Ack, Batch, Origin, Owed, path_key
from fustor_core.contracts import Attached, Command, Pulse, Sessioned, boottime_us
from fustor_core.errors import (
    DiskFull,
    Forbidden,
    NoSuchView,
    PipeError,
    Refused,
    SequenceGap,
    SessionObsoletedError,
    SlowDown,
    StaleEpochError,
    TooLarge,
    Unauthorized,
    Unreachable,
)
from fustor_core.testing import MemoryDoor, sink_kit
from fustor_core.testing.promises import cell, hello, listing

LIMIT_S = 20.0


def batch(seq: int = 1, *claims: Any) -> Batch:
    return Batch(PROTOCOL, seq, 0, list(claims) or [cell(at=seq)])


@pytest.mark.parametrize("compress", ["never", "always"])
@pytest.mark.parametrize("way", ["unix", "tcp"])
def test_it_keeps_every_promise_of_a_sink(beside: Any, way: str, compress: str) -> None:
    sink_kit(FusionSink, beside.sink(getattr(beside, way), compress=compress).config)


def test_its_powers_are_found(beside: Any) -> None:
    sink = beside.sink()
    assert isinstance(sink, Sessioned)
    assert not isinstance(sink, Attached)


class Arrivals:
    """Tells when pushes have come to a door."""

    def __init__(self, door: MemoryDoor) -> None:
        self._push = door.push
        self._come = anyio.Event()
        door.push = self._noted  # type: ignore[method-assign]

    async def next(self) -> None:
        """Wait for one."""
        with anyio.fail_after(LIMIT_S):
            await self._come.wait()
        self._come = anyio.Event()

    async def _noted(self, *arguments: Any) -> Any:
        self._come.set()
        return await self._push(*arguments)


# -- what goes over the wire


@pytest.mark.parametrize("compress", ["never", "always"])
async def test_what_is_sent_arrives_and_what_is_said_comes_back(served: Any, compress: str) -> None:
    owed = Owed(path_key(b"/odd\xff"), b"/odd\xff", True)
    served.door.owed = lambda batch: Ack(batch.seq, owed=(owed,))
    sink = served.sink(compress=compress)
    grant = await sink.open(hello())
    sent = batch(1, listing(Origin.ON_DEMAND, a=1, b=2), cell(b"odd \xff name"))
    assert (await sink.send(sent)).owed == (owed,)
    assert served.door.batches == [sent]
    command = Command("7", "look", ((path_key(b"/a"), b"/a\xfe"), (None, b"/b")), True, 5.0)
    served.door.ask(command, grant.session_id)
    assert (await sink.beat(Pulse(state=66, uncovered=(b"/x\xff",)))).commands == (command,)
    assert served.door.guests[0].beats[-1].uncovered == (b"/x\xff",)
    await sink.close()
    assert served.door.closed == [grant.session_id]


async def test_a_huge_directory_goes_through(served: Any) -> None:
    names = b"\0".join(b"file-%06d" % number for number in range(300_000))
    one = listing(Origin.REALTIME, a=1)
    whole = msgspec.structs.replace(one, names=names, rows=one.rows * 300_000)
    for compress in ("never", "always"):
        sink = served.sink(compress=compress)
        await sink.open(hello(pipe=compress))
        assert (await sink.send(batch(1, whole))).acked == 1
        assert served.door.claims[-1] == whole
        await sink.close()


async def test_what_shrinks_like_a_bomb_is_sent_as_it_is(served: Any) -> None:
    sink = served.sink(compress="always")
    await sink.open(hello())
    one = listing(Origin.REALTIME, a=1)
    same = msgspec.structs.replace(one, names=b"n" * (20 << 20), rows=one.rows)
    assert (await sink.send(batch(1, same))).acked == 1
    await sink.close()


async def test_the_clock_is_told_with_each_request(served: Any) -> None:
    sink = served.sink()
    begun = boottime_us()
    grant = await sink.open(hello())
    opened = boottime_us()
    await sink.beat(Pulse(state=2))
    ack = await sink.send(batch())
    await sink.beat(Pulse(state=2))
    first, second, _, last = served.door.callers
    assert begun <= first.sent_us <= opened
    assert first.echo is None
    assert second.echo[0] == grant.server_time
    assert begun <= second.echo[1] <= second.sent_us
    assert last.echo[0] == ack.server_time
    assert last.echo[1] <= last.sent_us <= boottime_us()
    await sink.close()


async def test_a_heartbeat_stays_small(served: Any) -> None:
    sink = served.sink()
    await sink.open(hello())
    await sink.beat(Pulse(state=2, uncovered=tuple([b"/" + b"d" * 4000] * 1000)))
    told = served.door.guests[0].beats[-1].uncovered
    assert 100 < len(told) <= PATHS_BYTES_MAX // 4000
    await sink.close()


async def test_heartbeats_do_not_wait_behind_a_push(served: Any) -> None:
    sink = served.sink()
    await sink.open(hello())
    served.door.hold()
    arrivals = Arrivals(served.door)
    async with anyio.create_task_group() as group:
        group.start_soon(sink.send, batch())
        await arrivals.next()
        with anyio.fail_after(LIMIT_S):
            for _ in range(5):
                await sink.beat(Pulse(state=2))
        assert served.door.batches == []
        served.door.release()
    assert len(served.door.batches) == 1
    await sink.close()


# -- what goes wrong


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (SlowDown("busy", retry_after_s=2.5), SlowDown, "busy"),
        (DiskFull("full"), DiskFull, "full"),
        (SequenceGap("gap", expected=5), SequenceGap, "gap"),
        (StaleEpochError("stale", epoch=4, role="follower"), StaleEpochError, "stale"),
        (SessionObsoletedError("over", reason="revoked"), SessionObsoletedError, "over"),
        (NoSuchView("v", ["w"]), Unreachable, "no view 'v'.*views here: w"),
        (Forbidden("not yours"), Refused, "not yours"),
        (Unauthorized("who?"), Refused, "who?"),
        (Refused("never"), Refused, "never"),
        (TooLarge("much", limit=9), TooLarge, "much"),
        (Unreachable("not now"), SlowDown, "not now"),
    ],
)
async def test_errors_come_through(
    served: Any, error: PipeError, kind: type[PipeError], text: str
) -> None:
    sink = served.sink()
    await sink.open(hello())
    served.door.fail("push", error)
    with pytest.raises(kind, match=text) as raised:
        await sink.send(batch())
    assert type(raised.value) is kind
    for name in ("retry_after_s", "expected", "epoch", "role", "reason", "limit"):
        if hasattr(error, name):
            assert getattr(raised.value, name) == getattr(error, name)
    assert (await sink.send(batch())).acked == 1, "nothing was changed by it"
    await sink.close()


async def test_a_batch_that_is_too_large_says_what_is_not(serve: Any) -> None:
    async with serve(max_batch_bytes="64KiB", max_listing_bytes="64KiB") as served:
        sink = served.sink()
        assert (await sink.open(hello())).batch_bytes == 64 << 10
        with pytest.raises(TooLarge, match="65536 bytes at most") as raised:
            await sink.send(batch(1, *[cell(b"n" * 200)] * 1000))
        assert raised.value.limit == 64 << 10
        assert (await sink.send(batch())).acked == 1
        await sink.close()


async def test_without_a_session_nothing_is_sent(served: Any) -> None:
    sink = served.sink()
    with pytest.raises(SessionObsoletedError):
        await sink.send(batch())
    with pytest.raises(SessionObsoletedError):
        await sink.beat(Pulse(state=2))
    await sink.close()
    await sink.open(hello())
    await sink.close()
    with pytest.raises(SessionObsoletedError):
        await sink.send(batch())


async def test_a_wrong_key_is_for_a_person(served: Any) -> None:
    sink = served.sink(served.tcp, key="wrong-key-0123")
    with pytest.raises(Refused, match="key") as raised:
        await sink.open(hello())
    assert "wrong-key-0123" not in str(raised.value)
    await sink.close()


async def test_a_server_that_is_gone_and_comes_back(serve: Any, tmp_path: Path) -> None:
    door = MemoryDoor()
    async with serve(door=door) as served:
        port = int(served.tcp.rpartition(":")[2])
        sinks = [served.sink(served.unix), served.sink(served.tcp)]
        for number, sink in enumerate(sinks):
            await sink.open(hello(pipe=str(number)))
            await sink.send(batch())
            await sink.beat(Pulse(state=2))
    for sink in sinks:
        with pytest.raises(Unreachable, match=r"cannot reach .*does fusion run there"):
            await sink.send(batch(2))
        with pytest.raises(Unreachable):
            await sink.beat(Pulse(state=2))
    async with serve(door=door, listen=["unix", f"127.0.0.1:{port}"]):
        for sink in sinks:
            assert (await sink.send(batch(2))).acked == 2
            await sink.beat(Pulse(state=2))
            await sink.close()
    assert len(door.closed) == 2


async def test_a_cancelled_send_leaves_a_sink_that_works(served: Any) -> None:
    sink = served.sink()
    await sink.open(hello())
    arrivals = Arrivals(served.door)
    for seq in range(1, 6):
        served.door.hold()
        async with anyio.create_task_group() as group:
            group.start_soon(sink.send, batch(seq))
            await arrivals.next()
            group.cancel_scope.cancel()
        served.door.release()
        with anyio.fail_after(LIMIT_S):
            assert (await sink.send(batch(seq))).acked == seq
    assert [one.seq for one in served.door.batches] == [1, 2, 3, 4, 5]
    await sink.close()


async def test_a_server_that_says_nothing_is_given_up_in_time(served: Any) -> None:
    sink = served.sink(timeout="200ms")
    await sink.open(hello())
    served.door.hold()
    begun = time.monotonic()
    with pytest.raises(Unreachable, match=r"no answer from unix:.* within 0.2 s"):
        await sink.send(batch())
    assert time.monotonic() - begun < 5
    served.door.release()
    assert (await sink.send(batch())).acked == 1
    await sink.close()


async def test_an_end_that_cannot_be_told_is_an_end(serve: Any) -> None:
    async with serve() as served:
        sink = served.sink()
        await sink.open(hello())
    with pytest.raises(Unreachable):
        await sink.close()
    await sink.close()
    assert "session=None" in repr(sink)


async def test_a_socket_in_a_deep_folder_is_reached(serve: Any, tmp_path: Path) -> None:
    folder = tmp_path.joinpath(*["a-folder-with-a-rather-long-name"] * 6)
    folder.mkdir(parents=True)
    async with serve(socket_path=folder / "api.sock") as served:
        sink = served.sink()
        await sink.open(hello())
        assert (await sink.send(batch())).acked == 1
        await sink.close()
