"""The program itself on a tree: scan into a view, memory, restart; every view checked."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fustor_core.bench import answers, gauges, yardsticks
from fustor_core.bench.asker import Asker
from fustor_core.bench.corpus import Corpus
from fustor_core.bench.gauges import Cost
from fustor_core.bench.ingest import first_right
from fustor_core.bench.program import Program
from fustor_core.bench.report import Figure, Goal, Report
from fustor_core.files.compiled import compiled

NAME = "bench"
READY = "scan → view ready, by CPU time"
SAMPLES = 50  # entries of a view that are compared with lstat, beside its totals
ROW_BYTES = 48  # what the fields of an entry take, with its name the least that a view can hold
K = 1e3
DOUBT_MAX = 0.15
TURNS_MIN = 3  # with fewer empty starts their spread says nothing


@dataclass(frozen=True, slots=True)
class Start:
    """What one start took.

    Args:
        cpu_s, wall_s: until ``ready``. settled_cpu_s: until it came to rest, write-back included.
        pss: memory at rest in bytes.
    """

    cpu_s: float
    wall_s: float
    settled_cpu_s: float
    pss: float


@contextmanager
def started(home: Path, root: Path, pin: str | None = None) -> Iterator[Program]:
    """`fustor up` on a directory, as a view named `NAME`."""
    program = Program(home, ["up", os.fspath(root), "--name", NAME], pin)
    with program:
        yield program


class Scans:
    """Starts on one tree, each on a new home and beside one on an empty directory.

    Both pay for the interpreter and for opening the state; only the difference is the tree's.

    Args:
        folder: for homes. pin: cores for the program and its peers.
    """

    def __init__(self, corpus: Corpus, folder: Path, report: Report, pin: str | None) -> None:
        self.corpus = corpus
        self.bare: list[Start] = []
        self.full: list[Start] = []
        self.find: list[Cost] = []
        self.python: list[Cost] = []
        self._folder = folder
        self._report = report
        self._pin = pin
        self._homes = 0
        self._empty = folder / "empty"
        self._empty.mkdir()

    def turn(self) -> Program:
        """The peers, an empty start and a start on the tree, one after the other.

        Returns:
            The program on the tree, which goes on and is the caller's to end.
        """
        self.find.append(yardsticks.find_all(self.corpus.root, self._pin))
        self.python.append(yardsticks.walk_in_python(self.corpus.root, self._pin))
        start, program = self._start(self._empty)
        program.stop()
        self.bare.append(start)
        start, program = self._start(self.corpus.root)
        self.full.append(start)
        require_right(self._report, program, self.corpus)
        return program

    def taken(self, name: str) -> list[float]:
        """By the tree alone, in every turn: a field of `Start` less that of the empty starts."""
        bare = gauges.median([getattr(start, name) for start in self.bare])
        return [getattr(start, name) - bare for start in self.full]

    def doubt(self, name: str) -> float:
        """How far the empty starts differ among themselves, as a share of what the tree took.

        Infinite when the tree seems to have taken nothing.
        """
        values = [getattr(start, name) for start in self.bare]
        taken = min(self.taken(name))
        return (max(values) - min(values)) / taken if taken > 0 else float("inf")

    def _start(self, root: Path) -> tuple[Start, Program]:
        self._homes += 1
        home = self._folder / f"h{self._homes}"
        program = Program(home, ["up", os.fspath(root), "--name", NAME], self._pin)
        program.start()
        told = program.wait_for("ready")
        if root == self.corpus.root:
            # one question: more would count as work of the scan
            require_totals(self._report, program, self.corpus)
        if not program.settle():
            self._report.note("the program did not come to rest after its scan")
        wall_s = told.at_s - program.began_s
        cpu_s = program.cpu_s()
        pss = float(program.pss_at_rest())
        return Start(told.cpu_s, wall_s, cpu_s, pss), program


def scan(
    report: Report, section: str, corpus: Corpus, folder: Path, repeats: int, pin: str | None
) -> Program:
    """Measures scans beside `find`, turn by turn.

    Returns:
        The last program, still running, with the whole tree in its view.
    """
    report.note(f"compiled looks: {compiled().told}")
    scans = Scans(corpus, folder, report, pin)
    program = scans.turn()
    for _ in range(repeats - 1):
        program.stop()
        program = scans.turn()
    entries = corpus.plan.whole.files + corpus.plan.whole.dirs
    goal = Goal("≥", 0.7, ratio=True)
    find_cpu = [cost.cpu_s for cost in scans.find]
    find_wall = [cost.wall_s for cost in scans.find]
    python = [cost.cpu_s for cost in scans.python]
    _tell_rate(
        report, section, scans, READY, "cpu_s", ("find -printf", find_cpu), goal, "scan-view"
    )
    _tell_rate(report, section, scans, READY, "cpu_s", ("scandir + stat", python))
    rest = "scan → at rest, by CPU time"
    _tell_rate(report, section, scans, rest, "settled_cpu_s", ("find -printf", find_cpu))
    wall = "scan → view ready, by wall time"
    _tell_rate(report, section, scans, wall, "wall_s", ("find -printf", find_wall))
    limit = ROW_BYTES + corpus.plan.name_bytes
    memory = [taken / entries for taken in scans.taken("pss")]
    within = Goal("≤", round(limit + 10, 1))
    report.add(
        section,
        Figure("start on an empty directory, CPU", "ms", [s.cpu_s * K for s in scans.bare]),
        Figure("start on an empty directory, wall", "ms", [s.wall_s * K for s in scans.bare]),
        Figure("memory for each entry", "B", memory, "row + name", [limit], within),
        Figure("disk for each entry", "B", [program.state_bytes() / entries]),
    )
    return program


def _tell_rate(
    report: Report,
    section: str,
    scans: Scans,
    what: str,
    name: str,
    peer: tuple[str, list[float]],
    goal: Goal | None = None,
    row: str = "",
) -> None:
    """Entries in a second beside a peer; no verdict where the start-up drowns the scan.

    Args:
        name: field of `Start`. peer: its name and its times in s. row: of the table of goals.
    """
    entries = scans.corpus.plan.whole.files + scans.corpus.plan.whole.dirs
    doubt = scans.doubt(name)
    if doubt == float("inf"):
        report.note(f"{what}: not told, the tree is too small beside the start-up")
        return
    if doubt > DOUBT_MAX or len(scans.bare) < TURNS_MIN:
        goal = None
        report.note(
            f"{what}: too small a tree or too few repeats to tell from the start-up, whose own "
            f"times differ by {doubt:.0%} of it; read it as a rough guess"
        )
    rates = [entries / max(taken, 1e-6) / K for taken in scans.taken(name)]
    theirs = [entries / seconds / K for seconds in peer[1]]
    report.add(section, Figure(what, "k entries/s", rates, peer[0], theirs, goal, row))


def restart(
    report: Report, section: str, corpus: Corpus, program: Program, repeats: int, pin: str | None
) -> None:
    """From the start of the process to the first right answer, after kill -9 and after a stop."""
    program.settle()
    stored = _read_back(program.home)
    dice = random.Random(corpus.plan.seed)
    full = [folder for folder in corpus.plan.folders if folder.names]
    rescan = yardsticks.find_all(corpus.root, pin).wall_s
    for what, end in (("kill -9", program.kill), ("a stop", program.stop)):
        times_s = []
        for _ in range(repeats):
            end()
            folder = dice.choice(full)
            question = answers.stat_of(corpus, folder.below(dice.choice(folder.names)))
            program.start()
            times_s.append(first_right(report, program, NAME, question) - program.began_s)
            program.wait_for("ready")
            require_right(report, program, corpus)
            program.settle()
        report.add(
            section,
            Figure(
                f"restart after {what} → first right answer", "s", times_s,
                "find -printf, wall", [rescan], Goal("≤", 2.0),
            ),
        )  # fmt: skip
    report.add(section, Figure("state on disk, read again", "s", [stored]))


def require_totals(report: Report, program: Program, corpus: Corpus) -> None:
    """Compares the totals of the view, with one question."""
    with program.client(NAME) as client:
        _compare(report, client, [answers.du_of(corpus, b"/")])


def require_right(report: Report, program: Program, corpus: Corpus) -> None:
    """Compares the totals of the view and a sample of its entries."""
    dice = random.Random(corpus.plan.seed + 1)
    full = [folder for folder in corpus.plan.folders if folder.names]
    questions = [answers.du_of(corpus, b"/")]
    for folder in dice.choices(full, k=SAMPLES):
        questions.append(answers.stat_of(corpus, folder.below(dice.choice(folder.names))))
        questions.append(answers.stat_of(corpus, folder.path))
    with program.client(NAME) as client:
        _compare(report, client, questions)


def _compare(report: Report, client: Asker, questions: list[answers.Question]) -> None:
    _, bodies = answers.asked(client, questions, warm_up=0)
    for question, lines in zip(questions, bodies, strict=True):
        fault = question.fault(lines)
        report.check(not fault, f"{question}: {fault}")


def _read_back(home: Path) -> float:
    """Wall time in s of reading every file of a home from the page cache."""
    began = time.perf_counter()
    for path in home.rglob("*"):
        if path.is_file():
            path.read_bytes()
    return time.perf_counter() - began
