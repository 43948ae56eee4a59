"""What fusion asks of agents: watches, scans on demand, looks; who is asked, and how often."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

import anyio
import pytest

from fustor_core.claims import Key, Origin, Owe, edge_row
from fustor_core.contracts import Answer, Command
from fustor_core.jobs import Job

from .party import (
    FOLLOWING,
    LEADING,
    LIMIT_S,
    OPTIONS,
    PAUSED,
    ROOT,
    TOP,
    Agent,
    Party,
    file,
)

pytestmark = pytest.mark.anyio

NEW, DEEP = Key(0, 50, 0), Key(0, 51, 0)


def asked(answer: Answer, kind: str) -> list[bytes]:
    return [path for c in answer.commands if c.kind == kind for _, path in c.targets]


def scans(answer: Answer) -> list[Command]:
    return [c for c in answer.commands if c.kind == "scan"]


async def fed(party: Party, *names: str) -> list[Agent]:
    """A leader that has told the tree, and followers whose roots are proven."""
    agents = [await party.agent(name) for name in ("a", *names)]
    await agents[0].send(*agents[0].tree())
    for agent in agents[1:]:
        await agent.send(agent.root())
    return agents


# ---- watch


async def test_others_are_told_of_a_new_directory_and_who_told_is_not(party: Party) -> None:
    async with party.running():
        one, two, three = await fed(party, "b", "c")
        for agent in (one, two, three):
            assert not asked(await agent.beat(), "watch"), "what a first listing brought, all saw"
        await two.send(two.event(b"new", edge_row(NEW)))
        await three.send(three.event(b"new", edge_row(NEW)))
        assert not asked(await two.beat(), "watch")
        assert not asked(await three.beat(), "watch"), "it has told of it itself"
        first = await one.beat()
        assert [c.targets for c in first.commands if c.kind == "watch"] == [((NEW, b"/new"),)]
        again = await one.beat()
        assert [c for c in again.commands if c.kind == "watch"] == list(first.commands), (
            "once more under the same id: a reply may be lost"
        )
        assert not asked(await one.beat(), "watch")


async def test_an_audit_finds_a_directory_and_its_path_is_that_of_now(party: Party) -> None:
    async with party.running():
        one, two = await fed(party, "b")
        rows = {b"b": file(), b"new": edge_row(NEW)}
        await one.send(one.listing(TOP, rows, Origin.AUDIT))
        await one.send(one.event(b"d", None), one.event(b"moved", edge_row(TOP)))
        assert sorted(asked(await two.beat(), "watch")) == [b"/moved", b"/moved/new"]


async def test_what_comes_while_a_session_is_away_is_told_to_the_next_of_its_line(
    party: Party,
) -> None:
    async with party.running():
        one, two = await fed(party, "b")
        await two.close()
        await one.send(one.event(b"new", edge_row(NEW)))
        await two.open()
        assert asked(await two.beat(), "watch") == [b"/new"]


async def test_too_many_become_one_directory_above_them(party: Party) -> None:
    async with party.running():
        one, two = await fed(party, "b")
        step = 8000
        for begin in range(0, 24_000, step):
            edges = {b"n%05d" % i: edge_row(Key(0, 1000 + i, 0)) for i in range(begin + step)}
            await one.send(one.listing(TOP, edges, Origin.AUDIT))
        answer = await two.beat()
        (command,) = [c for c in answer.commands if c.kind == "watch"]
        assert command.targets == ((None, b"/d"),)
        assert command.recursive


async def test_a_standby_is_told_when_it_can_do_it(party: Party) -> None:
    async with party.running():
        one, two = await fed(party, "b")
        await one.send(one.event(b"new", edge_row(NEW)))
        assert not (await two.beat(PAUSED)).commands
        assert asked(await two.beat(FOLLOWING), "watch") == [b"/new"]


# ---- scans on demand


async def scan(party: Party, path: bytes = b"/d") -> Job:
    job = await party.pipeline.scan(path, recursive=True)
    assert job is not None
    return job


def job_of(party: Party, job: Job) -> Job:
    found = party.pipeline.standing.summons.jobs.get(job.id)
    assert found is not None
    return found


async def test_an_idle_leader_scans_on_demand(party: Party) -> None:
    async with party.running():
        one, two = await fed(party, "b")
        await one.beat(LEADING)
        job = await scan(party)
        assert (job.state, job.agent) == ("pending", "a")
        assert not scans(await two.beat())
        (command,) = scans(await one.beat(LEADING))
        assert command.targets == ((None, b"/d"),)
        assert job_of(party, job).state == "running"
        await one.send(one.listing(TOP, {}, Origin.ON_DEMAND))
        assert job_of(party, job).state == "completed"


async def test_else_the_follower_with_the_shortest_queue_does(party: Party) -> None:
    async with party.running():
        one, two, three, four = await fed(party, "b", "c", "d")
        moving = {"started_us": 1, "progress_us": 2, "directories": 3}
        await one.beat(LEADING, scan=moving)
        await two.beat(FOLLOWING, queue=10)
        await three.beat(FOLLOWING, queue=5)
        await four.beat(PAUSED, queue=0)
        job = await scan(party)
        assert job.agent == "c"
        (command,) = scans(await three.beat(FOLLOWING, queue=5))
        await three.close()
        await party.clock.advance(1)
        assert job_of(party, job).agent == "b", "its session ended"
        (other,) = scans(await two.beat(FOLLOWING, queue=10))
        assert other.id != command.id
        for number in range(5):
            await one.beat(LEADING, scan={**moving, "progress_us": number})
            await four.beat(PAUSED)
            await party.clock.advance(7)
            await two.beat(FOLLOWING, queue=10)
        assert job_of(party, job).agent != "b", "nothing came of it for half a minute"


async def test_nobody_is_asked_twice_while_it_goes_forward(party: Party) -> None:
    async with party.running():
        one, _ = await fed(party, "b")
        await one.beat(LEADING)
        job = await scan(party)
        ids = set()
        for number in range(12):
            moving = {"started_us": 1, "progress_us": number, "directories": number}
            ids |= {c.id for c in scans(await one.beat(LEADING, scan=moving))}
            await party.clock.advance(9)
        assert ids == {job.id}
        assert job_of(party, job).agent == "a"


async def test_without_an_agent_that_can_it_fails_and_says_why(party: Party) -> None:
    async with party.running():
        (one,) = await fed(party)
        await one.beat(PAUSED)
        job = await scan(party)
        assert job.state == "pending"
        for _ in range(8):
            await party.clock.advance(9)
            await one.beat(PAUSED)
        failed = job_of(party, job)
        assert failed.state == "failed"
        assert failed.error is not None
        assert "no agent" in failed.error


async def test_what_never_comes_to_anything_fails_in_the_end(party: Party) -> None:
    async with party.running():
        one, two = await fed(party, "b")
        job = await scan(party)
        for _ in range(70):
            await one.beat(LEADING)
            await two.beat()
            await party.clock.advance(9)
        assert job_of(party, job).state == "failed"


# ---- looks, and what is owed


async def test_looks_are_the_leaders_alone(party: Party) -> None:
    async with party.running():
        one, two = await fed(party, "b")
        await party.clock.advance(25)
        for agent in (one, two):
            await agent.beat(LEADING if agent is one else FOLLOWING)
        await two.send(_owe(two, [TOP]))
        found: list[bytes] = []
        for _ in range(8):
            await party.clock.advance(20)
            assert not asked(await two.beat(), "list")
            answer = await one.beat(LEADING)
            assert len(answer.commands) <= 100
            found += asked(answer, "list")
        assert b"/d" in found


def _owe(agent: Agent, keys: Iterable[Key]) -> Owe:
    (key,) = keys
    stamp = agent.stamp("s")
    return Owe(dir=key, deep=False, reason="overflow", stamp=stamp, origin=Origin.REALTIME)


async def test_what_is_owed_is_named_to_who_can_do_it(party: Party) -> None:
    async with party.running():
        one, two = await fed(party, "b")
        blind = await party.agent("c", scan=False)
        assert [o.path for o in (await two.send(_owe(two, [TOP]))).owed] == [b"/d"]
        ack = await blind.send(_owe(blind, [TOP]))
        assert not ack.owed
        assert asked(await one.beat(LEADING), "list") == [b"/d"], "the leader does it instead"
        many = {b"n%03d" % i: edge_row(Key(0, 1000 + i, 0)) for i in range(300)}
        await one.send(one.listing(TOP, many))
        ack = await two.send(*[_owe(two, [Key(0, 1000 + i, 0)]) for i in range(300)])
        assert len(ack.owed) == 100


async def test_what_nobody_watches_is_said_as_long_as_it_is_so(party: Party) -> None:
    async with party.running() as pipeline:
        one, two = await fed(party, "b")
        await one.beat(LEADING, uncovered=(b"/x",))
        await two.beat(FOLLOWING, uncovered=(b"/y",))
        assert pipeline.moment().uncovered == (b"/x", b"/y")
        await one.beat(LEADING)
        assert pipeline.moment().uncovered == (b"/y",)
        await two.close()
        assert pipeline.moment().uncovered == ()


# ---- looks at suspects


async def fresh(party: Party) -> Agent:
    """A leader whose first look finds two files that were just written."""
    one = await party.agent("a")
    assert not asked(await one.beat(LEADING), "look")
    new = file()._replace(mtime_ns=time.time_ns(), ctime_ns=time.time_ns())
    rows = {b"old": file(), b"new": new, b"newer": new}
    await one.send(one.root(origin=Origin.SNAPSHOT), one.listing(ROOT, rows))
    return one


async def test_suspects_are_looked_at_when_their_hot_window_is_over(party: Party) -> None:
    async with party.running():
        one = await fresh(party)
        looks: dict[int, list[bytes]] = {}
        for second in range(1, 60):
            await party.clock.advance(1)
            if found := asked(await one.beat(LEADING), "look"):
                looks[second] = found
        ((second, found), *again) = looks.items()
        hot_s = OPTIONS.hot_s
        assert found == [b"/new", b"/newer"]
        assert hot_s <= second <= hot_s * 1.2, "long before the next round of the sentinel"
        assert not again, "what is on its way is not asked for again"


async def test_without_a_sentinel_nobody_looks(tmp_path: Path) -> None:
    party = Party(tmp_path, sentinel_interval_s=0.0)
    async with party.running():
        one = await fresh(party)
        for _ in range(12):
            await party.clock.advance(5)
            assert not (await one.beat(LEADING)).commands


async def test_a_leader_of_this_process_is_called_when_a_suspect_is_ripe(party: Party) -> None:
    async with party.running() as pipeline:
        one = await fresh(party)
        assert not asked(await one.beat(LEADING), "look")
        came: list[float] = []
        began = party.clock.now_us()

        async def come() -> None:
            while not came:
                await pipeline.standing.summons.called(one.grant.session_id)
                if asked(await one.beat(LEADING), "look"):
                    came.append((party.clock.now_us() - began) / 1e6)

        with anyio.fail_after(LIMIT_S):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(come)
                while not came:
                    await party.clock.advance(0.5)
                    await one.send(one.root())  # keeps the session alive, and brings nothing home
        assert OPTIONS.hot_s - 1 <= came[0] <= OPTIONS.hot_s * 1.2
