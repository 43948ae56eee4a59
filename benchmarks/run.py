"""Measures the program beside its peers on this machine and checks every answer that it times.

``python benchmarks/run.py --quick`` gives a first impression in under two minutes; without it the
trees of 100k and 1M files are used. Ends with 1 when an answer was wrong, never for a slow figure.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from pathlib import Path

import answers
import audits
import corpus
import events
import gauges
import ours
import sessions
import state_ws
import waiters
from program import scratch
from report import Report

PARTS = ("scan", "answers", "restart", "audits", "events", "waiters", "sessions", "watchers")
TREE_PARTS = ("scan", "answers", "restart", "audits")
FILES = "100k,1M"
UNITS = {"": 1, "k": 1_000, "m": 1_000_000}
RATES = [1000, 5000]


class Effort:
    """How much is asked of the machine.

    Args:
        quick: one repeat of everything, on a small tree.
    """

    def __init__(self, *, quick: bool, repeats: int | None) -> None:
        self.repeats = repeats or 3
        self.rounds = repeats or (1 if quick else 3)
        self.requests = 200 if quick else 2000
        self.finds = 5 if quick else 20
        self.event_s = 3.0 if quick else 8.0
        self.wait_s = 5.0 if quick else 20.0
        self.clients = 100
        self.sessions = 500
        self.watchers = 200


def main(words: list[str] | None = None) -> int:
    """Runs what was asked for and prints the table.

    Returns:
        Exit code.
    """
    given = _arguments().parse_args(words)
    effort = Effort(quick=given.quick, repeats=given.repeats)
    sizes = _sizes(given.files or ("20k" if given.quick else FILES))
    parts = set(given.only or PARTS)
    cache = given.cache.absolute()
    cache.mkdir(parents=True, exist_ok=True)
    report = Report()
    others = gauges.Others()
    report.note(gauges.warning())
    began = time.perf_counter()
    trees = sizes if parts & set(TREE_PARTS) else []
    for files in (*trees, *([waiters.FILES] if "waiters" in parts else [])):
        # all of them now: they grow old together
        corpus.written(cache, corpus.Plan(files))
    # first what needs no old tree
    if "events" in parts:
        print("events", file=sys.stderr, flush=True)
        with scratch(cache) as folder:
            events.measure(report, folder, RATES, effort.event_s, effort.rounds, given.pin)
    for files in trees:
        _run_tree(report, cache, files, parts, effort, given.pin)
    if "waiters" in parts:
        print("waiters", file=sys.stderr, flush=True)
        with scratch(cache) as folder:
            waiters.measure(report, cache, folder, effort.clients, effort.wait_s, given.pin)
    if "sessions" in parts:
        print("sessions", file=sys.stderr, flush=True)
        with scratch(cache) as folder:
            sessions.measure(report, folder, effort.sessions, effort.wait_s, given.pin)
    if "watchers" in parts:
        print("watchers", file=sys.stderr, flush=True)
        with scratch(cache) as folder:
            state_ws.measure(report, folder, effort.watchers, effort.wait_s)
    report.note(others.warning())
    machine = gauges.machine() | {
        "others_cpu_percent": round(others.share(), 1),
        "pinned": given.pin or "no",
        "seconds": round(time.perf_counter() - began),
    }
    print(report.text(machine))
    if given.json:
        given.json.write_text(json.dumps(report.document(machine), indent=1) + "\n", "utf-8")
    return 1 if report.wrong else 0


def _run_tree(
    report: Report, cache: Path, files: int, parts: set[str], effort: Effort, pin: str | None
) -> None:
    """Everything that is measured on a tree of one size, with one program where possible."""
    tree = corpus.prepared(cache, files)
    whole = tree.plan.whole
    section = f"{whole.files:,} files, {whole.dirs:,} directories"
    print(section, file=sys.stderr, flush=True)
    with scratch(cache) as folder:
        if parts & {"scan", "answers", "restart"}:
            _run_program(report, section, tree, folder, parts, effort, pin)
        if "audits" in parts:
            audits.measure(report, section, tree, folder, effort.rounds)


def _run_program(
    report: Report,
    section: str,
    tree: corpus.Corpus,
    folder: Path,
    parts: set[str],
    effort: Effort,
    pin: str | None,
) -> None:
    """What is measured on one program, from its scan on."""
    repeats = effort.repeats if "scan" in parts else 1
    found = report if "scan" in parts else Report(aloud=False)
    program = ours.scan(found, section, tree, folder, repeats, pin)
    if found is not report:
        report.checked += found.checked
        report.wrong += found.wrong
    try:
        if "answers" in parts:
            with program.client(ours.NAME) as client:
                answers.measure(
                    report, section, tree, client, folder,
                    requests=effort.requests, finds=effort.finds, pin=pin,
                )  # fmt: skip
        if "restart" in parts:
            ours.restart(report, section, tree, program, effort.rounds, pin)
    finally:
        program.stop()


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks/run.py", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="20k files, every part once")
    parser.add_argument("--files", metavar="N,…", help=f"sizes of the trees, {FILES} when left out")
    parser.add_argument(
        "--only", action="append", choices=PARTS, help="this part only; may be repeated"
    )
    parser.add_argument("--repeats", type=int, metavar="N", help="of scans, restarts and events")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every value there too")
    parser.add_argument(
        "--pin", metavar="CORES", help="run the program and its peers there, as for taskset -c"
    )
    parser.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        default=_cache(),
        help="folder of the trees, kept between runs; %(default)s",
    )
    return parser


def _cache() -> Path:
    """Beside what other programs can make again."""
    place = os.environ.get("XDG_CACHE_HOME")
    return (Path(place) if place else Path.home() / ".cache") / "fustor-bench"


def _sizes(text: str) -> list[int]:
    """Numbers of files in ``20k,1M``.

    Raises:
        SystemExit: it is no such list.
    """
    found = [re.fullmatch(r"([0-9]+)([kKmM]?)", word.strip()) for word in text.split(",")]
    if not all(found):
        raise SystemExit(f"--files {text}: numbers like 20k or 1M with commas between")
    return [int(one[1]) * UNITS[one[2].lower()] for one in found if one]


if __name__ == "__main__":
    sys.exit(main())
