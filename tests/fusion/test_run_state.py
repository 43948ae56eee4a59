"""The state of a run as fusion sees it: who leads, what agents tell, scans on demand."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from fustor_core.state_runs.context import Scrubber
from fustor_core.state_runs.ledger import Ledger
from fustor_core.state_runs.records import NodeState, RunHeader, RunState
from fustor_core.states.node import NodeStatus
from fustor_core.witness import Witness

from .party import LEADING, Party

pytestmark = pytest.mark.anyio

SCAN = {"started_us": 1, "progress_us": 2, "directories": 3}
SNAPSHOT, BACKING_OFF = 34, 258
S = NodeStatus


class Observed:
    """A party whose run has a state."""

    def __init__(self, party: Party) -> None:
        self.party = party
        header = RunHeader("pipeline_01H3XYZ9", "0.1.0", time.time(), "0" * 16)
        self.ledger = Ledger(RunState(header), scrubber=Scrubber(()))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        pipeline = self.party.pipeline
        witness = Witness(dict, lambda: {"v": pipeline}, self.ledger.note)
        witness.watch(pipeline)
        self.party.on_move = witness.moved
        await self.ledger.initialize({})
        async with self.party.running():
            yield

    async def node(self, name: str) -> NodeState:
        await self.ledger.settle()
        return self.ledger.state.nodes[name]


@pytest.fixture
def observed(party: Party) -> Observed:
    return Observed(party)


async def test_the_old_leader_s_last_words_come_after_the_new_one_s_first(
    observed: Observed,
) -> None:
    """It hangs in its snapshot until it loses the lead; then it is heard once more."""
    party = observed.party
    async with observed.running():
        one, two = await party.agent(), await party.agent("b")
        await one.send(one.root())
        await two.send(two.root(), epoch=0)
        standing = party.pipeline.standing
        while standing.leadership.holder == one.grant.session_id:
            await one.beat(SNAPSHOT, scan=SCAN)
            await two.beat()
            await party.clock.advance(9)
        assert (await observed.node("fill_v")).status is S.EXECUTING
        await two.leads()
        await two.beat(SNAPSHOT)
        await two.beat(LEADING)
        filled = await observed.node("fill_v")
        assert filled.status is S.SUCCEEDED
        assert filled.output_payload is not None
        assert (filled.output_payload["agent"], filled.output_payload["epoch"]) == ("b", 2)
        version = observed.ledger.state.version
        await one.beat(BACKING_OFF)
        assert await observed.node("fill_v") == filled, "nothing is undone"
        assert observed.ledger.state.version == version
        lead = await observed.node("lead_v")
        assert lead.status is S.EXECUTING
        assert lead.input_payload == {
            "view": "v",
            "agent": "b",
            "session_id": two.grant.session_id,
            "epoch": 2,
        }
        assert observed.ledger.state.attempts["lead_v"] == 2


async def test_an_agent_that_connects_again_is_heard_twice_and_told_once(
    observed: Observed,
) -> None:
    party = observed.party
    async with observed.running():
        one = await party.agent()
        await one.send(one.root())
        await one.beat(SNAPSHOT)
        await one.open()  # a new process of the same agent pipe takes the place of the old one
        await one.send(one.root(), epoch=2)
        await one.beat(SNAPSHOT)
        assert (await observed.node("fill_v")).status is S.EXECUTING
        await one.beat(LEADING)
        await one.beat(LEADING)
        filled = await observed.node("fill_v")
        assert filled.status is S.SUCCEEDED
        assert (filled.input_payload or {})["epoch"] == 2


async def test_a_scan_on_demand_has_two_nodes(observed: Observed) -> None:
    party = observed.party
    async with observed.running():
        one = await party.agent()
        await one.send(*one.tree())
        job = await party.pipeline.scan(b"/d", recursive=False)
        assert job is not None
        scan = f"scan_{job.id[:12]}"
        assert (await observed.node(f"place_{job.id[:12]}")).status is S.SUCCEEDED
        await one.beat(LEADING)
        told = await observed.node(scan)
        assert (told.status, (told.input_payload or {})["agent"]) == (S.EXECUTING, "a")
        party.pipeline.standing.summons.jobs.cancel(job.id, party.pipeline.now_us())
        cancelled = await observed.node(scan)
        assert (cancelled.status, cancelled.error) == (
            S.FAILED,
            {"message": "cancelled", "event": "cancelled"},
        )
