"""How far an answer can be trusted: the quality of a scope (interfaces.md §1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fustor_view_file import tally
from fustor_view_file.answers.paths import named
from fustor_view_file.answers.places import Place
from fustor_view_file.answers.question import Question
from fustor_view_file.answers.times import rfc3339
from fustor_view_file.answers.walk import seated
from fustor_view_file.directory import Directory
from fustor_view_file.tree import Tree

UNSCANNED_MAX = 20
LOOKS_MAX = 20_000  # directories that are looked at to name those; their number is exact anyway
VANISHED = "vanished_root"


def of_scope(question: Question, place: Place) -> dict[str, Any]:
    """The quality of what a place is: a directory with all below it, or a single name."""
    if place.directory is not None:
        return of_directory(question, place.directory, place.doubtful)
    near = place.near
    if near is None:
        return _document(question, None, [_item(b"/", "not_yet", 0)], 1, _flags())
    holes = [*place.doubtful] + ([near] if not near.listed else [])
    named_holes = [_unscanned(d) for d in holes if not d.left_out]
    chosen = [_unscanned(near)] if near.left_out else []
    flags = _flags()
    name = place.name if near is place.parent else b""
    if name:
        register = near.get(name)
        flags = _flags(
            suspects=int(name in near.suspects),
            debts=int(register is not None and register.debt),
            blind=int(near.blind is not None and name in near.blind),
            frozen=near.frozen is not None and name in near.frozen,
        )
    total = len(named_holes) + len(chosen)
    items = (named_holes + chosen)[:UNSCANNED_MAX]
    return _document(question, near, items, total, flags)


def of_directory(
    question: Question, directory: Directory, doubtful: tuple[Directory, ...] = ()
) -> dict[str, Any]:
    """The quality of a directory and all below it.

    Args:
        doubtful: directories above it below which all is owed a fresh look.
    """
    count = directory.count
    items = [_unscanned(d) for d in doubtful]
    for d in holes(question.tree, directory, UNSCANNED_MAX - min(len(items), UNSCANNED_MAX)):
        items.append(_unscanned(d))
    flags = _flags(
        suspects=count[tally.SUSPECTS],
        debts=count[tally.DEBTS],
        blind=count[tally.BLIND],
        frozen=count[tally.FROZEN] > 0,
    )
    # what is left out by choice counts against nothing but the question about it alone
    total = count[tally.GAPS] + len(doubtful) + directory.left
    return _document(question, directory, items[:UNSCANNED_MAX], total, flags)


def holes(tree: Tree, top: Directory, most: int) -> Iterator[Directory]:
    """Directories at and below `top` that are owed a listing, then those left out by choice."""
    left = LOOKS_MAX
    for index in (tally.GAPS, tally.LEFT_OUT):
        stack = [iter((top,))]
        while stack and most > 0 and left > 0:
            at = next(stack[-1], None)
            if at is None:
                stack.pop()
                continue
            left -= 1
            if not at.count[index]:
                continue
            if at.gap if index == tally.GAPS else at.left:
                yield at
                most -= 1
            stack.append(seated(tree, at))


def _flags(
    suspects: int = 0, debts: int = 0, blind: int = 0, *, frozen: bool = False
) -> dict[str, Any]:
    return {"suspects": suspects, "debts": debts, "blind": blind, "frozen": frozen}


def _document(
    question: Question,
    scope: Directory | None,
    items: list[dict[str, Any]],
    total: int,
    flags: dict[str, Any],
) -> dict[str, Any]:
    moment, root = question.moment, question.tree.root
    heard = moment.heard_us
    if heard is None and scope is not None and scope.base is not None:
        heard = scope.base.hi  # nobody fed it since the start: as of its last listing
    age_us = max(0, moment.now_us - heard) if heard is not None else None
    gone = root is not None and root.owed is not None and root.reason == VANISHED
    return {
        "as_of": None if age_us is None else rfc3339(moment.wall_ns - age_us * 1000),
        "as_of_us": heard,
        "age_s": None if age_us is None else age_us / 1e6,
        "complete": total == 0,
        "unscanned": items,
        "unscanned_total": total,
        "suspects": flags["suspects"],
        "debts": flags["debts"],
        "blind": flags["blind"],
        "stale": moment.stale,
        "frozen": flags["frozen"] or gone,
        "epoch": moment.epoch,
    }


def _unscanned(directory: Directory) -> dict[str, Any]:
    return _item(directory.path(), directory.reason or "not_yet", directory.errno)


def _item(path: bytes, reason: str, errno: int) -> dict[str, Any]:
    return {**named("path", path), "reason": reason, "errno": errno or None}
