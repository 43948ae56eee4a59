"""Lists that come a page at a time, over many directories, with a cursor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from fustor_core.contracts import Page
from fustor_core.errors import QueryError
from fustor_view_file.answers.cursors import cursor_of, read_cursor
from fustor_view_file.answers.paths import parts_of
from fustor_view_file.answers.question import Question
from fustor_view_file.answers.walk import Walk
from fustor_view_file.directory import Directory

PAGE_ENTRIES = 1000

Found = tuple[Directory, list[tuple[bytes, Any]]]  # a directory and what was found in it, by name


class Listed:
    """Takes what a search finds, and makes pages of it.

    Args:
        question: for its limit. list_name: the list's name in the document.

    Attributes:
        left: how many more entries the limit admits, None without one. told: how many it admitted.
    """

    def __init__(self, question: Question, list_name: str) -> None:
        self._verb = question.query.verb
        self.left = question.query.limit
        self.told = 0
        self.list_name = list_name
        self.next_cursor: str | None = None  # where it goes on when the limit has cut it
        self.cut = False

    def room(self, found: Found) -> Found | None:
        """The part of a find that the limit still admits; None when it admits nothing more."""
        directory, names = found
        if self.left is None:
            return found
        if not self.left:
            self.cut = True
            return None
        kept = names[: self.left]
        self.left -= len(kept)
        self.told += len(kept)
        if not self.left:
            parts = parts_of(directory.path())
            self.next_cursor = cursor_of(self._verb, parts, kept[-1][0])
            self.cut = len(names) > len(kept)
        return directory, kept

    def top(self, directory: Directory) -> bool:
        """Whether the limit admits the directory of the question itself, which goes before all."""
        if self.left is None:
            return True
        if not self.left:
            self.cut = True
            return False
        self.left -= 1
        if not self.left:
            self.next_cursor = cursor_of(self._verb, parts_of(directory.path()), b"")
        return True

    def document(self, **rest: Any) -> dict[str, Any]:
        """The rest of the answer, with the cursor."""
        return {"next_cursor": self.next_cursor if self.cut else None, **rest}


def paged(
    listed: Listed,
    walk: Walk,
    steps: Iterable[list[dict[str, Any]]],
) -> Iterator[Page]:
    """Pages of entries as the steps of a search bring them.

    Args:
        steps: each gives the entries of some directories, perhaps none; between two of them others
            have their turn, and the tree may change.
    """
    for entries in steps:
        for at in range(0, max(1, len(entries)), PAGE_ENTRIES):
            yield Page(entries[at : at + PAGE_ENTRIES], listed.list_name)
        walk.refresh()


def start_of(question: Question) -> tuple[tuple[bytes, ...], bytes] | None:
    """Where the question's cursor says to go on: (names below its path, name), None without one.

    Raises:
        QueryError: the cursor is of another question.
    """
    query = question.query
    if query.cursor is None:
        return None
    directory, name = read_cursor(query.verb, query.cursor)
    depth = len(question.parts)
    if directory[:depth] != question.parts:
        raise QueryError(
            "the cursor is of a question about another path",
            remedy="leave the cursor out to begin anew",
        )
    return directory[depth:], name
