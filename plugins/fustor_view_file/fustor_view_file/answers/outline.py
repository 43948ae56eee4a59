"""`tree` and `du`: a directory with what is below it, to a depth."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

from fustor_core.claims import is_dir
from fustor_core.contracts import Page
from fustor_core.errors import QueryError
from fustor_view_file.answers import quality
from fustor_view_file.answers.entries import Entries
from fustor_view_file.answers.listing import entries_for, entry_at, missing, shown_behind
from fustor_view_file.answers.paths import answered, named, path_of
from fustor_view_file.answers.places import PRESENT, locate
from fustor_view_file.answers.question import Question
from fustor_view_file.answers.rollups import entries_of, rollup_of, rollup_of_row
from fustor_view_file.answers.walk import seated
from fustor_view_file.directory import Directory
from fustor_view_file.tally import DIRS

TREE_DEPTH = 3
LEVELS_MAX = 200  # nesting that every JSON reader takes
NODES_MAX = 100_000
NODES_A_PAGE = 1000


def tree(question: Question) -> Iterator[Page]:
    """`{view, path, tree: Entry + children[], truncated, quality}`.

    Level by level, so that a limit cuts what is deepest; `truncated` says that something was cut.
    """
    depth = _depth(question, TREE_DEPTH) or LEVELS_MAX
    place = locate(question.tree, question.parts)
    if place.existence != PRESENT:
        yield missing(question, place)
        return
    top = entry_at(question, place) or {}
    top["children"] = []
    truncated = False
    if place.directory is not None:
        grown = _Outline(question, entries_for(question))
        for _ in grown.fill(top, place.directory, min(depth, LEVELS_MAX)):
            yield Page([])
        truncated = grown.truncated
    document = answered(
        question.view,
        path_of(question.parts),
        tree=top,
        truncated=truncated,
        quality=quality.of_scope(question, place),
    )
    yield Page([], "", document)


class _Outline:
    """A nested document, filled level by level."""

    def __init__(self, question: Question, entries: Entries) -> None:
        self._question = question
        self._entries = entries
        self.truncated = False

    def fill(self, top: dict[str, Any], directory: Directory, depth: int) -> Iterator[None]:
        """Hang entries below `top`; gives way after each `NODES_A_PAGE`."""
        tree = self._question.tree
        left = min(self._question.query.limit or NODES_MAX, NODES_MAX)
        queue = deque([(top, directory, 0)])
        since = 0
        while queue:
            node, at, level = queue.popleft()
            if not tree.visible(at):  # gone while others had their turn
                continue
            if level == depth or not left:
                self.truncated = self.truncated or bool(entries_of(at))
                continue
            pairs = shown_behind(self._question, at, b"", left + 1)
            self.truncated = self.truncated or len(pairs) > left
            pairs = pairs[:left]
            left -= len(pairs)
            since += 1 + len(pairs)
            node["children"] = self._entries.of_names(at, pairs)
            for child, (name, row) in zip(node["children"], pairs, strict=True):
                below = tree.child(at, name, row) if is_dir(row) else None
                if below is not None:
                    child["children"] = []
                    queue.append((child, below, level + 1))
            if since >= NODES_A_PAGE:
                since = 0
                yield


def du(question: Question) -> Iterator[Page]:
    """`{view, path, rollup, children?: [{name, rollup, children?}], quality}`."""
    depth = min(_depth(question, 0), LEVELS_MAX)
    place = locate(question.tree, question.parts)
    if place.existence != PRESENT:
        yield missing(question, place)
        return
    document = answered(question.view, path_of(question.parts))
    if place.directory is not None:
        document["rollup"] = rollup_of(question.tree, place.directory)
        if depth:
            for _ in _fill_totals(question, document, place.directory, depth):
                yield Page([])
    else:
        entry = entry_at(question, place) or {}
        document["rollup"] = rollup_of_row(place.row or b"", entry.get("flags", []))
    document["quality"] = quality.of_scope(question, place)
    yield Page([], "", document)


def _fill_totals(
    question: Question, document: dict[str, Any], top: Directory, depth: int
) -> Iterator[None]:
    """Hang the totals of directories below the document; `truncated` when there are too many."""
    queue = deque([(document, top, 1)])
    left, since = NODES_MAX, 0
    while queue:
        node, at, level = queue.popleft()
        node["children"] = []
        for child in seated(question.tree, at):
            if not left:
                document["truncated"] = True
                return
            left -= 1
            since += 1
            below = {
                **named("name", child.name),
                "rollup": rollup_of(question.tree, child),
            }
            node["children"].append(below)
            if level < depth and child.count[DIRS]:
                queue.append((below, child, level + 1))
        if since >= NODES_A_PAGE:
            since = 0
            yield


def _depth(question: Question, usual: int) -> int:
    depth = question.query.depth
    if depth is not None and depth < 0:
        raise QueryError(f"a depth of {depth} makes no sense", remedy="give 0 or more")
    return usual if depth is None else depth
