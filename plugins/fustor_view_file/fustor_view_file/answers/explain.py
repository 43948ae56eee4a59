"""`explain`: the evidence that the view holds about one path.

The claims that led to it are remembered by fusion, which adds them to `claims`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fustor_core.claims import is_dir
from fustor_core.contracts import Page
from fustor_core.registers import Register
from fustor_view_file.answers import quality
from fustor_view_file.answers.entries import columns_of, edge_columns
from fustor_view_file.answers.listing import entry_at
from fustor_view_file.answers.paths import answered, path_of
from fustor_view_file.answers.places import locate
from fustor_view_file.answers.question import Question

HELD = "held"


def explain(question: Question) -> Iterator[Page]:
    """`{view, path, existence, entry, claims, quality}`.

    The claims are the registers that the answer rests on, as they stand: the name in its
    directory, and a directory's own attributes. Their `rule` is ``held``.
    """
    place = locate(question.tree, question.parts)
    claims = []
    if place.parent is not None:
        register = place.parent.get(place.name)
        if register is not None:
            claims.append(held(register))
    if place.directory is not None and place.directory.attrs is not None:
        claims.append(held(place.directory.attrs, attributes=True))
    document = answered(
        question.view,
        path_of(question.parts),
        existence=place.existence,
        entry=entry_at(question, place),
        claims=claims[: question.query.limit],
        quality=quality.of_scope(question, place),
    )
    yield Page([], "", document)


def held(register: Register, *, attributes: bool = False) -> dict[str, Any]:
    """What a register holds, in the form of a claim that was accepted."""
    seen = register.seen
    return {
        "at_us": seen.hi,
        "agent": None,
        "session": None,
        "seq": None,
        "origin": register.origin.value,
        "interval": [seen.lo, seen.hi],
        "value": value_of(register.value, attributes=attributes),
        "verdict": "debt" if register.debt else "accepted",
        "rule": HELD,
        "by": None,
    }


def value_of(row: bytes | None, *, attributes: bool = False) -> dict[str, Any] | None:
    """The columns of a row, None for absent; of an edge what it says.

    Args:
        attributes: the row is a directory's own attributes, no edge.
    """
    if row is None:
        return None
    if is_dir(row) and not attributes:
        return {"type": "dir", **edge_columns(row)}
    return columns_of(row)
