"""Blind spots: which scan saw them first, and how many there are in each directory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fustor_core.contracts import Page
from fustor_view_file import tally
from fustor_view_file.answers import quality
from fustor_view_file.answers.listing import missing
from fustor_view_file.answers.paging import Listed, paged, start_of
from fustor_view_file.answers.paths import named
from fustor_view_file.answers.places import PRESENT, locate
from fustor_view_file.answers.question import Question
from fustor_view_file.answers.times import rfc3339
from fustor_view_file.answers.walk import Walk
from fustor_view_file.directory import Directory

WHOLE = b"/"
"""Stands for a directory itself in cursors: no entry has this name."""
COST_A_STEP = 2000


def first_seen(question: Question, directory: Directory, name: bytes) -> dict[str, Any] | None:
    """The scan that was the first to see a blind entry; None when that is no longer known."""
    number = (directory.blind or {}).get(name, 0)
    return _told(question, number)


def blind_directories(question: Question) -> Iterator[Page]:
    """`{directories: [{view, path, blind, below, first_seen, last_seen}], next_cursor, quality}`.

    The directories with blind entries of their own, in the order of `find`: how many of those there
    are in each, and with all below; which scans saw the oldest and the newest of its own.
    """
    return _pages(question, start_of(question))


def _pages(question: Question, start: tuple[tuple[bytes, ...], bytes] | None) -> Iterator[Page]:
    listed = Listed(question, "directories")
    place = locate(question.tree, question.parts)
    if place.existence != PRESENT:
        yield missing(question, place)
        return
    if place.directory is not None:
        walk = Walk(
            question.tree, place.directory, wanted=lambda d: d.count[tally.BLIND], behind=start
        )
        yield from paged(listed, walk, _steps(question, listed, walk))
    yield Page([], "directories", listed.document(quality=quality.of_scope(question, place)))


def _steps(question: Question, listed: Listed, walk: Walk) -> Iterator[list[dict[str, Any]]]:
    for cost, directory in enumerate(walk, 1):
        if cost % COST_A_STEP == 0:
            yield []
        if not directory.blind or walk.after >= WHOLE or not question.tree.visible(directory):
            continue
        if listed.room((directory, [(WHOLE, None)])) is None:
            return
        yield [_rollup(question, directory)]
        if listed.cut:
            return


def _rollup(question: Question, directory: Directory) -> dict[str, Any]:
    numbers = (directory.blind or {}).values()
    return {
        "view": question.view,
        **named("path", directory.path()),
        "blind": len(numbers),
        "below": directory.count[tally.BLIND],
        "first_seen": _told(question, min(numbers)),
        "last_seen": _told(question, max(numbers)),
    }


def _told(question: Question, number: int) -> dict[str, Any] | None:
    seen = question.registers.sightings.get(number)
    if seen is None:
        return None
    return {
        "origin": seen.origin,
        "audit": seen.audit or None,
        "agent": seen.agent or None,
        "at": rfc3339(seen.wall_ns),
        "at_us": seen.at_us,
    }
