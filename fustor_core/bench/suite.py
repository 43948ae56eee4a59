"""A run of measurements: what is asked for, on which trees, in which order, and what is kept of it.

Everything stands in one report; a run has failed when an answer was wrong, never for a slow figure.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.client import HTTPException
from pathlib import Path
from typing import Any

from fustor_core.bench import (
    answers,
    audits,
    corpus,
    earlier,
    events,
    failover,
    gauges,
    goals,
    ingest,
    scans,
    sessions,
    starts,
    waiters,
)
from fustor_core.bench.program import scratch
from fustor_core.bench.report import Report
from fustor_core.errors import FustorError

PARTS = {
    "scan": "a tree into a view, beside find and a walk in Python",
    "audits": "audits of an unchanged tree, by tier, beside the bare looks",
    "answers": "stat, ls, du and find over the socket, beside constant bytes",
    "restart": "from a start to the first right answer",
    "earlier": "Fustor 0.8.17 on the same tree (--earlier)",
    "ingest": "rows of a synthetic tree into the server: CPU, memory, disk, restart",
    "start": "fustor --help, and fustor up until it answers",
    "events": "from the close of a file to its line in a view",
    "failover": "a leader is killed while questions are asked",
    "sessions": "heartbeats of many sessions beside a snapshot",
    "waiters": "many clients in view wait",
    "growth": "ingest, events and sessions, each at many sizes (long)",
}
TREE_PARTS = ("scan", "audits", "answers", "restart", "earlier")
LONG_PARTS = ("growth",)
UNITS = {"": 1, "k": 1_000, "m": 1_000_000}
K, M = 1_000, 1_000_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a run is to measure.

    Args:
        parts: of `PARTS`. files: sizes of the trees; none: as many as the effort takes.
        quick, long: less and more of everything. pin: cores as taskset takes them.
        cache: folder of the trees, on a local file system. keep: those that it makes stay there.
        history: folder that takes the figures as a file of JSON. earlier: ``bin`` of 0.8.17.
    """

    parts: Collection[str]
    cache: Path
    files: tuple[int, ...] = ()
    quick: bool = False
    long: bool = False
    pin: str | None = None
    keep: bool = True
    history: Path | None = None
    earlier: Path | None = None

    @property
    def trees(self) -> tuple[int, ...]:
        """Files of each tree."""
        if self.files or not set(self.parts) & set(TREE_PARTS):
            return self.files
        return (20 * K,) if self.quick else (100 * K, M) if self.long else (M,)


@dataclass(slots=True)
class Effort:
    """How often everything is repeated, and how long it is watched."""

    quick: bool
    long: bool
    rounds: int = field(init=False)
    requests: int = field(init=False)
    finds: int = field(init=False)
    event_s: float = field(init=False)
    wait_s: float = field(init=False)
    rates: list[int] = field(init=False)
    rows: int = field(init=False)

    def __post_init__(self) -> None:
        self.rounds = 1 if self.quick else 3
        self.requests = 200 if self.quick else 2000
        self.finds = 5 if self.quick else 20
        self.event_s = 3.0 if self.quick else 8.0
        self.wait_s = 5.0 if self.quick else 10.0
        self.rates = [1000, 5000] if self.quick else [1000, 5000, 10_000, 20_000]
        self.rows = M if self.quick else 10 * M


class Run:
    """One run.

    Args:
        tell: told what begins.

    Attributes:
        report: what was found. growth: figures by size, when they were asked for.
    """

    def __init__(self, wanted: Wanted, tell: Callable[[str], None]) -> None:
        self.wanted = wanted
        self.report = Report()
        self.growth: dict[str, Any] = {}
        self.machine: dict[str, object] = {}
        self._effort = Effort(wanted.quick, wanted.long)
        self._tell = tell

    def __repr__(self) -> str:
        return f"<Run of {', '.join(self.wanted.parts)}>"

    def measure(self) -> bool:
        """Everything; whether every answer was right."""
        wanted, report = self.wanted, self.report
        cache = wanted.cache.absolute()
        cache.mkdir(parents=True, exist_ok=True)
        others, began, before = gauges.Others(), time.perf_counter(), corpus.kept(cache)
        report.note(gauges.warning())
        for files in (*wanted.trees, *([waiters.FILES] if "waiters" in wanted.parts else [])):
            corpus.written(cache, corpus.Plan(files))  # all of them now: they grow old together
        os.sync()  # else what made the trees is still being written while others wait for the disk
        for part in ("start", "events", "ingest", "failover", "sessions"):  # these need no old tree
            with self._going_on(part):
                self._part(part, cache)
        for files in wanted.trees:
            with self._going_on(f"the tree of {files:,} files"):
                self._tree(cache, files)
        for part in ("waiters", "growth"):
            with self._going_on(part):
                self._part(part, cache)
        if not wanted.keep:
            corpus.remove(cache, before)
        report.note(others.warning())
        self.machine = gauges.machine() | {
            "others_cpu_percent": round(others.share(), 1),
            "pinned": wanted.pin or "no",
            "seconds": round(time.perf_counter() - began),
        }
        if wanted.history is not None:
            self._remember(wanted.history)
        return not report.wrong

    def document(self) -> dict[str, Any]:
        """Every value."""
        found = self.report.document(self.machine)
        return {"at": stamp(), **found, **({"growth": self.growth} if self.growth else {})}

    def text(self) -> str:
        """For people: every figure, then the table of goals."""
        table = goals.table(self.report)
        parts = [self.report.text(self.machine)]
        return "\n\n".join([*parts, *(["What the design asks for", table] if table else [])])

    @contextmanager
    def _going_on(self, part: str) -> Iterator[None]:
        """What breaks off inside is wrong, and the other parts are measured all the same."""
        try:
            yield
        except (OSError, RuntimeError, FustorError, HTTPException, ExceptionGroup) as error:
            self.report.check(False, f"{part} broke off: {error!r}")

    def _part(self, part: str, cache: Path) -> None:
        if part not in self.wanted.parts:
            return
        self._tell(part)
        report, effort, pin = self.report, self._effort, self.wanted.pin
        with scratch(cache) as folder:
            if part == "start":
                starts.measure(report, folder, effort.rounds, pin)
            elif part == "events":
                events.measure(report, folder, effort.rates, effort.event_s, effort.rounds, pin)
            elif part == "ingest":
                ingest.measure(report, folder, effort.rows, 100, pin)
            elif part == "failover":
                failover.measure(report, folder, effort.rounds)
            elif part == "sessions":
                sessions.measure(report, folder, 500, effort.wait_s, pin)
            elif part == "waiters":
                waiters.measure(report, cache, folder, 100, effort.wait_s, pin)
            else:
                from fustor_core.bench import growth

                self.growth = growth.measure(
                    report, cache, quick=effort.quick, long=effort.long, tell=self._tell
                )

    def _tree(self, cache: Path, files: int) -> None:
        """Everything that is measured on a tree of one size."""
        wanted, parts, effort = self.wanted, set(self.wanted.parts), self._effort
        tree = corpus.prepared(cache, files)
        whole = tree.plan.whole
        section = f"{whole.files:,} files, {whole.dirs:,} directories"
        self._tell(section)
        with scratch(cache) as folder:
            if parts & {"scan", "answers", "restart"}:
                self._program(section, tree, folder, parts)
            if "audits" in parts:
                audits.measure(self.report, section, tree, folder, effort.rounds)
            if "earlier" in parts and wanted.earlier is not None:
                earlier.measure(self.report, section, tree, folder, wanted.earlier)

    def _program(self, section: str, tree: corpus.Corpus, folder: Path, parts: set[str]) -> None:
        """What is measured on one program, from its scan on."""
        report, effort, pin = self.report, self._effort, self.wanted.pin
        # one core for both sides: the figure is that of a core, and threads may not hide any
        told = report if "scan" in parts else Report(aloud=False)
        rounds = effort.rounds if "scan" in parts else 1
        program = scans.scan(told, section, tree, folder, rounds, pin)
        if told is not report:
            report.checked += told.checked
            report.wrong += told.wrong
        try:
            if "answers" in parts:
                with program.client(scans.NAME) as client:
                    answers.measure(
                        report, section, tree, client, folder,
                        requests=effort.requests, finds=effort.finds, pin=pin,
                    )  # fmt: skip
            if "restart" in parts:
                scans.restart(report, section, tree, program, effort.rounds, pin)
        finally:
            program.stop()

    def _remember(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        place = folder / f"{stamp().replace(':', '')}.json"
        place.write_text(json.dumps(self.document(), indent=1) + "\n", "utf-8")


def stamp() -> str:
    """Wall time, as it stands in names and documents."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def default_cache() -> Path:
    """Beside what other programs can make again."""
    place = os.environ.get("XDG_CACHE_HOME")
    return (Path(place) if place else Path.home() / ".cache") / "fustor-bench"


def sizes(text: str) -> tuple[int, ...]:
    """Numbers of files in ``20k,1M``.

    Raises:
        ValueError: it is no such list.
    """
    found = [re.fullmatch(r"([0-9]+)([kKmM]?)", word.strip()) for word in text.split(",")]
    if not all(found):
        raise ValueError(f"{text} is no list like 20k,1M")
    return tuple(int(one[1]) * UNITS[one[2].lower()] for one in found if one)
