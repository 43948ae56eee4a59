"""What of the state machines was ever driven: the distinct moves of a state directory's life.

Each process keeps one file, a line a move that was never made there before: so it is as small as
the tables are, whatever happens. It is written at once and never synced: it is evidence for people
and tests, nothing is decided by it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Any

from fustor_core.machine import Move, Table
from fustor_core.state.files import FILE_MODE

NAME = "driven.jsonl"
LINES_MAX = 100_000  # a file that is longer is no record of ours

Step = tuple[str, str | int, str, str | int]  # machine, value before, event, value after


class Driven:
    """Writes down the moves that were never made before.

    Args:
        path: the record; its folder exists.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: set[Step] | None = None

    def __repr__(self) -> str:
        return f"<Driven {self._path}>"

    def record(self, move: Move[Any]) -> None:
        """Take a move; one that cannot be written down is tried again the next time."""
        if self._known is None:
            self._known = set(recorded([self._path]))
        step = (move.machine, _plain(move.old), move.event, _plain(move.new))
        if step in self._known:
            return
        # The newline stands first: a line that a power cut has torn spoils no other.
        line = b"\n" + json.dumps(step).encode()
        try:
            fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, FILE_MODE)
            try:
                os.write(fd, line)
            finally:
                os.close(fd)
        except OSError:
            return
        self._known.add(step)


def records(home: Path) -> list[Path]:
    """Where the records of a state directory are."""
    return [home / part / NAME for part in ("agent", "fusion")]


def recorded(paths: Iterable[Path]) -> Iterator[Step]:
    """The moves in some records; files that are not there, and torn lines, are passed over."""
    for path in paths:
        try:
            lines = path.read_bytes().splitlines()[:LINES_MAX]
        except OSError:
            continue
        for line in lines:
            try:
                machine, old, event, new = json.loads(line)
            except (ValueError, TypeError):
                continue
            if all(isinstance(state, int | str) for state in (old, new)):
                yield str(machine), old, str(event), new


def coverage(table: Table[Any], steps: Iterable[Step]) -> dict[str, Any]:
    """What of a table was driven and what never was.

    Args:
        table: the machine. steps: moves, of this machine and of others.

    Returns:
        ``{name, states_driven, states_missing, edges_driven, edges_missing}``; states by name, of
        flags the combinations that occur; edges as arrows of the drawing (`Table.arrows`).
    """
    states = {table.initial: False, **dict.fromkeys(table.reachable(), False)}
    arrows = dict.fromkeys(table.arrows(), False)
    for machine, old, event, new in steps:
        if machine != table.name:
            continue
        try:
            before, after = table.kind(old), table.kind(new)
        except (ValueError, TypeError):
            continue  # of an earlier version
        for state in (before, after):
            if state in states:
                states[state] = True
        for arrow in table.arrows_of(before, event, after):
            if arrow in arrows:
                arrows[arrow] = True
    return {
        "name": table.name,
        "states_driven": [table.describe(s) for s, driven in states.items() if driven],
        "states_missing": [table.describe(s) for s, driven in states.items() if not driven],
        "edges_driven": [asdict(a) for a, driven in arrows.items() if driven],
        "edges_missing": [asdict(a) for a, driven in arrows.items() if not driven],
    }


def _plain(state: object) -> str | int:
    value = state.value if isinstance(state, Enum) else state
    return value if isinstance(value, int) else str(value)
