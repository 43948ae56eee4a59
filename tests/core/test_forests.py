"""Forests: which copy is best, and that no member can spoil the answer of the others."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fustor_core.config.model import Forest
from fustor_core.contracts import Page, Query
from fustor_core.errors import Forbidden, NoSuchView
from fustor_core.forests import CRITERIA, Forests, best_of
from fustor_core.problems import Problem

pytestmark = pytest.mark.anyio

NEVER = 60.0


def totals(files: int = 1, size: int = 1, newest: int | None = 5, **doubts: Any) -> dict[str, Any]:
    """A `du` of a member; what is left out is as good as can be."""
    quality = {"complete": True, "suspects": 0, "debts": 0, **doubts}
    rollup = {"files": files, "bytes": size, "newest_mtime_ns": newest}
    return {"rollup": rollup, "quality": quality}


def present(view: str, *figures: Any, **doubts: Any) -> dict[str, Any]:
    return {"view": view, "path": "/p", "existence": "present", **totals(*figures, **doubts)}


def missing(existence: str) -> dict[str, Any]:
    return {"existence": existence, "quality": {"complete": existence == "absent"}}


class Members:
    """What each view answers: a document, an error, or nothing at all."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, Query]] = []

    async def query(self, view: str, query: Query) -> AsyncIterator[Page]:
        self.asked.append((view, query))
        answer = self.answers[view]
        if answer is None:
            await anyio.sleep_forever()
        if isinstance(answer, Exception):
            raise answer
        yield Page([])
        yield Page([], document=answer)


async def ask(
    answers: Mapping[str, Any], *, by: str | None = None, limit_s: float = NEVER, **asked: Any
) -> dict[str, Any]:
    forest = Forest(views=list(answers))
    forests = Forests(lambda: {"all": forest}, Members(answers).query, member_s=limit_s)
    with anyio.fail_after(20):
        return await forests.best({"forest": "all", "path": b"/p", "by": by, **asked})


# ------------------------------------------------------------------ which is best


@pytest.mark.parametrize(
    ("by", "worse", "better"),
    [
        ("complete", present("a", 9, 9, complete=False), present("b", 1)),
        ("complete", present("a", 1, 9), present("b", 2, 1)),
        ("complete", present("a", 1, 1), present("b", 1, 2)),
        ("file_count", present("a", 1, 9), present("b", 2, 1, complete=False)),
        ("total_size", present("a", 9, 1), present("b", 1, 2, complete=False)),
        ("latest_mtime", present("a", 9, 9, 5), present("b", 1, 1, 6, complete=False)),
        ("latest_mtime", present("a", 9, 9, None), present("b", 1, 1, -(1 << 62))),
        # ties
        ("file_count", present("a", complete=False), present("b")),
        ("file_count", present("a", 1, 1, 9, suspects=1), present("b")),
        ("file_count", present("a", 1, 1, 9, debts=1), present("b")),
        ("total_size", present("a", 1, 1, 5), present("b", 1, 1, 6)),
        ("total_size", present("b"), present("a")),
    ],
)
def test_the_better_copy_wins(by: str, worse: dict[str, Any], better: dict[str, Any]) -> None:
    for answers in ([worse, better], [better, worse]):
        best = best_of(answers, by)
        assert best is not None
        assert best["view"] == better["view"]
        assert set(best) == {"view", "path", "rollup", "quality"}


@given(st.permutations([present(name, 1 << 62, (1 << 62) + n) for n, name in enumerate("abcd")]))
def test_figures_are_compared_exactly_in_any_order(answers: list[dict[str, Any]]) -> None:
    assert (best_of(answers, "total_size") or {})["view"] == "d"
    assert (best_of(answers, "file_count") or {})["view"] == "a"


@pytest.mark.parametrize("by", CRITERIA)
def test_nothing_is_best_where_nothing_is(by: str) -> None:
    assert best_of([], by) is None
    assert best_of([{"view": "a", "existence": "absent", "rollup": None}], by) is None


# ------------------------------------------------------------------ asking the members


async def test_every_member_stands_in_the_answer() -> None:
    told = await ask({"b": totals(2), "a": totals(1), "c": missing("absent")})
    assert list(told) == ["path", "by", "best", "all"]
    assert (told["path"], told["by"], told["best"]["view"]) == ("/p", "complete", "b")
    assert [(one["view"], one["existence"]) for one in told["all"]] == [
        ("b", "present"),
        ("a", "present"),
        ("c", "absent"),
    ]
    assert told["all"][2]["rollup"] is None
    assert told["all"][2]["quality"] == {"complete": True}


async def test_the_same_path_is_asked_of_all_and_bytes_survive() -> None:
    members = Members({"a": totals(), "b": totals()})
    forests = Forests(lambda: {"f": Forest(views=["a", "b", "a"])}, members.query)
    told = await forests.best({"forest": "f", "path": b"/\xff"})
    assert members.asked == [(name, Query("du", b"/\xff", depth=0)) for name in ("a", "b")]
    assert told["path_b64"] == told["best"]["path_b64"] == "L/8="


@pytest.mark.parametrize(
    ("failure", "text"),
    [
        (NoSuchView("bad", ["good"]), "no view 'bad'"),
        (AttributeError("'FusionPipeline' object has no attribute 'sessions'"), "AttributeError"),
        (RuntimeError(), "RuntimeError"),
        (None, "no answer within 0.05 s"),
        ({"rollup": {"files": 3}, "quality": {}}, "KeyError"),
        ({}, "KeyError"),
    ],
)
async def test_a_member_that_fails_fails_alone(failure: Any, text: str) -> None:
    told = await ask({"bad": failure, "good": totals()}, limit_s=0.05)
    assert told["best"]["view"] == "good"
    bad = told["all"][0]
    assert (bad["view"], bad["existence"]) == ("bad", "unknown")
    assert text in bad["error"]
    assert "error" not in told["all"][1]


async def test_a_cancelled_question_stays_cancelled() -> None:
    with anyio.move_on_after(0.01) as scope:
        await ask({"hung": None})
    assert scope.cancelled_caught


@pytest.mark.parametrize(
    ("answers", "slug"),
    [
        ({"a": missing("absent"), "b": missing("absent")}, "absent"),
        ({"a": missing("absent"), "b": missing("unknown")}, "unknown-path"),
        ({"a": missing("absent"), "b": ValueError("broken")}, "unknown-path"),
    ],
)
async def test_absence_needs_the_proof_of_all(answers: dict[str, Any], slug: str) -> None:
    with pytest.raises(Problem) as caught:
        await ask(answers)
    document = caught.value.document
    assert (caught.value.slug, document["status"]) == (slug, 404)
    assert document["best"] is None
    assert [one["view"] for one in document["all"]] == ["a", "b"]


async def test_views_that_the_key_does_not_cover_are_left_out() -> None:
    answers = {"open": totals(1), "secret": totals(9)}
    told = await ask(answers, views=("op*",))
    assert told["best"]["view"] == "open"
    assert [one["view"] for one in told["all"]] == ["open"]
    with pytest.raises(Forbidden, match="covers no view of the forest 'all'"):
        await ask(answers, views=("other",))


async def test_the_forest_says_what_is_best_by_default() -> None:
    members = Members({"a": totals(1, 9), "b": totals(9, 1)})
    forest = Forest(views=["a", "b"], best="total_size")
    forests = Forests(lambda: {"f": forest}, members.query)
    for by, best in ((None, "a"), ("file_count", "b")):
        told = await forests.best({"forest": "f", "path": b"/", "by": by})
        assert (told["by"], told["best"]["view"]) == (by or "total_size", best)


async def test_forests_are_listed_as_they_are_configured_now() -> None:
    configured = {"b": Forest(views=["x", "y"]), "a": Forest(views=["y"])}
    forests = Forests(lambda: configured, Members({}).query)
    assert await forests.list_forests({}) == {
        "forests": [
            {"forest": "a", "views": ["y"], "best": "complete"},
            {"forest": "b", "views": ["x", "y"], "best": "complete"},
        ]
    }
    listed = await forests.list_forests({"views": ("x",)})
    assert [(one["forest"], one["views"]) for one in listed["forests"]] == [("b", ["x"])]
    del configured["b"]
    with pytest.raises(Problem, match="no forest 'b'; forests: a") as caught:
        await forests.best({"forest": "b", "path": b"/"})
    assert caught.value.document["status"] == 404
