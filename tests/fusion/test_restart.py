"""kill -9 of fusion: sessions, replies, leadership, keys and lines go on where they were."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fustor_core import keeping
from fustor_core.claims import Key, Origin, edge_row
from fustor_core.contracts import Answer
from fustor_core.errors import Forbidden, SessionObsoletedError
from fustor_core.upkeep import Upkeep

from .party import LEADING, ROOT, TOP, Agent, Party, file

pytestmark = pytest.mark.anyio


async def test_a_session_goes_on_after_a_crash_in_mid_snapshot(party: Party) -> None:
    async with party.running():
        one = await party.agent(key="k", remote=True)
        tree = one.tree()
        first = await one.send(*tree[:2])
        party.kill()
    async with party.running() as again:
        repeated = await one.send(*tree[:2], seq=1)
        assert (repeated.acked, repeated.owed) == (first.acked, first.owed)
        ack = await one.send(tree[2])
        assert ack.acked == 2
        assert not ack.quarantined, "the root stands proven"
        assert party.paths() == {"/a", "/d", "/d/b"}
        led = again.standing.leadership
        assert led.leader == one.grant.session_id
        assert led.epoch == one.grant.epoch
        assert (await one.beat(LEADING)).role == "leader"


async def test_a_crash_before_any_checkpoint_loses_nothing(party: Party) -> None:
    async with party.running() as pipeline:
        one = await party.agent()
        two = await party.agent("b")
        bad = one.event(b"x/y", file())
        reply = await one.send(*one.tree(), bad)
        assert reply.quarantined
        await two.send(two.root(), two.event(b"new", file()))
        at = pipeline.now_us()
        party.kill()
    party.clock.tick(7_000_000)
    async with party.running() as again:
        assert again.now_us() >= at + 7_000_000, "fusion time went on by what passed"
        assert [s.agent_id for s, _ in again.session_list()] == ["a", "b"]
        stored = await one.send(seq=1)
        assert (stored.acked, stored.quarantined) == (1, reply.quarantined)
        assert (await two.send(two.event(b"n2", file()))).acked == 2
        assert {"/new", "/n2"} <= party.paths()


async def test_behind_a_checkpoint_a_long_journal_is_not_read_again(
    party: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with party.running() as pipeline:
        journal = pipeline.keeping.journal
        one = await party.agent()
        await one.send(*one.tree())
        before = journal.size_bytes
        await pipeline.keeping.checkpoint(party.alarms.append)
        assert journal.size_bytes == before, "it is short"
        monkeypatch.setattr(keeping, "ROLL_BYTES", before)
        await pipeline.keeping.checkpoint(party.alarms.append)
        assert journal.segments == 1
        assert journal.size_bytes < before / 4
        await one.send(one.event(b"new", file()))
        party.kill()
    async with party.running() as again:
        assert again.keeping.journal.recovery.whole
        assert party.paths() == {"/a", "/d", "/d/b", "/new"}
        assert (await one.send(one.event(b"n2", file()))).acked == 3


async def test_a_watch_on_another_storage_is_no_better_after_a_restart(party: Party) -> None:
    """Seed 4838: which storage it stood on was known to the process before alone."""
    async with party.running():
        one, two = await party.agent(), await party.agent("b")
        await one.send(*one.tree())
        before = two.root()
        party.clock.tick(1000)
        await two.send(two.root("another disk"))
        party.kill()
    async with party.running():
        await two.send(two.event(b"a", None), two.event(b"strange", file()))
        assert party.paths() == {"/a", "/d", "/d/b"}
        await two.send(before, two.event(b"stranger", file()))
        assert party.paths() == {"/a", "/d", "/d/b"}, "that proof is from before (seed 21761)"
        past = two.root("another disk")
        party.clock.tick(1000)
        await two.send(two.root(), two.event(b"new", file()))
        assert party.paths() == {"/a", "/d", "/d/b", "/new"}
        party.kill()
    async with party.running():
        await two.send(past, two.event(b"newer", file()))
        assert party.paths() == {"/a", "/d", "/d/b", "/new", "/newer"}, "that is over (seed 78780)"


async def test_a_leader_that_is_gone_after_a_restart_expires_and_the_next_leads(
    party: Party,
) -> None:
    async with party.running():
        await party.agent()
        two = await party.agent("b")
        party.kill()
    party.clock.tick(3_600_000_000)
    async with party.running() as again:
        assert (await two.beat()).role == "follower"
        await party.clock.advance(29)
        assert len(again.session_list()) == 2, "silence while fusion was down does not count"
        await two.beat()
        await party.clock.advance(2)
        answer = await two.leads()
        assert (answer.role, answer.epoch) == ("leader", 2)


async def test_what_ended_stays_ended(party: Party) -> None:
    async with party.running() as pipeline:
        one = await party.agent(remote=True)
        replaced = one.grant.session_id
        await one.open()
        two = await party.agent("b", key="k")
        three = await party.agent("c")
        gone = await party.agent("d")
        await three.close()
        await party.clock.advance(19)
        for agent in (one, two):
            await agent.beat()
        await party.clock.advance(19)
        for agent in (one, two):
            await agent.beat()
        with pytest.raises(SessionObsoletedError) as expired:
            await gone.beat()
        assert expired.value.reason == "expired"
        await pipeline.revoke("k")
        party.kill()
    async with party.running() as again:
        assert [s.session_id for s, _ in again.session_list()] == [one.grant.session_id]
        for agent in (two, three, gone):
            with pytest.raises(SessionObsoletedError) as error:
                await agent.beat()
            assert error.value.reason == "unknown"
        with pytest.raises(SessionObsoletedError):
            await again.push(replaced, None, b"")  # type: ignore[arg-type]


async def test_an_agent_id_stays_bound_to_its_key(party: Party) -> None:
    async with party.running():
        await party.agent(key="mine")
        party.kill()
    async with party.running():
        with pytest.raises(Forbidden, match="belongs to another key"):
            await party.agent(key="other")
        await party.agent()  # the Unix socket needs none, and binds nothing
        await party.agent(key="mine")


async def test_a_line_and_its_bounds_outlive_sessions_and_restarts(party: Party) -> None:
    async with party.running() as pipeline:
        one = await party.agent(remote=True, boot="far", skew_us=5_000_000_000)
        await one.beat()
        number = pipeline.session_list()[0][1].line.number
        await one.close()
        await one.open()
        line = pipeline.session_list()[0][1].line
        assert line.number == number
        before = line.offsets()
        assert None not in before
    party.made()
    async with party.running() as pipeline:
        await one.beat()
        line = pipeline.session_list()[0][1].line
        assert line.number == number
        least, most = line.offsets()
        true = pipeline.now_us() - one.raw_us()
        assert least is not None
        assert most is not None
        assert least <= true <= most <= least + 3_000
        other = await party.agent("b", remote=True)
        numbers = {peer.line.number for _, peer in pipeline.session_list()}
        assert len(numbers) == 2
        assert other.grant.role == "follower"


async def test_looks_from_before_a_reboot_of_fusion_stay_before_it(party: Party) -> None:
    """The time that fusion was down is only guessed: here by a wall that says nothing passed."""
    async with party.running() as pipeline:
        one = await party.agent(remote=True, boot="far", skew_us=77)
        await one.send(*one.tree())
        await one.beat()
        early = one.event(b"early", file())
        ended = pipeline.now_us()
    party.clock.tick(400_000_000)
    party.boot = "boot-2"
    party.made()
    async with party.running() as pipeline:
        began = pipeline.now_us()
        assert began < ended + 400_000_000, "the guess is wrong"
        late = one.event(b"late", file())
        await one.send(early)
        await one.send(late)
        root = pipeline.view.known(ROOT)
        assert root is not None
        first, second = root.get(b"early"), root.get(b"late")
        assert first is not None
        assert second is not None
        assert first.seen.hi <= began
        assert first.seen.lo <= ended
        assert second.seen.lo >= ended


async def test_looks_on_the_new_boots_clock_lie_after_the_old_boot(party: Party) -> None:
    async with party.running() as pipeline:
        one = await party.agent()
        await one.send(*one.tree())
        ended = pipeline.now_us()
    party.clock.tick(400_000_000)
    party.boot = "boot-2"
    party.made()
    two = Agent(party, "b", boot="boot-2")
    early = two.event(b"a", None)
    party.clock.tick(300_000_000)  # fusion comes up long after the agent; its wall says at once
    async with party.running() as pipeline:
        await two.open()
        await two.send(two.root(), early)
        assert pipeline.now_us() < ended + 300_000_000
        assert party.paths() == {"/d", "/d/b"}, "it is newer than all of the boot before"


async def test_a_restored_view_is_stale_until_somebody_is_heard(party: Party) -> None:
    async with party.running() as pipeline:
        one = await party.agent()
        await one.send(*one.tree())
        assert not pipeline.moment().stale
        party.kill()
    async with party.running() as again:
        assert again.moment().stale
        await one.send(one.listing(TOP, {}, Origin.SNAPSHOT))
        assert not again.moment().stale


# ---- what agents were asked for


def watched(answer: Answer) -> list[bytes]:
    return [path for c in answer.commands if c.kind == "watch" for _, path in c.targets]


@pytest.mark.parametrize("clean", [True, False], ids=["stopped", "killed"])
async def test_a_scan_on_demand_outlives_a_restart(party: Party, *, clean: bool) -> None:
    async with party.running() as pipeline:
        one = await party.agent()
        await one.send(*one.tree())
        done = await pipeline.scan(b"/", recursive=False)
        assert done is not None
        await one.beat(LEADING)
        await one.send(one.listing(ROOT, {b"a": file(7), b"d": edge_row(TOP)}, Origin.ON_DEMAND))
        job = await pipeline.scan(b"/d", recursive=True)
        assert job is not None
        dropped = await pipeline.scan(b"/d", recursive=True)
        assert dropped is not None
        pipeline.standing.summons.jobs.cancel(dropped.id, pipeline.now_us())
        (asked,) = [c for c in (await one.beat(LEADING)).commands if c.kind == "scan"]
        assert asked.id == job.id
        await pipeline.keeping.keep_jobs()
        if not clean:
            party.kill()
    if clean:
        party.made()
    async with party.running() as again:
        jobs = again.standing.summons.jobs
        assert {j.id: j.state for j in jobs} == {
            done.id: "completed", job.id: "pending", dropped.id: "cancelled",
        }  # fmt: skip
        over = jobs.get(done.id)
        assert over is not None
        assert over.changed == 1
        await one.beat(LEADING)
        again.standing.place_jobs()
        (asked,) = [c for c in (await one.beat(LEADING)).commands if c.kind == "scan"]
        assert asked.id.startswith(job.id)
        assert asked.id != job.id, "what it knows it does not do again"
        await one.send(one.listing(TOP, {b"b": file(3)}, Origin.ON_DEMAND))
        now = jobs.get(job.id)
        assert now is not None
        assert (now.state, now.changed) == ("completed", 1)
        await again.keeping.keep_jobs()
        party.kill()
    async with party.running() as last:
        kept = last.standing.summons.jobs.get(job.id)
        assert kept is not None
        assert (kept.state, kept.changed) == ("completed", 1)


@pytest.mark.parametrize("clean", [True, False], ids=["stopped", "killed"])
async def test_a_directory_to_watch_outlives_a_restart(party: Party, *, clean: bool) -> None:
    new, more = Key(0, 50, 0), Key(0, 51, 0)
    async with party.running():
        one, two = await party.agent(), await party.agent("b")
        await one.send(*one.tree())
        await two.send(two.root())
        assert not watched(await two.beat())
        await one.send(one.event(b"said", edge_row(more)))
        assert watched(await two.beat()) == [b"/said"], "the reply may be lost"
        await one.send(one.event(b"new", edge_row(new)))
        if not clean:
            party.kill()
    if clean:
        party.made()
    async with party.running():
        assert set(watched(await two.beat())) == {b"/said", b"/new"}
        assert not watched(await one.beat()), "it has told of them itself"
        assert set(watched(await two.beat())) == {b"/said", b"/new"}
        assert not watched(await two.beat())
        party.kill()
    async with party.running():
        await two.beat()


async def test_a_longer_timeout_holds_at_once_a_shorter_one_for_new_sessions(party: Party) -> None:
    async with party.running() as pipeline:
        one = await party.agent()

        def timeouts() -> dict[str, float]:
            return {s.agent_id: s.timeout_us / 1e6 for s, _ in pipeline.session_list()}

        pipeline.adopt(replace(party.options, session_timeout_s=50.0))
        assert timeouts() == {"a": 50.0}
        pipeline.adopt(replace(party.options, session_timeout_s=9.0))
        two = await party.agent("b")
        assert timeouts() == {"a": 50.0, "b": 9.0}, "nobody has told the first to beat more often"
        await party.clock.advance(8)
        await two.beat()
        await party.clock.advance(8)
        await two.beat()
        await party.clock.advance(20)
        assert set(timeouts()) == {"a"}
        await one.beat()
    party.options = replace(party.options, session_timeout_s=70.0)
    party.made()
    async with party.running() as again:
        assert [s.timeout_us for s, _ in again.session_list()] == [70_000_000]


async def test_upkeep_hears_how_much_a_start_would_replay(
    party: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[int] = []
    monkeypatch.setattr(Upkeep, "grew", lambda self, size: heard.append(size))
    async with party.running():
        one = await party.agent()
        (journal,) = party.folder.rglob("*.journal")
        heard.clear()
        before = journal.stat().st_size
        await one.send(*one.tree())
        grown = journal.stat().st_size - before
    assert 0 < sum(heard) <= grown
