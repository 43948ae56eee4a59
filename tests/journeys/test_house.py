"""One process with everything in it: built from a configuration, served, stopped, begun again."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from fustor_core import bootstrap
from fustor_core.bootstrap import House
from fustor_core.config import Loaded, load_config, up_config
from fustor_core.contracts import Query
from fustor_core.errors import NoSuchView, StateInUse
from fustor_core.pipeline import AgentPipeline
from fustor_core.problems import Problem

pytestmark = pytest.mark.anyio

LIMIT_S = 30.0


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "b" / "d").mkdir(parents=True)
    for name in ("a", "b/c", "b/d/e"):
        (root / name).write_text(name)
    return root


class Told:
    """The events of a run, and waiting for them."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self._news = anyio.Event()

    def take(self, event: dict[str, Any]) -> None:
        self.events.append(event)
        self._news.set()
        self._news = anyio.Event()

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event"] == kind]

    async def until(self, reached: Callable[[], object]) -> None:
        with anyio.fail_after(LIMIT_S):
            while not reached():
                await self._news.wait()


@asynccontextmanager
async def running(loaded: Loaded, home: Path, told: Told) -> AsyncIterator[House]:
    """A house that serves inside."""
    stop = anyio.Event()
    with ExitStack() as held:
        house = House(loaded, home, told.take)
        house.open(held)
        async with anyio.create_task_group() as group:
            group.start_soon(house.live, stop)
            yield house
            stop.set()


async def next_start(house: House, name: str, before: AgentPipeline) -> AgentPipeline:
    """The pipeline of a pipe's next start, as soon as its first scan is over."""
    with anyio.fail_after(LIMIT_S):
        while house.pipes[name] is before:
            await anyio.lowlevel.checkpoint()
        after = house.pipes[name]
        await after._stage.until(lambda: int(after.state) == 66)
    return after


async def files(house: House, view: str) -> int:
    """How many files a view holds."""
    document: dict[str, Any] = {}
    async for page in house.fusion.query(view, Query("du")):
        document = page.document or document
    return int(document["rollup"]["files"])


async def test_a_run_tells_of_its_scan_its_readiness_and_its_end(
    tmp_path: Path, tree: Path
) -> None:
    told, stop = Told(), anyio.Event()
    async with anyio.create_task_group() as group:

        async def run() -> None:
            await bootstrap.run(up_config([tree]), tmp_path / "h", on_event=told.take, stop=stop)

        group.start_soon(run)
        await told.until(lambda: told.of("ready"))
        (tree / "new").write_text("new")
        await told.until(lambda: any(e["files"] == 4 for e in told.of("status")))
        stop.set()
    (ready,) = told.of("ready")
    assert (ready["view"], ready["files"], ready["dirs"], ready["bytes"]) == ("tree", 3, 2, 9)
    assert (ready["unscanned"], ready["polled"], ready["excluded"]) == (0, 0, [])
    assert ready["socket"] == str(tmp_path / "h" / "fusion" / "api.sock")
    assert told.events[-1]["event"] == "stopped"
    assert not told.of("warning")
    assert all(event["ts"].endswith("Z") for event in told.events)


async def test_a_state_directory_inside_the_root_is_left_out(tree: Path) -> None:
    told = Told()
    async with running(up_config([tree]), tree / ".state", told) as house:
        await told.until(lambda: told.of("ready"))
        assert await files(house, "tree") == 3
        (ready,) = told.of("ready")
        assert ready["excluded"] == ["/.state"]
        assert ready["quality"]["complete"], "left out by choice is no gap"


async def test_a_home_is_used_by_one_process(tmp_path: Path, tree: Path) -> None:
    told = Told()
    async with running(up_config([tree]), tmp_path / "h", told):
        with pytest.raises(StateInUse) as caught:
            await bootstrap.run(
                up_config([tree]), tmp_path / "h", on_event=told.take, stop=anyio.Event()
            )
    assert caught.value.pid == os.getpid()


async def test_the_view_is_there_again_after_a_restart(tmp_path: Path, tree: Path) -> None:
    told = Told()
    async with running(up_config([tree]), tmp_path / "h", told):
        await told.until(lambda: told.of("ready"))
    tree.rename(tmp_path / "gone")
    tree.mkdir()
    tree.chmod(0)
    again = Told()
    async with running(up_config([tree]), tmp_path / "h", again) as house:
        assert await files(house, "tree") == 3, "answered before anything is scanned"
    tree.chmod(0o700)


async def test_pipes_are_paused_resumed_and_restarted(tmp_path: Path, tree: Path) -> None:
    told = Told()
    async with running(up_config([tree]), tmp_path / "h", told) as house:
        await told.until(lambda: told.of("ready"))
        ask = house.fusion.command
        assert (await ask("pause", {"id": "tree"}))["flags"] == ["RUNNING", "PAUSED"]
        (tree / "new").write_text("new")
        assert (await ask("resume", {"id": "tree"}))["state"] == 2
        await told.until(lambda: any(e["files"] == 4 for e in told.of("status")))
        before = house.pipes["tree"]
        await ask("restart", {"id": "tree"})
        after = await next_start(house, "tree", before)
        assert after.source is not before.source
        assert after.sink is not before.sink
        assert (await ask("pipe", {"id": "tree"}))["generation"] == 2
        with pytest.raises(Problem, match="no pipe 'x'; pipes: tree"):
            await ask("pause", {"id": "x"})


async def test_somebody_may_ask_for_the_end(tmp_path: Path, tree: Path) -> None:
    told = Told()
    with anyio.fail_after(LIMIT_S):
        async with anyio.create_task_group() as group:

            async def run() -> None:
                with ExitStack() as held:
                    house = House(up_config([tree]), tmp_path / "h", told.take)
                    house.open(held)
                    group.start_soon(house.fusion.command, "stop", {})
                    await house.live(anyio.Event())

            group.start_soon(run)


async def test_a_view_that_is_fed_is_not_dropped(tmp_path: Path, tree: Path) -> None:
    told = Told()
    async with running(up_config([tree]), tmp_path / "h", told) as house:
        await told.until(lambda: told.of("ready"))
        with pytest.raises(Problem, match="while pipes feed it: tree") as caught:
            await house.fusion.command("drop", {"view": "tree"})
        assert caught.value.document["status"] == 409
        with pytest.raises(NoSuchView):
            await house.fusion.command("drop", {"view": "other"})


async def test_a_view_that_nobody_feeds_is_dropped_with_its_state(
    tmp_path: Path, tree: Path
) -> None:
    told = Told()
    async with running(up_config([tree]), tmp_path / "h", told):
        await told.until(lambda: told.of("ready"))
    folder = tmp_path / "h" / "fusion" / "views" / "tree"
    assert folder.is_dir()
    config = tmp_path / "c.yaml"
    config.write_text("version: 1\nviews: {tree: {}, other: {}}\n")
    loaded = load_config([config], os.environ)
    again = Told()
    async with running(loaded, tmp_path / "h", again) as house:
        await again.until(lambda: len(again.of("ready")) == 2)
        assert await files(house, "tree") == 3
        assert await house.fusion.command("drop", {"view": "tree"}) == {"dropped": "tree"}
        assert not folder.exists()
        assert [view["view"] for view in house.fusion.views()] == ["other"]


async def test_the_status_tells_what_runs(tmp_path: Path, tree: Path) -> None:
    told = Told()
    async with running(up_config([tree]), tmp_path / "h", told) as house:
        await told.until(lambda: told.of("ready"))
        status = house.fusion.status()
        assert status["home"] == str(tmp_path / "h")
        assert status["pid"] == os.getpid()
        assert [pipe["flags"] for pipe in status["pipes"]] == [["RUNNING", "MESSAGE_PHASE"]]
        assert [view["view"] for view in status["views"]] == ["tree"]
        machines = await house.fusion.command("machines", {})
        assert {"pipeline", "session"} <= {one["name"] for one in machines["machines"]}
        with pytest.raises(Problem, match="no machine 'x'"):
            await house.fusion.command("machine", {"name": "x"})
        plugins = await house.fusion.command("plugins", {})
        assert {"fs", "view", "file", "http"} <= {one["name"] for one in plugins["plugins"]}
        assert (await house.fusion.command("config", {}))["values"]
