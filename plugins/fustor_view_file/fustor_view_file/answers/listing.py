"""`ls` and `stat`: what stands in a directory, what stands at a path."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fustor_core.claims import ROW_BYTES, is_dir, split_names
from fustor_core.contracts import Page
from fustor_view_file.answers import quality
from fustor_view_file.answers.cursors import cursor_of, read_cursor
from fustor_view_file.answers.entries import Entries, Pair
from fustor_view_file.answers.paths import answered, path_of
from fustor_view_file.answers.places import PRESENT, Place, locate
from fustor_view_file.answers.question import Question
from fustor_view_file.answers.walk import part_behind
from fustor_view_file.directory import Directory

PAGE_ENTRIES = 1000


def entries_for(question: Question) -> Entries:
    """The maker of this answer's entries."""
    return Entries(question.view, question.tree, stale=question.moment.stale)


def entry_at(question: Question, place: Place) -> dict[str, Any] | None:
    """The entry of what is present at a place."""
    entries = entries_for(question)
    if place.directory is not None:
        return entries.of_directory(place.directory)
    if place.parent is None or place.row is None:
        return None
    return next(iter(entries.of_names(place.parent, [(place.name, place.row)])), None)


def missing(question: Question, place: Place) -> Page:
    """The answer about what is absent, or unknown."""
    document = answered(question.view, path_of(question.parts), existence=place.existence)
    return Page([], "", {**document, "quality": quality.of_scope(question, place)})


def stat(question: Question) -> Iterator[Page]:
    """`{view, path, existence, entry | null, quality}`."""
    place = locate(question.tree, question.parts)
    document = answered(
        question.view,
        path_of(question.parts),
        existence=place.existence,
        entry=entry_at(question, place),
        quality=quality.of_scope(question, place),
    )
    yield Page([], "", document)


def ls(question: Question) -> Iterator[Page]:
    """`{view, path, entry, entries, next_cursor, quality}`; a file lists itself, as in ls(1)."""
    query, tree = question.query, question.tree
    after = b"" if query.cursor is None else read_cursor("ls", query.cursor)[1]
    place = locate(tree, question.parts)
    if place.existence != PRESENT:
        yield missing(question, place)
        return
    entries, left, cursor = entries_for(question), query.limit, None
    directory = place.directory
    items: list[dict[str, Any]] = []
    if directory is None:
        alone = entry_at(question, place)
        items = [alone] if alone is not None and not after else []
    else:
        while True:
            most = PAGE_ENTRIES if left is None else min(left, PAGE_ENTRIES)
            pairs = shown_behind(question, directory, after, most)
            items = entries.of_names(directory, pairs)
            after = pairs[-1][0] if pairs else after
            left = None if left is None else left - len(pairs)
            if len(pairs) < most:
                break
            if left == 0:
                if shown_behind(question, directory, after, 1):
                    cursor = cursor_of("ls", (), after)
                break
            yield Page(items, "entries")
            items = []
    document = answered(
        question.view,
        path_of(question.parts),
        entry=entry_at(question, place),
        next_cursor=cursor,
        quality=quality.of_scope(question, place),
    )
    yield Page(items, "entries", document)


def shown_behind(question: Question, directory: Directory, after: bytes, most: int) -> list[Pair]:
    """Up to `most` names behind `after`, in byte order, without hidden edges."""
    out: list[Pair] = []
    while len(out) < most and (part := part_behind(directory.pack, after)) is not None:
        names = split_names(part.names)
        for i, name in enumerate(names):
            if name <= after:
                continue
            row = bytes(part.rows[i * ROW_BYTES : (i + 1) * ROW_BYTES])
            if is_dir(row) and question.tree.child(directory, name, row) is None:
                continue
            out.append((name, row))
            if len(out) == most:
                break
        after = names[-1]
    return out
