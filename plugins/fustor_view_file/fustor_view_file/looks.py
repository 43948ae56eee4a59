"""Which looks are owed (arbitration.md §7), found by walking only where tallies say so."""

from __future__ import annotations

from collections.abc import Iterator

from fustor_core.arbitration import order
from fustor_core.claims import Key
from fustor_core.contracts import Moment, Wanted
from fustor_view_file.apply import Registers
from fustor_view_file.directory import Directory
from fustor_view_file.tally import DEBTS, GAPS, SUSPECTS
from fustor_view_file.tree import Tree

LOOSE_MOST = 100_000
LIST_INSTEAD = 4
UNLISTABLE = frozenset({"permission", "io_error", "hung", "vanished_root"})


def where(tree: Tree, top: Directory, *indexes: int, whole: bool = False) -> Iterator[Directory]:
    """The directories at and below `top` in whose subtree one of these sums is not 0.

    Args:
        whole: what is owed deep stands for all below it.
    """
    stack = [top]
    while stack:
        at = stack.pop()
        if not any(at.count[i] for i in indexes):
            continue
        yield at
        if not (whole and at.deep and at.owed is not None):
            stack.extend(tree.children(at))


def wanted(registers: Registers, moment: Moment, limit: int) -> list[Wanted]:
    """Disputed and hidden registers, disputed seats, suspects, owed listings.

    A listing, and a look at a directory by its path, bring its own attributes along.
    """
    tree = registers.tree
    if tree.root is None:
        return []
    out: list[Wanted] = []
    for at in where(tree, tree.root, DEBTS, SUSPECTS, GAPS, whole=True):
        if len(out) >= limit:
            return out
        path = at.path()
        if not at.listed and not at.left_out and at.count[GAPS]:
            out.append(Wanted("list", path, at.deep))
            out.extend(Wanted("look", _below(path, n)) for n in sorted(_over(at, moment)))
        else:
            out.extend(_at_suspects(path, _over(at, moment)))
            if at.disputed:
                out.append(Wanted("look", path))
        names = {n for n, mark in at.own.items() if mark.debt}
        names -= {
            n
            for n, since in (at.frozen or {}).items()
            if not registers.guard.matured(since, moment.now_us)
        }
        out.extend(Wanted("look", _below(path, n)) for n in sorted(names))
    out.extend(Wanted("look", path) for path in _contested(tree))
    return out[:limit]


def ripe(tree: Tree, moment: Moment, limit: int) -> tuple[list[Wanted], int | None]:
    """Looks at suspects whose hot window is over, and when that of the next one is."""
    out: list[Wanted] = []
    next_us: int | None = None
    for at in where(tree, tree.root, SUSPECTS) if tree.root is not None else ():
        over = _over(at, moment)
        out.extend(_at_suspects(at.path(), over))
        if len(out) >= limit:
            return out[:limit], moment.now_us
        if len(over) < len(at.suspects):
            hot = min(since for n, since in at.suspects.items() if n not in over)
            next_us = hot + moment.hot_us if next_us is None else min(next_us, hot + moment.hot_us)
    return out, next_us


def _over(at: Directory, moment: Moment) -> set[bytes]:
    """The suspects of a directory that may be looked at again."""
    return {n for n, since in at.suspects.items() if since + moment.hot_us <= moment.now_us}


def _at_suspects(path: bytes, names: set[bytes]) -> list[Wanted]:
    if len(names) > LIST_INSTEAD:
        return [Wanted("list", path)]  # one listing looks at all of them
    return [Wanted("look", _below(path, n)) for n in sorted(names)]


def _below(path: bytes, name: bytes) -> bytes:
    return (path if path == b"/" else path + b"/") + name


def _contested(tree: Tree) -> Iterator[bytes]:
    for key, places in sorted(tree.contested().items()):
        child = tree.dirs.get(key)
        if child is None:
            continue
        seat = (child.parent.key, child.name) if child.parent is not None else None
        for parent_key, name in sorted(places):
            parent = tree.dirs.get(parent_key)
            if parent is None or not tree.visible(parent):
                continue
            if (parent_key, name) == seat and not _disputed(tree, places, (parent_key, name)):
                continue
            prefix = parent.path()
            yield (prefix if prefix == b"/" else prefix + b"/") + name


def _disputed(tree: Tree, places: set[tuple[Key, bytes]], seat: tuple[Key, bytes]) -> bool:
    """Whether another register that names the directory is not strictly older than its seat."""
    mine = tree.dirs[seat[0]].get(seat[1])
    for place in places:
        other = tree.dirs[place[0]].get(place[1]) if place != seat else None
        if other is not None and mine is not None and order(mine.seen, other.seen) >= 0:
            return True
    return False


def listable(tree: Tree, top: Directory) -> int:
    """Listings owed at and below `top`, without those that could not be read when last tried."""
    return sum(
        1
        for at in where(tree, top, GAPS)
        if not at.listed and not at.left_out and at.reason not in UNLISTABLE
    )


def forgettable(tree: Tree, before_us: int, limit: int) -> list[Key]:
    """The oldest unseated directories: those of before, and all beyond `LOOSE_MOST`."""
    surplus = max(0, len(tree.gone) - LOOSE_MOST)
    out: list[Key] = []
    for key, since in tree.gone.items():
        if len(out) >= limit or (since > before_us and len(out) >= surplus):
            break
        out.append(key)
    return out
