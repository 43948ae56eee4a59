"""Forests: several views asked as one. Where is a path, and which copy of it is best?

Each member is asked the same question by itself, with a limit of its own: one that is missing,
fails or hangs stands in the answer as an error and changes nothing for the others.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import anyio

from fustor_core.config.model import Forest
from fustor_core.contracts import Page, Query
from fustor_core.desk import Asked, problem
from fustor_core.documents import with_path
from fustor_core.engine import attempt, sentence
from fustor_core.errors import Forbidden, FustorError
from fustor_core.fusion import Do
from fustor_core.problems import Problem

MEMBER_S = 5.0  # less than a client waits for its answer
PRESENT, ABSENT, UNKNOWN = "present", "absent", "unknown"

Answer = dict[str, Any]
Figures = tuple[float, ...]
Questions = Callable[[str, Query], AsyncIterator[Page]]


def _complete(answer: Answer) -> Figures:
    rollup = answer["rollup"]
    return bool(answer["quality"]["complete"]), rollup["files"], rollup["bytes"]


def _newest(answer: Answer) -> float:
    newest = answer["rollup"]["newest_mtime_ns"]
    return -math.inf if newest is None else newest


CRITERIA: Mapping[str, Callable[[Answer], Figures]] = {
    "complete": _complete,
    "file_count": lambda answer: (answer["rollup"]["files"],),
    "total_size": lambda answer: (answer["rollup"]["bytes"],),
    "latest_mtime": lambda answer: (_newest(answer),),
}
"""What makes one answer better than another: the larger figures win."""


def rank(answer: Answer, by: str) -> Figures:
    """How good an answer is: the larger the better.

    Args:
        answer: of a member that has the path. by: one of `CRITERIA`.
    """
    quality = answer["quality"]
    doubts = quality["suspects"] + quality["debts"]
    return *CRITERIA[by](answer), bool(quality["complete"]), -doubts, _newest(answer)


def best_of(answers: Sequence[Answer], by: str) -> Answer | None:
    """The best of those that have the path; None when none has.

    Ties are broken by completeness, by fewer doubts, by the newest mtime, at last by the name.

    Args:
        answers: one a member. by: one of `CRITERIA`.
    """

    present = sorted(
        (answer for answer in answers if answer["existence"] == PRESENT),
        key=lambda answer: str(answer["view"]),
    )
    best = max(present, key=lambda answer: rank(answer, by), default=None)  # the first of equals
    return None if best is None else {k: v for k, v in best.items() if k != "existence"}


class Forests:
    """Takes the commands ``forests`` and ``best`` (see `Fusion.command`).

    Args:
        configured: gives the forests of the configuration in force, by name.
        query: asks one view.
        member_s: how long one member may take.
    """

    def __init__(
        self,
        configured: Callable[[], Mapping[str, Forest]],
        query: Questions,
        *,
        member_s: float = MEMBER_S,
    ) -> None:
        self._configured = configured
        self._query = query
        self._member_s = member_s

    def __repr__(self) -> str:
        return f"<Forests {', '.join(sorted(self._configured())) or 'none'}>"

    def commands(self) -> dict[str, Do]:
        """Every command by its name; `views`, where it is given, are globs of the key's views."""
        return {"forests": self.list_forests, "best": self.best}

    async def list_forests(self, asked: Asked) -> dict[str, Any]:
        """All forests, with those of their members that the key covers."""
        listed = [
            {"forest": name, "views": members, "best": forest.best}
            for name, forest in sorted(self._configured().items())
            if (members := _covered(forest, asked))
        ]
        return {"forests": listed}

    async def best(self, asked: Asked) -> dict[str, Any]:
        """Where a path is, and which copy is best.

        Args:
            asked: ``forest``, ``path`` and ``by``; None = as configured.

        Raises:
            Problem: there is no such forest, or no member has the path.
            Forbidden: the key covers no member.
        """
        name, path = asked["forest"], asked["path"]
        forest = self._configured().get(name)
        if forest is None:
            known = ", ".join(sorted(self._configured())) or "none"
            raise problem("no-such-forest", 404, f"no forest {name!r}; forests: {known}")
        members = _covered(forest, asked)
        if not members:
            raise Forbidden(f"the key covers no view of the forest {name!r}")
        by = asked.get("by") or forest.best
        answers: dict[str, Answer] = {}
        async with anyio.create_task_group() as group:
            for view in members:
                group.start_soon(self._ask, view, path, by, answers)
        told = [answers[view] for view in members]
        best = best_of(told, by)
        document = {**with_path({}, path), "by": by, "best": best, "all": told}
        if best is None:
            raise _nowhere(name, document)
        return document

    async def _ask(self, view: str, path: bytes, by: str, answers: dict[str, Answer]) -> None:
        """One member's answer, whatever happens."""
        told = {**with_path({"view": view}, path), "existence": UNKNOWN}
        answers[view] = {**told, "error": f"no answer within {self._member_s:g} s"}
        with anyio.move_on_after(self._member_s):
            found = await attempt(partial(self._totals, view, path, by))
            if isinstance(found, Exception):
                error = found.message if isinstance(found, FustorError) else sentence(found)
                answers[view] = {**told, "error": error}
            else:
                answers[view] = found

    async def _totals(self, view: str, path: bytes, by: str) -> Answer:
        last: dict[str, Any] = {}
        async for page in self._query(view, Query("du", path, depth=0)):
            last = page.document or last
        answer = {
            **with_path({"view": view}, path),
            "existence": last.get("existence", PRESENT),
            "rollup": last.get("rollup"),
            "quality": last["quality"],
        }
        if answer["existence"] == PRESENT:
            rank(answer, by)  # figures that cannot be ranked are this member's failure
        return answer


def _covered(forest: Forest, asked: Asked) -> list[str]:
    """The members that the key's globs cover, each once."""
    globs = asked.get("views", ("*",))
    return [v for v in dict.fromkeys(forest.views) if any(fnmatchcase(v, g) for g in globs)]


def _nowhere(forest: str, document: dict[str, Any]) -> Problem:
    """The 404: absent only where every member has proof."""
    absent = all(answer["existence"] == ABSENT for answer in document["all"])
    if absent:
        told = problem("absent", 404, f"no view of the forest {forest!r} has this path")
    else:
        told = problem("unknown-path", 404, "no view is known to have this path; not all can tell")
    return Problem({**told.document, **document})
