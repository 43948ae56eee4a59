"""Totals of a subtree, read from its tally."""

from __future__ import annotations

from typing import Any

from fustor_core.claims import unpack_row
from fustor_view_file import tally
from fustor_view_file.directory import Directory
from fustor_view_file.tree import Tree


def rollup_of(tree: Tree, directory: Directory) -> dict[str, Any]:
    """What lies below a directory, itself not counted (interfaces.md §1).

    `newest_mtime_ns` and `changed_us` are None where there is nothing that they could be of.
    """
    count = directory.count
    return {
        "files": count[tally.FILES],
        "dirs": count[tally.DIRS],
        "others": count[tally.OTHERS],
        "bytes": count[tally.BYTES],
        "suspects": count[tally.SUSPECTS],
        "debts": count[tally.DEBTS],
        "blind": count[tally.BLIND],
        "newest_mtime_ns": _known(tree.maximum(directory, tally.NEWEST_NS)),
        "changed_us": _known(count[tally.CHANGED_US]),
    }


def rollup_of_row(row: bytes, flags: list[str]) -> dict[str, Any]:
    """The totals of a single entry that is no directory: it counts for itself."""
    files, others, size = tally.of_row(row)
    return {
        "files": files,
        "dirs": 0,
        "others": others,
        "bytes": size,
        "suspects": int("suspect" in flags),
        "debts": int("debt" in flags),
        "blind": int("blind" in flags),
        "newest_mtime_ns": unpack_row(row).mtime_ns,
        "changed_us": None,
    }


def entries_of(directory: Directory) -> int:
    """How many names lie below a directory."""
    count = directory.count
    return count[tally.FILES] + count[tally.DIRS] + count[tally.OTHERS]


def _known(maximum: int) -> int | None:
    return None if maximum <= tally.NEVER else maximum
