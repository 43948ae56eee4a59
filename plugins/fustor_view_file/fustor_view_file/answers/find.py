"""`find`: entries by name, type, size, times and owner, over packs as they lie in memory.

Directories come parents first, siblings in byte order; the entries of one directory stand
together, in byte order.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from fustor_core.claims import ROW_BYTES, is_dir, split_names, unpack_row
from fustor_core.contracts import Page
from fustor_view_file.answers import quality
from fustor_view_file.answers.conditions import Conditions
from fustor_view_file.answers.entries import Entries, Pair
from fustor_view_file.answers.listing import entries_for, missing
from fustor_view_file.answers.paging import STEPS_A_PAGE, Listed, paged, start_of
from fustor_view_file.answers.patterns import Hit, Pattern
from fustor_view_file.answers.places import PRESENT, locate
from fustor_view_file.answers.question import Question
from fustor_view_file.answers.walk import EDGES, Walk, Wanted, parts_behind
from fustor_view_file.directory import Directory
from fustor_view_file.pack import COLUMNS, Part
from fustor_view_file.tally import BLIND, SUSPECTS

DIRECTORIES_A_STEP = 250
ROWS_A_STEP = 4096
Unit = tuple[Directory, Part, bytes]  # names of a part behind a name


def find(question: Question) -> Iterator[Page]:
    """`{matches: [Entry], next_cursor, quality}`."""
    search = Search(question)
    start = start_of(question)
    return search.pages(start)


class Search:
    """One search: what is looked for, and where.

    Raises:
        QueryError: the pattern or a condition makes no sense.
    """

    def __init__(self, question: Question) -> None:
        query = question.query
        self._question = question
        self._tree = question.tree
        self._pattern = Pattern(query)
        self._conditions = Conditions(query)
        self._flagged = query.suspect or query.blind
        self._entries: Entries = entries_for(question)
        self._listed = Listed(question, "matches")

    def pages(self, start: tuple[tuple[bytes, ...], bytes] | None) -> Iterator[Page]:
        """The answer, page by page.

        Args:
            start: behind which entry to begin: (names of its directory below the scope, name).
        """
        question, listed = self._question, self._listed
        place = locate(question.tree, question.parts)
        if place.existence != PRESENT:
            yield missing(question, place)
            return
        top = place.directory
        if top is not None and self._reachable():
            walk = Walk(self._tree, top, wanted=self._wanted(), behind=start)
            steps = self._flagged_steps(walk) if self._flagged else self._steps(walk)
            each = 1 if self._pattern.slow else STEPS_A_PAGE
            yield from paged(listed, walk, steps, steps_a_page=each)
        document = listed.document(quality=quality.of_scope(question, place))
        yield Page(listed.items, "matches", document)

    # ---- where

    def _reachable(self) -> bool:
        """Whether a path that matches can lie in the scope at all."""
        prefix, parts = self._pattern.prefix, self._question.parts
        return all(a == b for a, b in zip(prefix, parts, strict=False))

    def _wanted(self) -> Wanted | None:
        """Which directories are worth a visit, with all below them."""
        query, prefix = self._question.query, self._pattern.prefix
        if query.suspect:
            return lambda directory: directory.count[SUSPECTS]
        if query.blind:
            return lambda directory: directory.count[BLIND]
        if not prefix:
            return None

        def on_the_way(directory: Directory) -> bool:
            at, depth = directory, _depth(directory)
            while depth > len(prefix) and at.parent is not None:
                at, depth = at.parent, depth - 1
            while at.parent is not None:
                if at.name != prefix[depth - 1]:
                    return False
                at, depth = at.parent, depth - 1
            return True

        return on_the_way

    # ---- what: packs as a whole

    def _steps(self, walk: Walk) -> Iterator[list[dict[str, Any]]]:
        units: list[Unit] = []
        rows = 0
        for unit in self._units(walk):
            units.append(unit)
            rows += len(unit[1].rows)
            if len(units) >= DIRECTORIES_A_STEP or rows >= ROWS_A_STEP * ROW_BYTES:
                yield self._step(units)
                if self._listed.cut:
                    return
                units, rows = [], 0
        yield self._step(units)

    def _units(self, walk: Walk) -> Iterator[Unit]:
        """The parts of all packs; a pack of many parts is read on where it stood."""
        visible, above = self._tree.visible, len(self._pattern.prefix)
        for directory in walk:
            if above and _depth(directory) < above:
                continue  # on the way to what every matching path begins with
            parts = directory.pack.parts
            after = walk.after
            if len(parts) == 1:
                yield directory, parts[0], after
                continue
            for part in parts_behind(directory.pack, after):
                if not visible(directory):
                    break
                yield directory, part, after
                after = b""

    def _step(self, units: list[Unit]) -> list[dict[str, Any]]:
        """The entries found in some parts, all at one moment."""
        by_name = not self._pattern.everything
        pick = self._by_name if by_name else self._all if self._conditions.none else self._by_row
        out: list[dict[str, Any]] = []
        for directory, pairs in pick(units):
            if not pairs:
                continue
            room = self._listed.room((directory, pairs))
            if room is None:
                break
            out += self._entries.of_names(*room)
            if self._listed.cut:
                break
        return out

    def _all(self, units: list[Unit]) -> Iterator[tuple[Directory, list[Pair]]]:
        for directory, part, after in units:
            hits = [(i, n) for i, n in enumerate(_names(part)) if n > after]
            yield directory, self._shown(directory, part, hits)

    def _by_name(self, units: list[Unit]) -> Iterator[tuple[Directory, list[Pair]]]:
        pattern = self._pattern
        whole, names_in = pattern.whole, pattern.names_in
        for directory, part, after in units:
            if whole:
                path = directory.path()
                hits = pattern.paths_in(part.names, path if path == b"/" else path + b"/")
            else:
                hits = names_in(part.names)
            if not hits or not part.rows:
                continue
            if after:
                hits = [hit for hit in hits if hit[1] > after]
            yield directory, self._shown(directory, part, hits)

    def _shown(self, directory: Directory, part: Part, hits: list[Hit]) -> list[Pair]:
        """Those of some names that meet the conditions; hidden edges never do."""
        conditions, rows = self._conditions, part.rows
        free = conditions.none
        out: list[Pair] = []
        for i, name in hits:
            row = bytes(rows[i * ROW_BYTES : (i + 1) * ROW_BYTES])
            if is_dir(row):
                if not self._directory_meets(directory, name, row):
                    continue
            elif not free and not conditions.of_row(unpack_row(row)):
                continue
            out.append((name, row))
        return out

    def _by_row(self, units: list[Unit]) -> Iterator[tuple[Directory, list[Pair]]]:
        """By conditions alone: the rows of many packs in one go."""
        conditions = self._conditions
        met = b""
        if conditions.others:
            joined = b"".join([part.rows for _, part, _ in units])
            if joined:
                met = conditions.of_rows(np.frombuffer(joined, COLUMNS)).tobytes()
        at = 0
        for directory, part, after in units:
            count = len(part.rows) // ROW_BYTES
            chosen = [*_ones(met, at, at + count)] if met else []
            at += count
            if conditions.directories:
                marks = part.rows[33::ROW_BYTES].translate(EDGES)
                edges = [*_ones(marks, 0, count)]
                chosen = sorted(chosen + edges) if edges else chosen
            if not chosen:
                continue
            names = split_names(part.names)
            pairs = []
            for i in chosen:
                name, row = names[i], bytes(part.rows[i * ROW_BYTES : (i + 1) * ROW_BYTES])
                meets = not is_dir(row) or self._directory_meets(directory, name, row)
                if meets and name > after:
                    pairs.append((name, row))
            yield directory, pairs

    def _directory_meets(self, directory: Directory, name: bytes, row: bytes) -> bool:
        child = self._tree.child(directory, name, row)
        if child is None:
            return False
        attrs = child.attrs.value if child.attrs is not None else None
        return self._conditions.of_directory(unpack_row(attrs) if attrs is not None else None)

    # ---- what: flagged names

    def _flagged_steps(self, walk: Walk) -> Iterator[list[dict[str, Any]]]:
        """Only names that are suspect or blind; their directories keep sets of them."""
        for directory in walk:
            names = sorted(self._flagged_names(directory, walk.after))
            yield []
            for at in range(0, len(names), ROWS_A_STEP):
                if not self._tree.visible(directory):
                    break
                yield self._flagged_step(directory, names[at : at + ROWS_A_STEP])
                if self._listed.cut:
                    return

    def _flagged_names(self, directory: Directory, after: bytes) -> set[bytes]:
        query = self._question.query
        sets = []
        if query.suspect:
            sets.append(set(directory.suspects))
        if query.blind:
            sets.append(set(directory.blind or ()))
        return {name for name in set.intersection(*sets) if name > after}

    def _flagged_step(self, directory: Directory, names: list[bytes]) -> list[dict[str, Any]]:
        pattern, pairs = self._pattern, []
        path = directory.path()
        prefix = (path if path == b"/" else path + b"/") if pattern.whole else b""
        free = pattern.everything and not pattern.prefix
        for name in names:
            row = directory.pack.get(name)
            if row is None or not (free or pattern.test(prefix + name)):
                continue
            if is_dir(row):
                if self._directory_meets(directory, name, row):
                    pairs.append((name, row))
            elif self._conditions.none or self._conditions.of_row(unpack_row(row)):
                pairs.append((name, row))
        room = self._listed.room((directory, pairs)) if pairs else None
        return self._entries.of_names(*room) if room is not None else []


def _names(part: Part) -> list[bytes]:
    return split_names(part.names) if part.rows else []


def _ones(marks: bytes | bytearray, start: int, end: int) -> Iterator[int]:
    """Where the ones stand between two places, counted from the first of them."""
    at = marks.find(1, start, end)
    while at >= 0:
        yield at - start
        at = marks.find(1, at + 1, end)


def _depth(directory: Directory) -> int:
    depth, at = 0, directory
    while at.parent is not None:
        depth, at = depth + 1, at.parent
    return depth
