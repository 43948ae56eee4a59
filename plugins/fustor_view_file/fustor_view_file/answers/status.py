"""`status`: how much a view holds, how good that is, and what of it is in memory."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice
from typing import Any

from fustor_core.contracts import Page
from fustor_view_file import tally
from fustor_view_file.answers import quality
from fustor_view_file.answers.places import locate
from fustor_view_file.answers.question import Question
from fustor_view_file.answers.rollups import entries_of
from fustor_view_file.directory import Directory
from fustor_view_file.pack import Pack
from fustor_view_file.tree import Tree

SAMPLED = 256  # directories that are weighed; the others are taken to be like them
AGAIN = 8  # they are weighed again when the view has grown or shrunk by this part


def status(question: Question) -> Iterator[Page]:
    """`{view, files, dirs, bytes, entries, quality, memory_bytes, packs}`: of ViewStatus."""
    tree = question.tree
    document: dict[str, Any] = {
        "view": question.view,
        "files": 0,
        "dirs": 0,
        "bytes": 0,
        "entries": 0,
    }
    if tree.root is not None:
        count = tree.root.count
        document |= {
            "files": count[tally.FILES],
            "dirs": count[tally.DIRS],
            "bytes": count[tally.BYTES],
            "entries": entries_of(tree.root),
        }
    document["quality"] = quality.of_scope(question, locate(tree, ()))
    document |= memory_of(tree)
    yield Page([], "", document)


def memory_of(tree: Tree) -> dict[str, Any]:
    """About how many bytes a view takes in memory, and how many of its packs are where.

    Returns:
        memory_bytes, and packs: {budget_bytes, hot, hot_bytes, folded, folded_bytes, cold}.
    """
    budget = tree.budget
    held = budget.held()
    index, packs = _estimated(tree)
    hot, hot_bytes = held.hot, held.hot_bytes
    if budget.limit_bytes is None:
        hot, hot_bytes = len(tree.dirs) - held.cold, packs
    return {
        "memory_bytes": index + hot_bytes + held.folded_bytes,
        "packs": {
            "budget_bytes": budget.limit_bytes,
            "hot": hot,
            "hot_bytes": hot_bytes,
            "folded": held.folded,
            "folded_bytes": held.folded_bytes,
            "cold": held.cold,
        },
    }


def _estimated(tree: Tree) -> tuple[int, int]:
    """About how many bytes the directories take, and the packs that are at hand."""
    total = len(tree.dirs)
    if not total:
        return 0, 0
    entries = total + (entries_of(tree.root) if tree.root is not None else 0)
    size = entries * (total - tree.budget.cold) // total
    last = tree.weighed
    if last is None or _far(entries, last[0]) or _far(size, last[1]):
        step = -(-total // SAMPLED)
        sample = list(islice(tree.dirs.values(), 0, None, step))
        index = sum(d.index_bytes() for d in sample) * total // len(sample)
        packs = sum(_pack_bytes(d) for d in sample) * total // len(sample)
        last = tree.weighed = entries, size, index, packs
    then, held, index, packs = last
    return index * entries // then, packs * size // held if held else packs


def _far(now: int, then: int) -> bool:
    return abs(now - then) * AGAIN > then


def _pack_bytes(directory: Directory) -> int:
    """Bytes of the pack as far as it is at hand."""
    size, pack = sys.getsizeof, directory.held
    if not isinstance(pack, Pack):
        return 0
    weight = sum(size(part) + size(part.names) + size(part.rows) for part in pack.parts)
    return weight + (size(pack) if pack.more is not None else 0)
