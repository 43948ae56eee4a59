"""`top`: what it shows, as rows, and the page itself with a real server behind it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from textual.widgets import DataTable, Static

from fustor_core.cli import glance
from fustor_core.cli.call import Call, Settings
from fustor_core.cli.glance import Glance, History, Observer
from fustor_core.cli.screen import standard_screen
from fustor_core.cli.top_page import TopPage

LIMIT_S = 60.0
EVIL = b"/[red]x[/red] \x1b[31m<script>"


@pytest.fixture
def call(home: Path) -> Iterator[Call]:
    made = Call(Settings(home=home), standard_screen())
    yield made
    made.close()


@pytest.fixture
def world(own_server: Any, make: Any, root: Path) -> Any:
    """A server with two views, a pipe, a session and a job."""
    views = [
        make.view_status("data", bytes(root)),
        make.view_status("other", b"/o", quality=make.quality(suspects=3, complete=False)),
    ]
    pipe = {
        "id": "data",
        "flags": ["RUNNING", "ERROR"],
        "role": "leader",
        "queue": 7,
        "unacked_bytes": 2048,
        "last_ack_at": "2020-11-21T10:00:00Z",
        "watched_dirs": 3,
        "errors_in_row": 2,
        "last_error": "no route",
    }
    status = {"version": "1", "pid": 1, "uptime_s": 65, "roles": ["fusion"]}
    own_server.answer("/status", {**status, "views": views, "pipes": [pipe]})
    session = {"session_id": "s1", "agent_id": "a", "pipe": "data", "view": "data"}
    own_server.answer("/sessions", {"sessions": [session]})
    job = {"id": "j1", "view": "data", **make.named(EVIL), "state": "running"}
    own_server.answer("/jobs", {"jobs": [job]})
    return own_server


def texts(rows: list[glance.Row]) -> list[list[str]]:
    return [[text for text, _ in cells] for _, cells in rows]


def test_what_is_seen(world: Any, call: Call) -> None:
    now = [100.0]
    observer, history = Observer(call, lambda: now[0]), History()
    seen = observer.look()
    assert (seen.error, seen.changes, seen.per_s) == ("", [], 0.0)
    now[0] += 2.0
    world.change("created", EVIL, entry={"type": "file", "size": 2048, "flags": ["suspect"]})
    world.change("moved", b"/b", from_path="/a")
    seen = observer.look()
    assert seen.per_s == 1.0
    history.add("data", seen.per_s)
    (first, second) = texts(glance.view_rows(seen, history))
    assert first[0] == "data"
    assert first[-2:] == ["1.0/s", "complete"]
    assert second[4] == "3"
    assert "incomplete" in second[-1]
    (pipe,) = texts(glance.pipe_rows(seen))
    assert pipe[:5] == ["data", "leader", "RUNNING ERROR", "7", "2.0 KiB"]
    assert pipe[-1] == "no route"
    assert texts(glance.session_rows(seen))[0][:4] == ["s1", "a", "data", "data"]
    created, moved = [[text for text, _ in glance.change_cells(one)] for one in seen.changes]
    assert created[1:2] + created[3:] == ["created", "2.0 KiB", "suspect"]
    assert "\x1b" not in created[2]
    assert moved[2] == "/a → /b"
    for rows in (glance.job_rows(seen), glance.view_rows(seen, history)):
        assert not any(re.search(r"[\x00-\x1f]", text) for row in texts(rows) for text in row)


def test_a_feed_that_has_gone_on_without_us_is_taken_up(world: Any, call: Call, make: Any) -> None:
    observer = Observer(call)
    observer.look()
    problem = make.problem("cursor-too-old", 410, "gone", cursor="c9")

    def answer(params: Any) -> Any:
        return problem if "since" in params else {"changes": [], "cursor": "c9", "more": False}

    world.answer("/views/data/changes", answer)
    assert observer.look().error == ""


def test_without_an_answer_the_last_one_stays(world: Any, call: Call) -> None:
    observer = Observer(call)
    assert [view["view"] for view in observer.look().views] == ["data", "other"]
    world.stop()
    seen = observer.look()
    assert seen.error
    assert [view["view"] for view in seen.views] == ["data", "other"]
    world.start()
    assert observer.look().error == ""


def test_the_rate_is_of_the_last_looks() -> None:
    history = History()
    assert history.last("v") is None
    for number in range(glance.HISTORY + 5):
        history.add("v", float(number))
    assert len(history.of("v")) == glance.HISTORY
    assert history.of("v")[-1] == history.last("v") == glance.HISTORY + 4.0
    assert glance.headline(Glance(), "unix:/s") == "unix:/s"


async def test_the_page(world: Any, call: Call) -> None:
    app = TopPage(call, 0.05)

    async def until(true: Callable[[], bool]) -> None:
        with anyio.fail_after(LIMIT_S):
            while not true():
                await pilot.pause(0.05)

    async with app.run_test(size=(120, 40)) as pilot:
        views, changes = app.query_one("#views", DataTable), app.query_one("#changes", DataTable)
        trouble = app.query_one("#trouble", Static)
        await until(lambda: views.row_count == 2)
        assert app.query_one("#pipes", DataTable).row_count == 1
        await until(lambda: bool(world.asked("/views/data/changes")))
        world.change("created", EVIL)
        await until(lambda: changes.row_count == 1)
        shown = changes.get_row_at(0)[2].plain
        assert "[red]x[/red]" in shown, "a name is text, never markup"
        await pilot.press("down")
        await until(lambda: bool(world.asked("/views/other/changes")))
        assert changes.row_count == 0, "they were another view's"
        world.stop()
        await until(lambda: trouble.display and "old" in str(trouble.render()))
        assert views.row_count == 2
        world.start()
        await until(lambda: not trouble.has_class("shown"))
        await pilot.press("p")
        await pilot.press("q")
    assert app.return_code == 0


def test_it_is_for_terminals(fustor: Callable[..., Any], world: Any) -> None:
    done = fustor("top")
    assert done.code == 2
    assert "status --json" in done.err
    assert fustor("top", "--json").code == 2
    assert fustor("top", "--interval", "1ms").code == 2


def test_with_nothing_to_look_at_the_terminal_is_left_alone(
    terminal: Callable[..., tuple[int, str]],
) -> None:
    code, shown = terminal("top")
    assert (code, shown) == (4, "")
