"""Rows in a view: what is there, what is gone, and what proves it."""

from __future__ import annotations

from pathlib import Path

import anyio
import anyio.lowlevel

from .conftest import LIMIT_S, Agent, World, deleted, event, folder, living, row

SIZE = 7


async def test_a_snapshot_shows_in_the_view(world: World, agent: Agent) -> None:
    await agent.snapshot(folder("/"), folder("/a", mtime=3.5), row("/a/f", SIZE, 2.25))
    assert await world.paths() == ["/a", "/a/f"]
    told = (await world.stat("/a/f"))["entry"]
    assert (told["type"], told["size"], told["mtime_ns"]) == ("file", SIZE, 2_250_000_000)
    assert (told["ino"], told["origin"]) == (0, "snapshot")
    above = (await world.stat("/a"))["entry"]
    assert (above["type"], above["mtime_ns"]) == ("dir", 3_500_000_000)


async def test_nothing_is_complete_and_nothing_proven_absent(world: World, agent: Agent) -> None:
    await agent.snapshot(folder("/"), row("/f"))
    told = await world.stat("/other")
    assert told["existence"] == "unknown"
    assert not told["quality"]["complete"]
    assert not told["quality"]["stale"]


async def test_a_file_stands_in_directories_that_nobody_told_of(world: World, agent: Agent) -> None:
    """A directory that is renamed is not told of by such an agent, what is in it is."""
    await agent.snapshot(folder("/"))
    await agent.push(event(row("/new/below/f")))
    assert await world.paths() == ["/new", "/new/below", "/new/below/f"]


async def test_events_go_by_their_place_in_the_queue(world: World, agent: Agent) -> None:
    await agent.snapshot(folder("/"), row("/f"))
    await agent.push(event(row("/f", 2)), deleted("/f"), event(row("/f", 3)), deleted("/g"))
    told = (await world.stat("/f"))["entry"]
    assert told["size"] == 3
    assert told["flags"] == ["debt"] or not told["flags"]
    await agent.push(deleted("/f"))
    assert await world.paths() == []
    await agent.push(event(row("/f", 4)))
    assert await world.paths() == ["/f"]


async def test_an_event_of_before_does_not_return_with_a_push_that_is_repeated(
    world: World, agent: Agent
) -> None:
    await agent.snapshot(folder("/"))
    once = event(row("/f", 2)), event(row("/g", 2))
    await agent.push(*once)
    await agent.push(*once)
    assert await world.paths() == ["/f", "/g"]


async def test_with_a_directory_goes_what_was_below(world: World, agent: Agent) -> None:
    """Moved away it is told of by its own name alone; should it return, it comes empty."""
    await agent.snapshot(folder("/"), folder("/a"), folder("/a/b"), row("/a/b/f"), row("/a/g"))
    await agent.push(event(row("/a/late")), deleted("/a"))
    assert await world.paths() == []
    await agent.push(event(folder("/a")), event(folder("/a/b")))
    assert await world.paths() == ["/a", "/a/b"]


async def test_a_file_in_the_place_of_a_directory(world: World, agent: Agent) -> None:
    await agent.snapshot(folder("/"), folder("/a"), row("/a/f"))
    await agent.push(event(row("/a")))
    assert await world.paths() == ["/a"]
    await agent.push(event(folder("/a")))
    assert await world.paths() == ["/a"]


async def test_a_row_of_an_older_look_does_not_bring_back_what_was_deleted(
    world: World, agent: Agent
) -> None:
    await agent.snapshot(folder("/"), row("/f"))
    await agent.push(deleted("/f"))
    await agent.push(event(row("/f"), source="snapshot"), kind="snapshot")
    told = await world.stat("/f")
    assert told["existence"] != "present"


async def test_an_audit_takes_nothing_away_the_sentinel_does(world: World, agent: Agent) -> None:
    await agent.snapshot(folder("/"), folder("/a"), row("/a/gone"), row("/a/stays"), row("/top"))
    await agent.audit(folder("/"), row("/top"), folder("/a"), row("/a/stays"))
    assert "/a/gone" in await world.paths()
    asked = await world.doubts(agent, "/", "/a", "/a/stays", "/top")
    assert "/a/gone" in asked
    assert "/a/stays" not in asked
    assert await world.paths() == ["/a", "/a/stays", "/top"]


async def test_a_name_that_an_audit_only_lost_stays(world: World, agent: Agent) -> None:
    await agent.snapshot(folder("/"), row("/lost"), row("/told"))
    await agent.audit(folder("/"), row("/told"))
    assert "/lost" in await world.doubts(agent, "/lost", "/told")
    assert await world.paths() == ["/lost", "/told"]
    commands = (await agent.beat())["commands"]
    assert [(c["type"], c["path"], c["recursive"]) for c in commands] == [("scan", "/lost", False)]
    await agent.push(event(row("/lost", SIZE), source="on_demand_job"), kind="on_demand_job")
    assert (await world.stat("/lost"))["entry"]["size"] == SIZE


async def test_a_silent_directory_raises_no_doubt(world: World, agent: Agent) -> None:
    await agent.snapshot(folder("/"), folder("/a"), row("/a/f"), row("/x"))
    await agent.audit(folder("/"), folder("/a", audit_skipped=True))
    assert await world.doubts(agent, "/x") == ["/x", "/a"]
    assert await world.paths() == ["/a", "/a/f", "/x"]


async def test_an_agent_that_finds_nothing_at_all_is_not_believed(
    world: World, agent: Agent
) -> None:
    await agent.snapshot(folder("/"), folder("/a"), row("/a/f"), row("/x"))
    await agent.audit(folder("/"))
    assert set(await world.doubts(agent)) == {"/a", "/x"}
    assert await world.paths() == ["/a", "/a/f", "/x"]


async def test_a_missing_directory_takes_what_is_below_with_it(world: World, agent: Agent) -> None:
    await agent.snapshot(folder("/"), folder("/a"), folder("/a/b"), row("/a/b/f"), row("/x"))
    await agent.audit(folder("/"), row("/x"))
    await world.doubts(agent, "/x")
    assert await world.paths() == ["/x"]
    await agent.push(event(folder("/a")), event(folder("/a/b")))
    assert await world.paths() == ["/a", "/a/b", "/x"]


async def test_only_what_was_asked_is_answered(world: World, agent: Agent) -> None:
    await agent.snapshot(folder("/"), row("/f"), row("/g"))
    updates = [{"path": "/f", "mtime": 0.0, "status": "missing"}]
    feedback = {"type": "suspect_update", "updates": updates}
    reply = await agent.post("/consistency/sentinel/feedback", feedback)
    assert reply.status_code == 200
    assert await world.paths() == ["/f", "/g"]


async def test_what_was_not_asked_is_no_witness(world: World, agent: Agent) -> None:
    await agent.snapshot(folder("/"), row("/f"), row("/g"))
    await agent.audit(folder("/"))
    with anyio.fail_after(LIMIT_S):
        while not (task := (await agent.tasks())):
            await anyio.lowlevel.checkpoint()
    await agent.finds({"/invented"}, [*task, "/invented"])
    assert await world.paths() == ["/f", "/g"]


async def test_an_audit_is_counted(world: World, agent: Agent) -> None:
    await agent.snapshot(folder("/"), row("/f"))
    await agent.audit(folder("/"), row("/f"))
    (status,) = world.fusion.views()
    assert status["audits"] == 1


async def test_the_view_is_the_same_after_a_restart(tmp_path: Path) -> None:
    async with living(tmp_path) as world, world.client() as client:
        agent = Agent(client)
        await agent.open()
        await agent.snapshot(folder("/"), folder("/a"), row("/a/f"))
        await agent.push(deleted("/a/f"), event(row("/a/g")))
    async with living(tmp_path) as world:
        assert await world.paths() == ["/a", "/a/g"]


async def test_changes_are_told_from_the_end_of_the_first_snapshot(
    world: World, agent: Agent
) -> None:
    """The view is never complete; what changes in it can be told all the same."""
    await agent.push(event(folder("/"), row("/f"), source="snapshot"), kind="snapshot")
    assert [c["kind"] for c in await world.changes("0")] == []
    await agent.push(kind="snapshot", end=True)
    await agent.push(event(row("/g")), deleted("/f"))
    told = [(c["kind"], c["path"]) for c in await world.changes("0")]
    assert told == [("resync", "/"), ("created", "/g"), ("deleted", "/f")]
    assert not (await world.stat("/g"))["quality"]["complete"]


async def test_audits_are_counted(world: World, agent: Agent) -> None:
    await agent.snapshot(folder("/"), row("/f"))
    await agent.beat()
    await agent.audit(folder("/"), row("/f"))
    assert world.pipeline.status()["audits"] == 1
