"""`view best`: which forest and path are meant, and what is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Fustor = Callable[..., Any]


def forests(server: Any, **members: list[str]) -> None:
    listed = [{"forest": name, "views": of, "best": "complete"} for name, of in members.items()]
    server.answer("/forests", {"forests": listed})


def document(make: Any) -> dict[str, Any]:
    best = {"view": "data", "path": "/p", "rollup": make.rollup(files=3), "quality": make.quality()}
    return {
        "path": "/p",
        "by": "complete",
        "best": best,
        "all": [
            {**best, "existence": "present"},
            {
                **best,
                "view": "new\nline",
                "existence": "present",
                "quality": make.quality(complete=False, suspects=2),
            },
            {
                **best,
                "view": "away",
                "existence": "absent",
                "rollup": None,
            },
            {"view": "broken", "path": "/p", "existence": "unknown", "error": "no answer"},
        ],
    }


@pytest.fixture
def grove(server: Any, make: Any) -> Any:
    """A server with the one forest `all`."""
    forests(server, all=["data", "away"])
    server.answer("/forests/all/best", document(make))
    return server


def test_the_best_is_marked_and_every_member_is_told(fustor: Fustor, grove: Any) -> None:
    done = fustor("view", "best", "/p")
    assert done.code == 0
    rows = [line.decode() for line in done.lines]
    assert rows[0].split() == "view files bytes newest complete doubts".split()
    assert rows[1].split()[:5] == ["→", "data", "3", "0", "B"]
    assert rows[1].split()[-1] == "yes"
    assert "new\\nline" in rows[2]
    assert "no  2 suspect entries" not in rows[2]
    assert "2 suspect entries" in rows[2]
    assert "not there" in rows[3]
    assert "no answer" in rows[4]
    assert len(rows) == 5


def test_documents_are_the_servers(fustor: Fustor, grove: Any, make: Any) -> None:
    assert fustor("view", "best", "/p", "--json").document == document(make)
    assert fustor("view", "best", "/p", "--jsonl", "--by", "total_size").code == 0
    assert grove.asked("/forests/all/best")[-1] == {"path": "/p", "by": "total_size"}


def test_what_a_path_means(
    fustor: Fustor, grove: Any, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    for argument, path in (
        ("/p", "/p"),
        ("/", "/"),
        ("all:/p//q/../r", "/p/r"),
        (str(root / "p"), "/p"),
        ("p", "/p"),
        (".", "/"),
    ):
        assert fustor("view", "best", argument).code == 0
        assert grove.asked("/forests/all/best")[-1]["path"] == path
    assert fustor("view", "best", b"/\xff").code == 0
    assert grove.asked("/forests/all/best")[-1] == {"path_b64": "L/8="}


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("/p", "--by", "colour"), 2, "there are: complete, file_count"),
        (("/p", "--view", "data"), 5, "no forest 'data'"),
        (("data:/p",), 2, "FOREST:/path"),
        (("all:/../..",), 2, "leads out of the view"),
    ],
)
def test_what_makes_no_sense(
    fustor: Fustor, grove: Any, arguments: tuple[str, ...], code: int, text: str
) -> None:
    done = fustor("view", "best", *arguments)
    assert (done.code, text in done.err) == (code, True), done.err


def test_one_of_several_forests_has_to_be_named(fustor: Fustor, server: Any, make: Any) -> None:
    forests(server, one=["data"], two=["data"])
    server.answer("/forests/two/best", document(make))
    done = fustor("view", "best", "/p")
    assert (done.code, "forests here: one, two" in done.err) == (2, True)
    assert fustor("view", "best", "/p", "--view", "two").code == 0
    assert fustor("view", "best", "two:/p").code == 0
    forests(server)
    done = fustor("view", "best", "/p")
    assert (done.code, "forests:" in done.err) == (5, True)


@pytest.mark.parametrize(("slug", "code"), [("absent", 5), ("unknown-path", 7)])
def test_a_path_that_is_nowhere(
    fustor: Fustor, grove: Any, make: Any, slug: str, code: int
) -> None:
    told = {**document(make), "best": None}
    told["all"] = told["all"][2:]
    grove.answer("/forests/all/best", make.problem(slug, 404, "nowhere", **told))
    done = fustor("view", "best", "/p")
    assert done.code == code
    assert [b"not there" in line for line in done.lines] == [False, True, False]
    assert "nowhere" in done.err
    done = fustor("view", "best", "/p", "--json")
    assert (done.code, done.out) == (code, b"")
    assert done.problem["all"] == told["all"]
