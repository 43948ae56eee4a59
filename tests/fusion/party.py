"""One view with its journal on disk, agent pipes by hand, and time in the hand."""

from __future__ import annotations

import shutil
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
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
from fustor_core.contracts import HERE, Access, Answer, Caller, Grant, Hello, Pulse, Query
from fustor_core.fusion_pipe import FusionPipeline
from fustor_core.peers import FusionOptions
from fustor_core.testing import ManualClock

ROOT = Key(0, 1, 0)
TOP = Key(0, 3, 0)
OPTIONS = FusionOptions("v", 30.0, 600.0, 120.0, 100)
LEADING, FOLLOWING, PAUSED = 66, 70, 6
BOOT = "boot"
LIMIT_S = 10.0


class Party:
    """A fusion pipeline that can be killed, and that goes by a clock in the hand."""

    def __init__(self, folder: Path, memory_budget: int | None = None, **options: Any) -> None:
        self.folder = folder
        self.view_options = FileView.Config(memory_budget=memory_budget)
        self.clock = ManualClock()
        self.alarms: list[str] = []
        self.moves: list[tuple[str, str]] = []
        self.on_move: Callable[[Any], None] = lambda move: None
        self.options = replace(OPTIONS, **options)
        self.boot = BOOT
        self._moved = anyio.Event()
        self.made()

    def _note(self, move: Any) -> None:
        self.moves.append((move.machine, move.event))
        self.on_move(move)
        moved, self._moved = self._moved, anyio.Event()
        moved.set()

    async def until(self, reached: Callable[[], bool]) -> None:
        """Wait until it is so; asked again after each move of a machine."""
        with anyio.fail_after(LIMIT_S):
            while not reached():
                await self._moved.wait()

    def made(self) -> None:
        """A new process, as it were."""
        self.pipeline = FusionPipeline(
            self.options,
            FileView(self.view_options),
            FSArbitrator(FSArbitrator.Config()),
            self.folder,
            boot=self.boot,
            on_alarm=self.alarms.append,
            on_move=self._note,
            raw_us=self.clock.now_us,
            sleep=self.clock.sleep,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[FusionPipeline]:
        """The pipeline serves inside, and ends cleanly."""
        pipeline = self.pipeline
        pipeline.open()
        async with anyio.create_task_group() as tasks:
            await tasks.start(pipeline.run)
            yield pipeline
            tasks.cancel_scope.cancel()

    def kill(self) -> None:
        """What kill -9 would leave behind is what the next `running` starts from."""
        crashed = self.folder.with_name(self.folder.name + "-crashed")
        shutil.copytree(self.folder, crashed)
        self.folder = crashed
        self.made()

    async def agent(self, name: str = "a", **more: Any) -> Agent:
        """An agent pipe with a session."""
        agent = Agent(self, name, **more)
        await agent.open()
        return agent

    def paths(self) -> set[str]:
        """All that the view holds."""
        found: set[str] = set()
        query = Query("find", pattern=b"*", limit=None)
        for page in self.pipeline.view.read(query, self.pipeline.moment()):
            found |= {item.get("path") or item["path_b64"] for item in page.items}
        return found


class Agent:
    """An agent pipe by hand.

    Args:
        skew_us: its raw clock less the one in the hand. key: that it shows, "" = it needs none.
        remote: it comes through a receiver and says its clock.
    """

    def __init__(
        self,
        party: Party,
        name: str,
        *,
        skew_us: int = 0,
        key: str = "",
        remote: bool = False,
        boot: str = BOOT,
        process: str = "1",
        realtime: bool = True,
        scan: bool = True,
        birth: str = "",
    ) -> None:
        self.party, self.name, self.skew_us, self.key = party, name, skew_us, key
        self.remote = remote
        line = {"boot": boot, "process": process, "mount": "m", "cache_bound_s": 0}
        can = {"realtime": realtime, "scan": scan}
        self.hello = Hello(name, "p", "v", {"birth": birth}, line, can)
        self.seq = 0
        self.grant: Grant
        self.echo: tuple[int, int] | None = None
        self.delay_us = 500

    def raw_us(self) -> int:
        """Its own clock."""
        return self.party.clock.now_us() + self.skew_us

    def caller(self, **more: Any) -> Caller:
        """What it says of itself; a request and a reply take a while."""
        if not self.remote and not self.key and not more:
            return HERE
        caller = Caller(Access(self.key), "10.0.0.1", self.raw_us(), self.echo)
        self.party.clock.tick(self.delay_us)
        return replace(caller, **more)

    def answered(self, server_time: int) -> None:
        """A reply came in."""
        self.party.clock.tick(self.delay_us)
        self.echo = server_time, self.raw_us()

    async def open(self) -> Grant:
        """A session."""
        self.grant = await self.party.pipeline.open_session(self.hello, self.caller())
        self.seq = 0
        self.answered(self.grant.server_time)
        return self.grant

    async def beat(self, state: int = FOLLOWING, **more: Any) -> Answer:
        """A heartbeat."""
        pulse, caller = Pulse(state, **more), self.caller()
        answer = await self.party.pipeline.beat(self.grant.session_id, pulse, caller)
        self.answered(answer.server_time)
        return answer

    async def leads(self) -> Answer:
        """Wait until it is the leader, and hear of it; an epoch is made durable in real time."""
        standing = self.party.pipeline.standing
        await self.party.until(lambda: standing.leadership.leader == self.grant.session_id)
        return await self.beat()

    async def send(self, *claims: Claim, seq: int | None = None, epoch: int | None = None) -> Ack:
        """A batch."""
        self.seq += seq is None
        number, epoch = seq or self.seq, self.grant.epoch if epoch is None else epoch
        batch = Batch(1, number, epoch, list(claims))
        body, caller = encode_batch(batch), self.caller()
        ack = await self.party.pipeline.push(self.grant.session_id, batch, body, caller)
        self.answered(ack.server_time)
        return ack

    async def close(self) -> None:
        """Goodbye."""
        await self.party.pipeline.close_session(self.grant.session_id, self.caller())

    # ---- claims

    def stamp(self, kind: str = "l", ago_us: int = 0) -> Stamp:
        """A look just now."""
        now = self.raw_us() - ago_us
        self.party.clock.tick()
        return Stamp(now, now, now, kind)

    def root(
        self,
        identity: str = "disk",
        key: Key = ROOT,
        origin: Origin = Origin.REALTIME,
        birth: str = "btime",
        **course: Any,
    ) -> Root:
        """The root is there."""
        more = {"origin": origin, "birth": birth, **course}
        return Root(key=key, identity=identity, stamp=self.stamp("s"), **more)

    def listing(
        self, key: Key, rows: dict[bytes, Row | bytes], origin: Origin = Origin.SNAPSHOT
    ) -> Listing:
        """A directory, read whole."""
        names, blob = pack_rows(rows)
        return Listing(dir=key, names=names, rows=blob, stamp=self.stamp(), origin=origin)

    def event(self, name: bytes, value: Row | bytes | None, key: Key = ROOT) -> Cell:
        """Something happened to a name."""
        packed = value.pack() if isinstance(value, Row) else value
        stamp = self.stamp("e")
        return Cell(dir=key, name=name, value=packed, stamp=stamp, origin=Origin.REALTIME)

    def tree(self) -> list[Claim]:
        """/a and /d/b, as a snapshot tells them."""
        return [
            self.root(origin=Origin.SNAPSHOT),
            self.listing(ROOT, {b"a": Row(size=1, ino=2), b"d": edge_row(TOP)}),
            self.listing(TOP, {b"b": Row(size=2, ino=4)}),
        ]


def file(size: int = 1) -> Row:
    """A regular file."""
    return Row(size=size, ino=9, mode=stat.S_IFREG | 0o600)
