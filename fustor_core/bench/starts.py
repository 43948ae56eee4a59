"""How long a start takes: of a command that tells its help, and of `fustor up` until it answers.

Nothing of the program runs before; its files are in the page cache, as those of `find` are.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from fustor_core.bench import yardsticks
from fustor_core.bench.asker import Broken
from fustor_core.bench.program import Program
from fustor_core.bench.report import Figure, Goal, Report

SECTION = "starts"
HELPS = 5  # for each round: they are short
LISTENS_S_MAX = 60.0
K = 1e3


def measure(report: Report, folder: Path, rounds: int, pin: str | None) -> None:
    """By turns with their peers.

    Args:
        folder: for the homes and an empty directory. rounds: of `fustor up`; more of the help.
    """
    bare = [sys.executable, "-P", "-c", "pass"]
    told = [sys.executable, "-P", "-m", "fustor_core", "--help"]
    root = folder / "empty"
    root.mkdir()
    helps, pythons, listens, hellos = [], [], [], []
    yardsticks.ran(told, pin)  # the first of each may have to write the bytecode
    with Program(folder / "first", ["up", os.fspath(root)], pin) as program:
        first_answer(report, program)
    for number in range(rounds):
        for _ in range(HELPS):
            pythons.append(yardsticks.ran(bare, pin).wall_s * K)
            helps.append(yardsticks.ran(told, pin).wall_s * K)
        began_s = time.perf_counter()
        with yardsticks.hello(folder, pin):
            hellos.append(time.perf_counter() - began_s)
        program = Program(folder / f"h{number}", ["up", os.fspath(root)], pin)
        with program:
            listens.append(first_answer(report, program))
    report.add(
        SECTION,
        Figure(
            "fustor --help", "ms", helps, "python -c pass", pythons, Goal("≤", 150.0), row="help"
        ),
        Figure(
            "fustor up → answers", "s", listens, "a constant server", hellos, Goal("≤", 1.0),
            row="listens",
        ),
    )  # fmt: skip


def first_answer(report: Report, program: Program) -> float:
    """Seconds from its start to its first answer.

    Raises:
        RuntimeError: none came.
    """
    with program.client() as client:
        try:
            reply = client.first("views", None, lambda: program.runs, LISTENS_S_MAX)
        except Broken as error:
            raise RuntimeError(f"no answer since the start: {program.log}") from error
    took_s = time.perf_counter() - program.began_s
    report.check(reply.right, f"the first answer has status {reply.status}")
    return took_s
