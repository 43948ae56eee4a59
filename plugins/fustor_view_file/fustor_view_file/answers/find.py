"""`find`: entries by name, type, size, times and owner, over packs as they lie in memory.

Directories come parents first, siblings in byte order; the entries of one directory stand
together, in byte order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fustor_core.claims import ROW_BYTES, is_dir, split_names, unpack_row
from fustor_core.contracts import Page
from fustor_view_file.answers import quality
from fustor_view_file.answers.conditions import Conditions
from fustor_view_file.answers.entries import Entries, Pair
from fustor_view_file.answers.listing import entries_for, missing
from fustor_view_file.answers.paging import PAGE_ENTRIES, Listed, paged, start_of
from fustor_view_file.answers.patterns import Pattern, all_in
from fustor_view_file.answers.pieces import Hit
from fustor_view_file.answers.places import PRESENT, locate
from fustor_view_file.answers.question import Question
from fustor_view_file.answers.sieve import Sieve, sifts
from fustor_view_file.answers.walk import EDGES, Walk, Wanted, parts_behind
from fustor_view_file.directory import Directory
from fustor_view_file.pack import COLUMNS, Part
from fustor_view_file.tally import BLIND, DIRS, SUSPECTS
from fustor_view_file.telling import prefix_of

COST_A_STEP = 1000  # in directories that are passed over; others have their turn after so many
SKIPS_A_COST = 2  # what is left out by the walk itself is so much cheaper
AWAY_COST = 5  # a pack that must be fetched and unfolded first
DIRECTORIES_AT_ONCE = 250
ROWS_AT_ONCE = 8192
RARE = 8  # conditions that fewer rows meet are looked at before the names
FIRST_COST = 200  # of the first step, which shows how much is found
Unit = tuple[Directory, Part, bytes]  # names of a part behind a name
Steps = Iterator[list[dict[str, Any]]]


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
        self._met = 0  # directories in which something was found
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
            piece = b"" if self._flagged else self._pattern.piece
            wanted = self._wanted()
            walk = Walk(self._tree, top, wanted=wanted, piece=piece, behind=start)
            steps = self._steps()(walk)
            if piece and wanted is None:
                steps = self._sifted(steps, walk, Sieve(self._tree, top, piece))
            yield from paged(listed, walk, steps)
        document = listed.document(quality=quality.of_scope(question, place))
        yield Page([], "matches", document)

    def _steps(self) -> Callable[[Walk], Steps]:
        """The way to search that reads least."""
        conditions = self._conditions
        if self._flagged:
            return self._flagged_steps
        if conditions.attributes or (self._pattern.everything and not conditions.none):
            return self._numbered_steps
        return self._named_steps

    def _sifted(self, steps: Steps, walk: Walk, sieve: Sieve) -> Steps:
        """The steps of a walk that is narrowed, as soon as so little is found that it pays."""
        listed, look = self._listed, FIRST_COST
        for found in steps:
            yield found
            if walk.seen < look or listed.cut:
                continue
            look = 4 * walk.seen
            left = sieve.top.count[DIRS] - walk.seen
            if listed.left is not None:
                left = min(left, walk.seen * listed.left // max(1, listed.told))
            directories = len(self._tree.dirs)
            if sifts(directories=directories, left=left, seen=walk.seen, met=self._met):
                yield from ([] for _ in sieve.sift())
                if not sieve.full:
                    walk.narrow(sieve)
                yield from steps
                return

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
            return (lambda directory: directory.count[DIRS]) if self._conditions.alone else None

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

    # ---- what: by name

    def _named_steps(self, walk: Walk) -> Steps:
        """All names, or those that match; a row is only looked at when its name does."""
        pattern, listed = self._pattern, self._listed
        rows_a_cost = 4 * ROW_BYTES if pattern.slow else 1 << 40
        whole = pattern.whole and not pattern.everything
        names_in = all_in if pattern.everything else pattern.names_in
        out: list[dict[str, Any]] = []
        cost = COST_A_STEP - FIRST_COST
        for directory, part, after in self._units(walk):
            rows = part.rows
            cost += 1 + len(rows) // rows_a_cost + walk.skipped // SKIPS_A_COST
            cost += 0 if directory.resident else AWAY_COST
            walk.skipped = 0
            if whole:
                hits = pattern.paths_in(part.names, prefix_of(directory))
            else:
                hits = names_in(part.names)
            if hits and rows:
                pairs = self._shown(directory, part, hits, after)
                room = listed.room((directory, pairs)) if pairs else None
                out += self._entries.of_names(*room) if room is not None else ()
                if listed.cut:
                    break
            if cost >= COST_A_STEP or len(out) >= PAGE_ENTRIES:
                yield out
                out, cost = [], 0
        yield out

    def _units(self, walk: Walk) -> Iterator[Unit]:
        """The parts of all packs; a pack of many parts is read on where it stood."""
        visible, above = self._tree.visible, len(self._pattern.prefix)
        for directory in walk:
            if above and _depth(directory) < above:
                continue  # on the way to what every matching path begins with
            parts = directory.glance().parts
            after = walk.after
            if len(parts) == 1:
                yield directory, parts[0], after
                continue
            for part in parts_behind(directory, after):
                if not visible(directory):
                    break
                yield directory, part, after
                after = b""

    def _shown(self, directory: Directory, part: Part, hits: list[Hit], after: bytes) -> list[Pair]:
        """Those of some names that meet the conditions; hidden edges never do."""
        conditions, rows = self._conditions, part.rows
        free = conditions.none
        out: list[Pair] = []
        for i, name in hits:
            row = bytes(rows[i * ROW_BYTES : (i + 1) * ROW_BYTES])
            if row[33] & 0xF0 == 0x40:
                if not self._directory_meets(directory, name, row):
                    continue
            elif not free and not conditions.of_row(unpack_row(row)):
                continue
            if name > after:
                out.append((name, row))
        self._met += 1 if out else 0
        return out

    # ---- what: by conditions

    def _numbered_steps(self, walk: Walk) -> Steps:
        """By columns, the rows of many packs in one go; a name is only looked at when they fit."""
        units: list[Unit] = []
        out: list[dict[str, Any]] = []
        rows = cost = 0
        for unit in self._units(walk):
            units.append(unit)
            rows += len(unit[1].rows)
            cost += walk.skipped // SKIPS_A_COST + (0 if unit[0].resident else AWAY_COST)
            walk.skipped = 0
            if len(units) >= DIRECTORIES_AT_ONCE or rows >= ROWS_AT_ONCE * ROW_BYTES:
                out += self._numbered(units)
                cost += len(units) + rows // (100 * ROW_BYTES)
                units, rows = [], 0
                if self._listed.cut:
                    break
                if cost >= COST_A_STEP or len(out) >= PAGE_ENTRIES:
                    yield out
                    out, cost = [], 0
        yield out + self._numbered(units)

    def _numbered(self, units: list[Unit]) -> list[dict[str, Any]]:
        """The entries found in some parts, all at one moment."""
        joined = b"".join([part.rows for _, part, _ in units])
        if not joined:
            return []
        met = self._conditions.of_rows(np.frombuffer(joined, COLUMNS))
        by_name = not self._pattern.everything and int(np.count_nonzero(met)) * RARE > len(met)
        marks, edges_too = met.tobytes(), self._conditions.directories
        out: list[dict[str, Any]] = []
        end = 0
        for directory, part, after in units:
            at, end = end, end + len(part.rows) // ROW_BYTES
            if marks.find(1, at, end) < 0 and not (edges_too and directory.count[DIRS]):
                continue
            hits = self._numbered_hits(directory, part, marks[at:end], by_name=by_name)
            pairs = self._shown(directory, part, hits, after) if hits else []
            room = self._listed.room((directory, pairs)) if pairs else None
            out += self._entries.of_names(*room) if room is not None else ()
            if self._listed.cut:
                break
        return out

    def _numbered_hits(
        self, directory: Directory, part: Part, met: bytes, *, by_name: bool
    ) -> list[Hit]:
        """Rows that may be shown: those that were met, and edges where directories are wanted."""
        chosen = list(_ones(met))
        if directory.count[DIRS] and self._conditions.directories:
            edges = part.rows[33::ROW_BYTES].translate(EDGES)
            chosen = sorted({*chosen, *_ones(edges)})
        if not chosen:
            return []
        pattern = self._pattern
        if pattern.everything:
            names = split_names(part.names)
            return [(i, names[i]) for i in chosen]
        prefix = prefix_of(directory) if pattern.whole else b""
        if by_name:
            rows = frozenset(chosen)
            found = pattern.paths_in(part.names, prefix) if prefix else pattern.names_in(part.names)
            return [hit for hit in found if hit[0] in rows]
        names = split_names(part.names)
        return [(i, names[i]) for i in chosen if pattern.test(prefix + names[i])]

    def _directory_meets(self, directory: Directory, name: bytes, row: bytes) -> bool:
        child = self._tree.child(directory, name, row)
        if child is None:
            return False
        attrs = child.attrs.value if child.attrs is not None else None
        return self._conditions.of_directory(unpack_row(attrs) if attrs is not None else None)

    # ---- what: flagged names

    def _flagged_steps(self, walk: Walk) -> Steps:
        """Only names that are suspect or blind; their directories keep sets of them."""
        cost = 0
        for directory in walk:
            cost += 1
            names = sorted(self._flagged_names(directory, walk.after))
            for at in range(0, len(names), PAGE_ENTRIES):
                if not self._tree.visible(directory):
                    break
                yield self._flagged_step(directory, names[at : at + PAGE_ENTRIES])
                if self._listed.cut:
                    return
            if cost >= COST_A_STEP:
                yield []
                cost = 0

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
        prefix = prefix_of(directory) if pattern.whole else b""
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


def _ones(marks: bytes | bytearray) -> Iterator[int]:
    """Where the ones stand."""
    at = marks.find(1)
    while at >= 0:
        yield at
        at = marks.find(1, at + 1)


def _depth(directory: Directory) -> int:
    depth, at = 0, directory
    while at.parent is not None:
        depth, at = depth + 1, at.parent
    return depth
