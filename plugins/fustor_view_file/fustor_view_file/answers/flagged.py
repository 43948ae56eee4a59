"""`suspects`, `debts` and `blind-spots`: the entries of a scope that carry a flag."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fustor_core.claims import is_dir
from fustor_core.contracts import Page
from fustor_view_file import tally
from fustor_view_file.answers import quality
from fustor_view_file.answers.blind import first_seen
from fustor_view_file.answers.listing import entries_for, missing
from fustor_view_file.answers.paging import Listed, paged, start_of
from fustor_view_file.answers.places import PRESENT, locate
from fustor_view_file.answers.question import Question
from fustor_view_file.answers.walk import Walk
from fustor_view_file.directory import Directory
from fustor_view_file.tree import Tree

COUNTED = {"suspects": tally.SUSPECTS, "debts": tally.DEBTS, "blind-spots": tally.BLIND}
NAMES_A_STEP = 500
COST_A_STEP = 2000


def flagged(question: Question) -> Iterator[Page]:
    """`{entries: [Entry], next_cursor, quality}`, in the order of `find`.

    Debts list names that are shown as absent too, and edges that are hidden: what nobody can say
    of them is null; and directories whose own attributes are disputed, that of the question first.
    """
    return _pages(question, start_of(question))


def _pages(question: Question, start: tuple[tuple[bytes, ...], bytes] | None) -> Iterator[Page]:
    listed = Listed(question, "entries")
    place = locate(question.tree, question.parts)
    if place.existence != PRESENT:
        yield missing(question, place)
        return
    verb = question.query.verb
    index = COUNTED[verb]
    if place.directory is not None:
        walk = Walk(question.tree, place.directory, wanted=lambda d: d.count[index], behind=start)
        first = verb == "debts" and start is None and place.directory.disputed
        if first and listed.top(place.directory):
            yield Page([entries_for(question).of_directory(place.directory)], "entries")
        yield from paged(listed, walk, _steps(question, listed, walk))
    items: list[dict[str, Any]] = []
    if place.directory is None and place.parent is not None:
        names = [n for n in Flags(question.tree, verb).names(place.parent) if n == place.name]
        items = _entries(question, place.parent, names)
    document = listed.document(quality=quality.of_scope(question, place))
    yield Page(items, "entries", document)


def _steps(question: Question, listed: Listed, walk: Walk) -> Iterator[list[dict[str, Any]]]:
    flags = Flags(question.tree, question.query.verb)
    for cost, directory in enumerate(walk, 1):
        names = [name for name in flags.names(directory) if name > walk.after]
        if cost % COST_A_STEP == 0:
            yield []
        for at in range(0, len(names), NAMES_A_STEP):
            if not question.tree.visible(directory):
                break
            some = [(name, None) for name in names[at : at + NAMES_A_STEP]]
            room = listed.room((directory, some))
            if room is None:
                return
            yield _entries(question, directory, [name for name, _ in room[1]])
            if listed.cut:
                return


def _entries(question: Question, directory: Directory, names: list[bytes]) -> list[dict[str, Any]]:
    entries, tree = entries_for(question), question.tree
    out: list[dict[str, Any]] = []
    for name in names:
        row = directory.pack.get(name)
        hidden = row is not None and is_dir(row) and tree.child(directory, name, row) is None
        if row is None or hidden:
            out.append(entries.of_nothing(directory, name, row))
        else:
            out += entries.of_names(directory, [(name, row)])
        if question.query.verb == "blind-spots":
            out[-1]["first_seen"] = first_seen(question, directory, name)
    return out


class Flags:
    """Which names of a directory carry the flag that a verb lists.

    Args:
        tree: the directories. verb: one of `COUNTED`.
    """

    def __init__(self, tree: Tree, verb: str) -> None:
        self._tree = tree
        self._verb = verb
        self._hidden: dict[Any, set[bytes]] = {}
        if verb == "debts":
            for key, name in tree.hidden():
                self._hidden.setdefault(key, set()).add(name)

    def names(self, directory: Directory) -> list[bytes]:
        """The flagged names of a directory, in byte order."""
        if self._verb == "suspects":
            return sorted(directory.suspects)
        if self._verb == "blind-spots":
            return sorted(directory.blind or ())
        disputed = {name for name, mark in directory.own.items() if mark.debt}
        disputed.update(child.name for child in self._tree.children(directory) if child.disputed)
        return sorted(disputed | self._hidden.get(directory.key, set()))
