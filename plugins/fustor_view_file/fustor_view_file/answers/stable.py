"""`stable`: whether a scope is complete and has been quiet (DESIGN §5, "Stable")."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from fustor_core.claims import split_names, unpack_row
from fustor_core.contracts import Page
from fustor_core.errors import QueryError
from fustor_view_file import tally
from fustor_view_file.answers import quality
from fustor_view_file.answers.flagged import Flags
from fustor_view_file.answers.listing import entries_for
from fustor_view_file.answers.paths import answered, example, named, parts_of, path_of, under
from fustor_view_file.answers.places import PRESENT, Place, locate
from fustor_view_file.answers.question import Question
from fustor_view_file.answers.times import rfc3339
from fustor_view_file.answers.walk import Walk, seated
from fustor_view_file.directory import Directory
from fustor_view_file.pack import COLUMNS, Part

EXAMPLES_MAX = 5
DIRECTORIES_A_STEP = 500
QUIET_S_MAX = 200 * 365 * 86_400.0
NO = frozenset({"suspect", "debt", "recent_change", "frozen"})  # these say no; others: who knows


def stable(question: Question) -> Iterator[Page]:
    """`{view, path, stable, quiet_for_s, last_change, reasons, quality}`.

    `stable` is None when it cannot be said: the scope is not known whole, or nobody watches it.
    Reasons of the kind ``stale`` name directories that are neither watched without a gap nor were
    looked at since; the whole scope when no session feeds the view.
    """
    quiet_s = question.query.quiet_s
    if not 0 <= quiet_s <= QUIET_S_MAX:
        raise QueryError(f"nothing is quiet for {quiet_s} s", remedy="give a duration such as 30s")
    return _pages(question)


def _pages(question: Question) -> Iterator[Page]:
    place = locate(question.tree, question.parts)
    path = path_of(question.parts)
    if place.existence != PRESENT:
        document = answered(question.view, path, existence=place.existence, stable=None)
        document |= {"quiet_for_s": None, "last_change": None, "reasons": []}
        document["quality"] = quality.of_scope(question, place)
        yield Page([], "", document)
        return
    change = last_change(question, place)
    found = quality.of_scope(question, place)
    inquiry = _Inquiry(question, place, change[0] if change else None, found)
    for _ in inquiry.run():
        yield Page([])
    reasons = inquiry.reasons
    kinds = {reason["kind"] for reason in reasons}
    verdict = False if kinds & NO else None if kinds else True
    quiet_us = inquiry.quiet_us
    document = answered(
        question.view,
        path,
        stable=verdict,
        quiet_for_s=None if quiet_us is None else quiet_us / 1e6,
        last_change=change[1] if change else None,
        reasons=reasons,
        quality=found,
    )
    yield Page([], "", document)


# ---- the last change


def last_change(question: Question, place: Place) -> tuple[int, dict[str, Any]] | None:
    """(ns, {at, path, origin}) of the newest max(mtime, ctime) in a scope; None without any."""
    if place.directory is None:
        parent, row = place.parent, place.row
        if parent is None or row is None:
            return None
        register = parent.get(place.name)
        origin = register.origin if register is not None else parent.origin
        at_ns = tally.newest_of(row)[1]
        return at_ns, _change(at_ns, path_of(question.parts), origin.value)
    tree, at = question.tree, place.directory
    newest = tree.maximum(at, tally.TOUCHED_NS)
    if newest <= tally.NEVER:
        return None
    while True:
        name = _touched_at(at, newest)
        if name is not None:
            register = at.get(name)
            origin = register.origin if register is not None else at.origin
            return newest, _change(newest, under(at.path(), name), origin.value)
        below = next(
            (c for c in seated(tree, at) if tree.maximum(c, tally.TOUCHED_NS) == newest), None
        )
        if below is None:
            origin = at.attrs.origin if at.attrs is not None else at.origin
            return newest, _change(newest, at.path(), origin.value)
        at = below


def _change(at_ns: int, path: bytes, origin: str) -> dict[str, Any]:
    return {"at": rfc3339(at_ns), **named("path", path), "origin": origin}


def _touched_at(directory: Directory, newest: int) -> bytes | None:
    """The first name, no directory, that changed just then."""
    for part in directory.glance().parts:
        if not part.rows:
            continue
        hits = np.flatnonzero(_touched(part) == newest)
        if len(hits):
            return split_names(part.names)[int(hits[0])]
    return None


def _touched(part: Part) -> Any:
    """max(mtime, ctime) of each row; edges, which have neither, never changed."""
    table = np.frombuffer(bytes(part.rows), COLUMNS)
    touched = np.maximum(table["mtime"], table["ctime"])
    return np.where(table["mode"] & 0xF000 == 0x4000, tally.NEVER, touched)


# ---- the reasons against it


class _Inquiry:
    """Collects what speaks against a scope being stable.

    Args:
        newest: ns of its last change, None without any. found: its quality.
    """

    def __init__(
        self, question: Question, place: Place, newest: int | None, found: dict[str, Any]
    ) -> None:
        self._question = question
        self._place = place
        self._quality = found
        self._moment = question.moment
        self._span_us = int(question.query.quiet_s * 1e6)
        self.reasons: list[dict[str, Any]] = []
        self.quiet_us: int | None = None
        if newest is not None:
            self.quiet_us = max(0, (self._moment.storage_ns - newest) // 1000)

    def run(self) -> Iterator[None]:
        """Fill `reasons`; gives way now and then."""
        found, top = self._quality, self._place.directory
        own = entries_for(self._question).flags_of(top) if top is not None else []
        here = [example(path_of(self._question.parts))]
        for kind, verb in (("suspect", "suspects"), ("debt", "debts")):
            itself = int(kind in own)
            if found[verb] or itself:
                examples = here * itself + self._flagged(verb)
                self._add(kind, found[verb] + itself, examples)
        if not found["complete"]:
            unscanned = [_example_of(item) for item in found["unscanned"]]
            self._add("unscanned", found["unscanned_total"], unscanned)
        if self.quiet_us is not None and self.quiet_us < self._span_us:
            yield from self._recent()
        if found["frozen"] or "frozen" in own:
            self._add("frozen", *self._frozen())
        if found["stale"]:
            self._add("stale", 1, here)
        elif not self.reasons:
            yield from self._unwatched()

    def _add(self, kind: str, count: int, examples: list[Any]) -> None:
        self.reasons.append({"kind": kind, "count": count, "examples": examples[:EXAMPLES_MAX]})

    def _walk(self, index: int) -> Iterator[Directory]:
        assert self._place.directory is not None
        return iter(
            Walk(self._question.tree, self._place.directory, wanted=lambda d: d.count[index])
        )

    def _flagged(self, verb: str) -> list[Any]:
        if self._place.directory is None:
            return [example(path_of(self._question.parts))]
        out: list[Any] = []
        flags = Flags(self._question.tree, verb)
        index = tally.SUSPECTS if verb == "suspects" else tally.DEBTS
        for directory in self._walk(index):
            path = directory.path()
            out += [example(under(path, name)) for name in flags.names(directory)]
            if len(out) >= EXAMPLES_MAX:
                break
        return out

    def _frozen(self) -> tuple[int, list[Any]]:
        top = self._place.directory
        if top is None or not top.count[tally.FROZEN]:
            return 1, [example(path_of(self._question.parts))]
        out: list[Any] = []
        for directory in self._walk(tally.FROZEN):
            path = directory.path()
            out += [example(under(path, name)) for name in sorted(directory.frozen or ())]
            if len(out) >= EXAMPLES_MAX:
                break
        return top.count[tally.FROZEN], out

    def _recent(self) -> Iterator[None]:
        """Entries that changed within the span, counted where the tallies say that there are."""
        top, tree = self._place.directory, self._question.tree
        if top is None:
            self._add("recent_change", 1, [example(path_of(self._question.parts))])
            return
        since = self._moment.storage_ns - self._span_us * 1000
        walk = Walk(tree, top, wanted=lambda d: tree.maximum(d, tally.TOUCHED_NS) > since)
        count = 0
        examples: list[Any] = []
        for steps, directory in enumerate(walk, 1):
            own, paths = _recent_in(directory, since, EXAMPLES_MAX - len(examples))
            count += own
            examples += [example(path) for path in paths]
            if steps % DIRECTORIES_A_STEP == 0:
                yield
                walk.refresh()
        # what was recent may have gone while others had their turn: it changed all the same
        self._add("recent_change", max(count, 1), examples)

    # ---- watched without a gap, or looked at since

    def _unwatched(self) -> Iterator[None]:
        """Directories that may have changed unseen: only when nothing else speaks against it."""
        moment, tree = self._moment, self._question.tree
        at = self._place.directory or self._place.parent
        if at is None:
            return
        since = moment.watched_since_us
        looked = moment.now_us - (self.quiet_us or 0) + self._span_us
        if self.quiet_us is None:
            looked = -(1 << 62)  # without any change every look is behind the last one
        count = 0
        examples: list[Any] = []
        bare = self._uncovered()
        alone = self._place.directory is None
        walk = Walk(tree, at)
        covered_until: Directory | None = None  # below it nothing is watched
        for steps, directory in enumerate(walk, 1):
            if covered_until is not None and not directory.is_below(covered_until):
                covered_until = None
            if covered_until is None and directory in bare:
                covered_until = directory
            watched = since is not None and covered_until is None
            base = directory.base
            if base is not None and not directory.left_out:
                fresh = base.lo >= looked or (watched and since is not None and base.lo >= since)
                if not fresh:
                    count += 1
                    if len(examples) < EXAMPLES_MAX:
                        examples.append(example(directory.path()))
            if alone:
                break
            if steps % DIRECTORIES_A_STEP == 0:
                yield
                walk.refresh()
        if count:
            self._add("stale", count, examples)

    def _uncovered(self) -> set[Directory]:
        """The directories without a watch; all below one is taken to have none either."""
        found = set()
        for path in self._moment.uncovered:
            try:
                place = locate(self._question.tree, parts_of(path))
            except QueryError:
                continue
            if place.directory is not None:
                found.add(place.directory)
        top = self._place.directory or self._place.parent
        above = top.parent if top is not None else None
        while above is not None and top is not None:
            if above in found:
                found.add(top)
            above = above.parent
        return found


def _recent_in(directory: Directory, since: int, most: int) -> tuple[int, list[bytes]]:
    """How many names changed behind `since`, the directory itself too, and the first few paths."""
    count = 0
    names: list[bytes] = []
    for part in directory.glance().parts:
        if not part.rows:
            continue
        hits = np.flatnonzero(_touched(part) > since)
        count += len(hits)
        if len(hits) and len(names) < most:
            listed = split_names(part.names)
            names += [listed[int(i)] for i in hits[:most]]
    path = directory.path()
    paths = [under(path, name) for name in names[: max(0, most)]]
    attrs = directory.attrs
    if attrs is not None and attrs.value is not None:
        own = unpack_row(attrs.value)
        if max(own.mtime_ns, own.ctime_ns) > since:
            count += 1
            if len(paths) < most:
                paths.append(path)
    return count, paths


def _example_of(item: dict[str, Any]) -> Any:
    return item["path"] if "path" in item else {"path_b64": item["path_b64"]}
