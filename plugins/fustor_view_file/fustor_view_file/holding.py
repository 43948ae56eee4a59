"""Holding back mass deletions: what a scan misses stays shown, frozen, for a second look."""

from __future__ import annotations

from collections.abc import Iterator

from fustor_core.claims import Origin, is_dir
from fustor_core.contracts import Verdict, Write
from fustor_core.registers import NO_LINE, Register, Seen
from fustor_view_file.directory import Directory
from fustor_view_file.guard import Guard
from fustor_view_file.tally import DIRS, FILES, FROZEN, OTHERS
from fustor_view_file.tree import Tree

COUNTED = (FILES, DIRS, OTHERS)
WHOLE = frozenset({Origin.SNAPSHOT, Origin.AUDIT})


def entries_below(directory: Directory) -> int:
    """How many names lie below a directory."""
    return sum(directory.count[i] for i in COUNTED)


def hold(tree: Tree, guard: Guard, directory: Directory, verdict: Verdict) -> int:
    """Rewrite the removals of a scan's verdict that exceed what one scan may remove.

    Returns:
        how many names were frozen now.
    """
    losses = [
        w for w in verdict.writes if w.new.value is None and w.old and w.old.value is not None
    ]
    if not losses:
        return 0
    frozen = directory.frozen or {}
    held = {
        w.name
        for w in losses
        if w.name in frozen and not guard.matured(frozen[w.name], verdict.seen.lo)
    }
    fresh = [w for w in losses if w.name not in frozen]
    heavy = sum(weight(tree, directory, w) for w in fresh)
    entries = entries_below(tree.root) if tree.root is not None else 0
    whole = verdict.origin in WHOLE
    if not guard.take(heavy, entries, whole=whole, now_us=verdict.seen.hi):
        held.update(w.name for w in fresh)
    return _freeze(tree, directory, verdict, held) if held else 0


def weight(tree: Tree, directory: Directory, write: Write) -> int:
    """How many names go with this register."""
    value = write.old.value if write.old is not None else None
    if value is None or not is_dir(value):
        return 1
    child = tree.child(directory, write.name, value)
    return 1 + (entries_below(child) if child is not None else 0)


def _freeze(tree: Tree, directory: Directory, verdict: Verdict, held: set[bytes]) -> int:
    fresh = 0
    for i, write in enumerate(verdict.writes):
        if write.name not in held or write.old is None:
            continue
        seen = write.new.seen  # of no line, as any dispute: two looks stand behind it
        doubt = Seen(seen.lo, seen.hi, NO_LINE, 0, 0, 0, "m")
        kept = Register(write.old.value, doubt, True, write.old.rt, write.old.origin)
        verdict.writes[i] = Write(write.name, write.old, kept)
        if verdict.own is not None:
            verdict.own[write.name] = kept
        directory.frozen = directory.frozen or {}
        if write.name not in directory.frozen:
            directory.frozen[write.name] = verdict.seen.hi
            fresh += 1
    if fresh:
        tree.sums.push(directory, [(FROZEN, fresh)])
    return fresh


def thaw(directory: Directory, write: Write, deltas: list[tuple[int, int]]) -> None:
    """A frozen name that is no longer disputed is no longer frozen."""
    frozen = directory.frozen
    if frozen is None or write.name not in frozen or write.new.debt:
        return
    del frozen[write.name]
    directory.frozen = frozen or None
    deltas.append((FROZEN, -1))


def where_frozen(tree: Tree, top: Directory) -> Iterator[Directory]:
    """The directories at and below `top` with frozen names."""
    stack = [top]
    while stack:
        at = stack.pop()
        if not at.count[FROZEN]:
            continue
        stack.extend(tree.children(at))
        if at.frozen:
            yield at
