"""`status`: how much a view holds, and how good that is."""

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
from fustor_view_file.tree import Tree

SAMPLED = 256  # directories that are weighed; the others are taken to be like them
AGAIN = 8  # they are weighed again when the view has grown or shrunk by this part


def status(question: Question) -> Iterator[Page]:
    """`{view, files, dirs, bytes, entries, quality, memory_bytes}`: a part of ViewStatus."""
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
    document["memory_bytes"] = memory_of(tree)
    yield Page([], "", document)


def memory_of(tree: Tree) -> int:
    """About how many bytes the directories of a view take in memory."""
    total = len(tree.dirs)
    if not total:
        return 0
    size = total + (entries_of(tree.root) if tree.root is not None else 0)
    then, weight = tree.weighed
    if not then or abs(size - then) * AGAIN > then:
        step = -(-total // SAMPLED)
        weighed = [weight_of(d) for d in islice(tree.dirs.values(), 0, None, step)]
        weight = sum(weighed) * total // len(weighed)
        tree.weighed = (size, weight)
        return weight
    return weight * size // then


def weight_of(directory: Directory) -> int:
    """Bytes of one directory with its entries."""
    size = sys.getsizeof
    key = size(directory.key) + sum(map(size, directory.key))
    stamps = sum(size(s) for s in (directory.base, directory.attrs) if s is not None)
    weight = size(directory) + size(directory.count) + key + stamps + size(directory.name)
    for sparse in (directory.own, directory.suspects, directory.blind, directory.frozen):
        if sparse:
            weight += size(sparse) + sum(map(size, sparse))
    weight += sum(size(mark) + size(mark.seen) for mark in directory.own.values())
    if directory.resident:
        for part in directory.pack.parts:
            weight += size(part) + size(part.names) + size(part.rows)
    return weight
