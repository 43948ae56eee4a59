"""`view stable|wait`: woken by changes, asking no more than needed, honest about lost servers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from fustor_core.cli.paths import Place
from fustor_core.cli.waiting import Goal, matters, pause_s, reached, wait_for
from fustor_core.client import Client
from fustor_core.errors import Unreachable

Fustor = Callable[..., Any]


def stable(make: Any, yes: bool, *reasons: str, quiet_s: float = 3.0) -> dict[str, Any]:
    listed = [{"kind": kind, "count": 2, "examples": ["/d/x"]} for kind in reasons]
    return {
        "view": "data",
        "path": "/d",
        "stable": yes,
        "quiet_for_s": quiet_s,
        "last_change": {"at": "2020-11-21T10:00:00Z", "path": "/d/x", "origin": "realtime"},
        "reasons": listed,
        "quality": make.quality(),
    }


def found(existence: str, make: Any) -> dict[str, Any]:
    return {"path": "/d", "existence": existence, "entry": None, "quality": make.quality()}


# ------------------------------------------------------------------ stable


@pytest.mark.parametrize(("said", "code"), [(True, 0), (False, 1), (None, 7)])
def test_stable(fustor: Fustor, server: Any, make: Any, said: Any, code: int) -> None:
    answer = {**stable(make, said, "suspect", "recent_change"), "stable": said}
    server.answer("/views/data/stable", answer)
    done = fustor("view", "stable", "/d", "--for", "2m")
    assert done.code == code
    assert server.asked("/views/data/stable") == [{"path": "/d", "for": "120.0"}]
    for part in (b"quiet for 3 s", b"/d/x at 2020", b"may still be being written", b"2  /d/x"):
        assert part in done.out
    assert fustor("view", "stable", "/d", "--json").document == answer


# ------------------------------------------------------------------ the pure part


def test_the_pause_is_the_quiet_time_that_is_missing(make: Any) -> None:
    goal = Goal("stable", 30.0)
    assert pause_s(goal, stable(make, False, "recent_change", quiet_s=12.0), 0) == 18.0
    assert pause_s(goal, stable(make, False, "recent_change", quiet_s=30.0), 0) > 0


def test_other_doubts_are_asked_about_ever_more_rarely(make: Any) -> None:
    doubt = stable(make, False, "suspect", "recent_change")
    pauses = [pause_s(Goal("stable"), doubt, repeats) for repeats in range(9)]
    assert pauses == sorted(pauses)
    assert pauses[0] >= 1
    assert pauses[-1] == pauses[-2], "there is a longest pause"


@pytest.mark.parametrize(
    ("kind", "answer", "end"),
    [
        ("stable", {"stable": True}, True),
        ("stable", {"stable": None}, False),
        ("stable", {"existence": "present"}, False),
        ("exists", {"existence": "present"}, True),
        ("exists", {"existence": "unknown"}, False),
        ("gone", {"existence": "absent"}, True),
        ("gone", {"existence": "unknown"}, False),
    ],
)
def test_reached(kind: str, answer: dict[str, Any], end: bool) -> None:
    assert reached(Goal(kind), answer) is end


@pytest.mark.parametrize(
    ("change", "does"),
    [
        ({"kind": "created", "path": "/d"}, True),
        ({"kind": "deleted", "path": "/"}, True),
        ({"kind": "moved", "path": "/y", "from_path": "/d"}, True),
        ({"kind": "created", "path": "/d/x"}, False),
        ({"kind": "created", "path": "/dd"}, False),
        ({"kind": "resync", "path": "/elsewhere"}, True),
    ],
)
def test_what_can_move_a_place(change: dict[str, Any], does: bool) -> None:
    assert matters(change, b"/d") is does


# ------------------------------------------------------------------ wait


def test_already_stable(fustor: Fustor, server: Any, make: Any) -> None:
    server.answer("/views/data/stable", stable(make, True, quiet_s=99))
    done = fustor("view", "wait", "/d")
    assert done.code == 0
    assert done.out.startswith(b"stable, quiet for")
    assert fustor("view", "wait", "/d", "--json").document["stable"] is True


def test_it_asks_again_when_the_quiet_time_is_over(fustor: Fustor, server: Any, make: Any) -> None:
    quiet_at = time.monotonic() + 0.5
    server.heartbeat_s = 0.05

    def answer(_: Any) -> dict[str, Any]:
        missing_s = quiet_at - time.monotonic()
        return stable(
            make, missing_s <= 0, *["recent_change"] * (missing_s > 0), quiet_s=30 - missing_s
        )

    server.answer("/views/data/stable", answer)
    done = fustor("view", "wait", "/d", "--timeout", "20s")
    late_s = time.monotonic() - quiet_at
    assert done.code == 0
    assert len(server.asked("/views/data/stable")) <= 3, "it must not poll"
    assert 0 <= late_s < 10


@pytest.mark.long
def test_a_change_begins_the_quiet_time_anew(server: Any, make: Any) -> None:
    """While changes come, nothing is asked: the answer is known to be no."""
    server.answer("/views/data/stable", stable(make, False, "recent_change", quiet_s=0.0))
    goal, ends = Goal("stable", 1.5), []
    waiting = threading.Thread(
        target=lambda: ends.append(
            wait_for(Client(f"unix:{server.path}"), Place("data", b"/d"), goal, timeout_s=20)
        )
    )
    waiting.start()
    assert server.followed.wait(20)
    begun = time.monotonic()
    while time.monotonic() < begun + 2.0:
        server.change("modified", b"/d/x")
        waiting.join(0.05)
    assert len(server.asked("/views/data/stable")) == 1
    server.answer("/views/data/stable", stable(make, True))
    waiting.join(20)
    assert ends[0].reached
    assert len(server.asked("/views/data/stable")) == 2


@pytest.mark.parametrize(
    ("option", "first", "last"),
    [("--exists", "absent", "present"), ("--gone", "present", "absent")],
)
def test_a_change_wakes(
    program: Fustor, server: Any, make: Any, option: str, first: str, last: str
) -> None:
    server.answer("/views/data/stat", found(first, make))
    with program("view", "wait", "/d", option, "--json") as waiting:
        assert server.followed.wait(20)
        asked = len(server.asked("/views/data/stat"))
        server.change("created", b"/elsewhere")
        server.answer("/views/data/stat", found(last, make))
        server.change("created" if option == "--exists" else "deleted", b"/d")
        out, err = waiting.communicate(timeout=20)
    assert (waiting.returncode, err) == (0, b"")
    assert f'"existence": "{last}"'.encode() in out
    assert len(server.asked("/views/data/stat")) <= asked + 2


def test_an_absent_path_is_waited_for(program: Fustor, server: Any, make: Any) -> None:
    absent = make.problem("absent", 404, "no such entry")
    server.answer("/views/data/stable", absent)
    server.answer("/views/data/stat", found("absent", make))

    server.missing = {"/a": absent, "/a/d": absent}
    with program("view", "wait", "/a/d", "--stable-for", "1s") as waiting:
        assert server.followed.wait(20)
        assert server.asked("/views/data/changes")[-1]["path"] == "/"
        server.missing.clear()
        server.answer("/views/data/stable", stable(make, True))
        server.change("created", b"/a")
        out, _ = waiting.communicate(timeout=20)
    assert waiting.returncode == 0
    assert out.startswith(b"stable")


def test_the_timeout(fustor: Fustor, server: Any, make: Any) -> None:
    answer = stable(make, False, "suspect")
    server.answer("/views/data/stable", answer)
    begun = time.monotonic()
    done = fustor("view", "wait", "/d", "--timeout", "300ms")
    assert done.code == 124
    assert time.monotonic() - begun < 10
    assert "may still be being written (2): /d/x" in done.err
    told = fustor("view", "wait", "/d", "--timeout", "100ms", "--json")
    assert (told.code, told.document) == (124, answer)


def test_a_server_that_comes_back(program: Fustor, own_server: Any, make: Any) -> None:
    own_server.answer("/views/data/stable", stable(make, False, "suspect"))
    with program("view", "wait", "/d") as waiting:
        assert own_server.followed.wait(20)
        own_server.stop()
        own_server.answer("/views/data/stable", stable(make, True))
        own_server.start()
        waiting.communicate(timeout=20)
    assert waiting.returncode == 0


def test_a_server_that_stays_away(own_server: Any, make: Any) -> None:
    own_server.answer("/views/data/stable", stable(make, False, "suspect"))
    place = Place("data", b"/d")
    caught: list[BaseException] = []

    def wait() -> None:
        try:
            wait_for(Client(f"unix:{own_server.path}"), place, Goal("stable"), lost_s_max=0.3)
        except Unreachable as error:
            caught.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert own_server.followed.wait(20)
    own_server.stop()
    waiting.join(20)
    assert len(caught) == 1


def test_a_server_that_was_never_there_is_not_waited_for(fustor: Fustor) -> None:
    assert fustor("view", "wait").code == 4


def test_a_cursor_that_is_too_old_begins_anew(server: Any, make: Any) -> None:
    """The answer is asked again after it, so nothing is missed."""
    server.answer("/views/data/stable", stable(make, False, "suspect"))
    old = [make.problem("cursor-too-old", 410, "gone", cursor="c0")]

    def changes(params: dict[str, str]) -> Any:
        if params.get("follow") == "true" and old:
            server.answer("/views/data/stable", stable(make, True))
            return old.pop()
        return {"changes": [], "cursor": "c0"}

    server.answer("/views/data/changes", changes)
    place = Place("data", b"/d")
    assert wait_for(Client(f"unix:{server.path}"), place, Goal("stable"), timeout_s=20).reached
