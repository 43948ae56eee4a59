"""Who leads: failover in time, handing over, a pause, a hang; queries never notice."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fustor_core.errors import SessionObsoletedError, StaleEpochError

from .party import FOLLOWING, LEADING, PAUSED, TOP, Party, file

pytestmark = pytest.mark.anyio

SCAN = {"started_us": 1, "progress_us": 2, "directories": 3}


async def test_a_view_says_after_how_long_a_file_counts_as_settled(party: Party) -> None:
    party.options = replace(party.options, hot_s=7.5)
    party.made()
    async with party.running() as pipeline:
        assert pipeline.status()["hot_file_threshold_s"] == 7.5


async def test_followers_that_may_be_next_beat_often_enough(party: Party) -> None:
    """Timeout, sweep, and twice the interval, as pushes stand in for one heartbeat."""
    async with party.running():
        leader = await party.agent()
        assert leader.grant.heartbeat_interval_s == 10
        two = await party.agent("b")
        assert 2 * two.grant.heartbeat_interval_s + 0.25 < 2
        many = [await party.agent(f"n{i}") for i in range(30)]
        slow = [agent for agent in many if agent.grant.heartbeat_interval_s == 10]
        assert len(slow) == 11, "five hundred sessions do not all beat every second"
        blind = await party.agent("x", scan=False)
        assert blind.grant.heartbeat_interval_s == 10, "it can never lead"


@pytest.mark.parametrize("timeout_s", [0.5, 3.0, 30.0])
async def test_the_next_leader_stands_in_time(party: Party, timeout_s: float) -> None:
    party.options = party.options.__class__("v", timeout_s, 600.0, 120.0, 100)
    party.made()
    async with party.running() as pipeline:
        one, two = await party.agent(), await party.agent("b")
        await one.send(*one.tree())
        await two.send(two.root(), epoch=0)
        interval = two.grant.heartbeat_interval_s
        last, waited = party.clock.now_us(), 0.0
        while waited < timeout_s + 2 and pipeline.standing.leadership.leader is not None:
            await party.clock.advance(interval)
            waited += interval
            answer = await two.beat()
            assert party.paths() == {"/a", "/d", "/d/b"}
            assert not pipeline.moment().stale
            if pipeline.standing.leadership.holder == two.grant.session_id:
                break
        answer = await two.leads()
        assert (answer.role, answer.epoch) == ("leader", 2)
        assert party.clock.now_us() - last <= (timeout_s + 2) * 1e6
        with pytest.raises(SessionObsoletedError):
            await one.beat(LEADING)
        with pytest.raises(StaleEpochError):
            await two.send(two.listing(TOP, {}), epoch=1)
        await two.send(two.listing(TOP, {}), seq=2, epoch=2)


async def test_a_leader_that_says_goodbye_hands_over_at_once(party: Party) -> None:
    async with party.running():
        one, two = await party.agent(), await party.agent("b")
        await one.close()
        answer = await two.beat()
        assert (answer.role, answer.epoch) == ("leader", 2)


async def test_a_leader_that_a_person_paused_hands_over(party: Party) -> None:
    async with party.running():
        one = await party.agent()
        await one.beat(LEADING)
        assert (await one.beat(PAUSED)).role == "leader", "there is nobody else"
        two, three = await party.agent("b"), await party.agent("c")
        await two.beat(FOLLOWING)
        await three.beat(FOLLOWING)
        answer = await one.beat(PAUSED)
        assert answer.role == "follower"
        assert (await two.leads()).epoch == 2
        assert (await two.beat(FOLLOWING)).role == "leader", "its first pulse was on its way"
        assert (await two.beat(LEADING)).role == "leader"
        await two.close()
        await three.leads()
        await three.close()
        assert (await one.beat(PAUSED)).role == "follower", "it rests"


async def test_a_leader_whose_scan_stands_still_rests(party: Party) -> None:
    async with party.running():
        one, two = await party.agent(), await party.agent("b")
        for _ in range(7):
            assert (await one.beat(LEADING, scan=SCAN)).role == "leader"
            await two.beat()
            await party.clock.advance(9)
        answer = await two.leads()
        assert (answer.role, answer.epoch) == ("leader", 2)
        assert (await one.beat(LEADING, scan=SCAN)).role == "follower"
        await one.send(one.event(b"still", file()))
        with pytest.raises(StaleEpochError):
            await one.send(one.listing(TOP, {}), seq=2)


async def test_steady_slow_pushes_keep_a_session_for_ever(party: Party) -> None:
    async with party.running() as pipeline:
        one = await party.agent()
        await one.send(*one.tree())
        for number in range(12):
            await party.clock.advance(9)
            await one.send(one.event(b"n%d" % number, file()))
        assert len(pipeline.session_list()) == 1
        assert (await one.beat(LEADING)).epoch == 1


async def test_nobody_expires_because_fusion_stood_still(party: Party) -> None:
    async with party.running() as pipeline:
        one, two = await party.agent(), await party.agent("b")
        party.clock.tick(300_000_000)  # SIGSTOP, and SIGCONT
        assert (await two.beat()).role == "follower"
        await party.clock.advance(20)
        assert len(pipeline.session_list()) == 2
        assert (await one.beat(LEADING)).role == "leader"
