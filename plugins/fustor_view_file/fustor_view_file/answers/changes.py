"""`changes`: what happened at and below a path since a cursor."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fustor_core.contracts import Page
from fustor_view_file.answers.entries import Entries
from fustor_view_file.answers.listing import entries_for
from fustor_view_file.answers.paths import named, path_of
from fustor_view_file.answers.question import Question
from fustor_view_file.answers.times import rfc3339
from fustor_view_file.feed import Change, Feed

CHANGES_A_PAGE = 1000
LOOKS_A_PAGE = 10_000
ABOVE = frozenset({"created", "moved", "deleted"})  # of a directory above: of all in the scope


def changes(question: Question) -> Iterator[Page]:
    """`{changes: [Change], cursor, more}`; without `since` an empty page with the cursor of now.

    A scope need not be there: what becomes of its path is told all the same.

    Raises:
        CursorTooOld, QueryError: the cursor reaches too far back, or is none.
    """
    feed, since = question.registers.feed, question.query.since
    if since is None:
        return iter([Page([], "changes", {"cursor": feed.cursor(), "more": False})])
    return _pages(question, feed.number(since))


def _pages(question: Question, number: int) -> Iterator[Page]:
    feed, limit = question.registers.feed, question.query.limit
    scope, entries = path_of(question.parts), entries_for(question)
    items: list[dict[str, Any]] = []
    told, more = 0, False
    for looks, change in enumerate(feed.since(number), 1):
        if looks % LOOKS_A_PAGE == 0 or len(items) >= CHANGES_A_PAGE:
            yield Page(items, "changes")
            items = []
        if not concerns(change, scope):
            number = change.number
            continue
        if limit is not None and told == limit:
            more = True
            break
        items.append(change_document(feed, change, entries))
        told += 1
        number = change.number
    yield Page(items, "changes", {"cursor": feed.cursor(number), "more": more})


def change_document(feed: Feed, change: Change, entries: Entries) -> dict[str, Any]:
    """`{cursor, at, kind, path, from_path?, entry?, origin}`."""
    document: dict[str, Any] = {
        "cursor": feed.cursor(change.number),
        "at": rfc3339(change.wall_ns),
        "kind": change.kind,
        **named("path", change.path),
    }
    if change.from_path is not None:
        document |= named("from_path", change.from_path)
    if change.row is not None:
        document["entry"] = entries.of_change(
            change.path,
            change.row,
            kind=change.kind,
            flags=change.flags,
            origin=change.origin,
            observed=change.observed,
        )
    document["origin"] = change.origin
    return document


def concerns(change: Change, scope: bytes) -> bool:
    """Whether a change is one at, below, or of the scope as a whole."""
    if change.kind == "resync" or scope == b"/":
        return True
    for path in (change.path, change.from_path):
        if path is None:
            continue
        if path == scope or path.startswith(scope + b"/"):
            return True
        if change.kind in ABOVE and scope.startswith(path + b"/"):
            return True
    return False
