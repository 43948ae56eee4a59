"""The state is the fold over the journal: a server that was killed knows what it knew."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import anyio
from fustor_view_file import FileView, tally
from hypothesis import given, settings
from hypothesis import strategies as st

from fustor_core.claims import Claim, Key, Origin, Owe, Row, edge_row
from fustor_core.contracts import Query
from tests.fusion.party import ROOT, TOP, Agent, Party

KEYS = [ROOT, TOP, Key(0, 20, 0), Key(0, 21, 0)]
NAMES = [b"a", b"b", b"d", b"\xff"]
LIMIT_S = 60.0

names, keys = st.sampled_from(NAMES), st.sampled_from(KEYS)
rows = st.builds(lambda size: Row(size=size, ino=50 + size), st.integers(0, 3))
values = st.one_of(rows, st.builds(edge_row, st.sampled_from(KEYS[1:])))
events = st.tuples(st.just("event"), keys, names, st.one_of(st.none(), values))
listings = st.tuples(st.just("listing"), keys, st.dictionaries(names, values, max_size=4))
owes = st.tuples(st.just("owe"), keys, st.booleans())
claims = st.lists(st.one_of(events, listings, owes), min_size=1, max_size=4)
sends = st.tuples(st.just("send"), st.integers(0, 1), claims)
others = st.sampled_from([("checkpoint",), ("kill",), ("again", 0), ("again", 1), ("wait",)])
lives = st.lists(st.one_of(sends, sends, others), max_size=14)


def known(view: Any) -> dict[Key, object]:
    """All registers with their stamps, what is owed, and the sums."""
    tree = view.registers.tree
    return {
        key: (
            d.base, list(d.pack.items()), dict(d.own), d.parent and d.parent.key, d.name, d.owed,
            d.deep, d.silent, d.attrs, list(d.count[: tally.SUMS]),
            dict(d.suspects), d.blind, d.frozen,
            sorted(tree.claimants(key)), tree.maximum(d, tally.NEWEST_NS),
        )
        for key, d in tree.dirs.items()
    }  # fmt: skip


def claim_of(agent: Agent, told: Any) -> Claim:
    kind, key, *rest = told
    if kind == "event":
        return agent.event(rest[0], rest[1], key)
    if kind == "listing":
        return agent.listing(key, rest[0], Origin.ON_DEMAND)
    stamp = agent.stamp("w")
    return Owe(dir=key, deep=rest[0], reason="overflow", stamp=stamp, origin=Origin.REALTIME)


class Life:
    """A view with two agents, killed and started again."""

    def __init__(self, folder: Path, budget: int | None) -> None:
        self.party = Party(folder, budget)
        self.agents: list[Agent] = []
        self.sent: dict[int, list[Claim]] = {}

    async def live(self, steps: list[Any]) -> None:
        """Run through the steps; after each kill the state is what it was."""
        todo = list(steps)
        while True:
            async with self.party.running() as pipeline:
                if not self.agents:
                    self.agents = [await self.party.agent(name) for name in ("a", "b")]
                    for agent in self.agents:
                        await agent.send(agent.root())
                killed = await self._until_kill(pipeline, todo)
                was = known(pipeline.view), self._answers()
                if killed:
                    self.party.kill()
            if not killed:
                self.party.made()
            async with self.party.running() as pipeline:
                assert known(pipeline.view) == was[0]
                assert self._answers() == was[1]
            self.party.made()
            if not todo:
                return

    async def _until_kill(self, pipeline: Any, todo: list[Any]) -> bool:
        while todo:
            what, *rest = todo.pop(0)
            if what == "kill":
                return True
            if what == "send":
                agent = self.agents[rest[0]]
                self.sent[rest[0]] = told = [claim_of(agent, one) for one in rest[1]]
                await agent.send(*told)
            elif what == "again" and rest[0] in self.sent:
                agent = self.agents[rest[0]]
                before = known(pipeline.view)
                await agent.send(*self.sent[rest[0]], seq=agent.seq)
                assert known(pipeline.view) == before, "a batch that came twice was taken twice"
            elif what == "checkpoint":
                await pipeline.keeping.checkpoint(self.party.alarms.append)
            elif what == "wait":
                self.party.clock.tick(1_000_000)
        return False

    def _answers(self) -> list[Any]:
        view, moment = self.party.pipeline.view, self.party.pipeline.moment()
        assert isinstance(view, FileView)
        pages = list(view.read(Query("find", pattern=b"*", limit=None), moment))
        return sorted(str((item.get("path"), item.get("size"))) for p in pages for item in p.items)


@given(lives, st.sampled_from([None, None, 1, 4000]))
@settings(max_examples=max(15, settings.default.max_examples // 8))
def test_a_killed_server_knows_what_it_knew(steps: list[Any], budget: int | None) -> None:
    async def live() -> None:
        with anyio.fail_after(LIMIT_S):
            await Life(Path(place) / "home", budget).live(steps)

    with tempfile.TemporaryDirectory() as place:
        anyio.run(live)
