"""How cost grows: with files, with files a directory, with events a second, with sessions.

What comes out is plain data: docs/sizing.md draws it (`plots`), and the figures there are taken
from the same file.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fustor_core.bench import corpus, events, gauges, ingest, scans, sessions
from fustor_core.bench.program import scratch
from fustor_core.bench.report import Report
from fustor_core.claims import (
    PROTOCOL,
    Batch,
    Cell,
    Claim,
    Key,
    Origin,
    Row,
    Stamp,
    encode_batch,
)
from fustor_core.contracts import boottime_us
from fustor_core.errors import FustorError

K, M = 1_000, 1_000_000
FILES = (10 * K, 100 * K, M, 10 * M)
BUDGETS = ((10 * M, 300 * M), (100 * M, 2_000 * M))
"""(files, bytes of memory that their view may take)"""
TREES = (10 * K, 100 * K, M)
SHAPES = (10, 100, K, 300 * K)  # files a directory
SHAPE_FILES = 1_200 * K
RATES = (100, 300, K, 3 * K, 5 * K, 10 * K, 20 * K)
SESSIONS = (1, 10, 100, K, 10 * K)
QUICK_MOST = {"files": M, "rate": 5 * K, "sessions": 100}
ROOM_BYTES = 110  # memory for each file must be free before a tree of that size is begun
EVENT_S, WAIT_S = 5.0, 12.0


def measure(
    report: Report, cache: Path, *, quick: bool, long: bool, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Every size that the machine has room for.

    Args:
        cache: for trees and homes. quick: small sizes only. long: 100 M files, too.
    """
    found: dict[str, Any] = {"rows": [], "budgets": [], "shapes": [], "scans": []}
    most = QUICK_MOST if quick else {"files": BUDGETS[-1 if long else 0][0], "rate": 1 << 30}
    sizes = [(files, 0) for files in FILES] + list(BUDGETS)
    for files, budget in sizes:
        if files > most["files"] or (budget or files * ROOM_BYTES) > _free_bytes():
            continue
        tell(f"growth: {files:,} files" + f" in {budget / M:,.0f} MB" * bool(budget))
        with scratch(cache) as folder:
            taken = ingest.measure(report, folder, files, 100, None, row=False, budget=budget)
        found["budgets" if budget else "rows"].append(asdict(taken))
    for per_folder in SHAPES:
        tell(f"growth: {per_folder:,} files a directory")
        with scratch(cache) as folder:
            taken = ingest.measure(report, folder, SHAPE_FILES, per_folder, None, row=False)
        found["shapes"].append(asdict(taken))
    for files in TREES:
        if files <= most["files"]:
            found["scans"].append(_scanned(report, cache, files, tell))
    tell("growth: events")
    rates = [rate for rate in RATES if rate <= most["rate"]]
    with scratch(cache) as folder:
        seen = events.measure(report, folder, rates, EVENT_S, 1, None)
    found["event_wire"] = _event_bytes()
    found["events"] = [_seen(rate, runs[0]) for rate, runs in seen.items()]
    found["sessions"] = []
    for number in SESSIONS:
        if number <= most.get("sessions", number):
            tell(f"growth: {number:,} sessions")
            try:
                with scratch(cache) as folder:
                    told = sessions.measure(report, folder, number, WAIT_S, None)
            except (RuntimeError, FustorError) as error:
                report.note(f"{number:,} sessions could not be held here: {error}")
                continue
            found["sessions"].append(told)
    return found


def _scanned(
    report: Report, cache: Path, files: int, tell: Callable[[str], None]
) -> dict[str, float]:
    tell(f"growth: a scan of {files:,} files")
    tree = corpus.prepared(cache, files)
    own = Report(aloud=False)
    with scratch(cache) as folder:
        scans.scan(own, f"{files:,} files", tree, folder, 1, None).stop()
    report.checked += own.checked
    report.wrong += own.wrong
    rates = {figure.what: figure for figures in own.sections.values() for figure in figures}
    figure = rates.get(scans.READY)
    ours = 1 / figure.value * K if figure is not None else 0.0
    find = 1 / figure.against * K if figure is not None and figure.against else 0.0
    return {"files": files, "cpu_us": ours, "find_us": find}


def _seen(rate: int, run: events.Seen) -> dict[str, float]:
    return {
        "rate": rate,
        "reached": run.rate,
        "p50_ms": gauges.percentile(run.delays_ms, 50),
        "p99_ms": gauges.percentile(run.delays_ms, 99),
        "lost": len(run.lost),
        "cpu_us": run.cpu_us,
        "cores": run.cpu_us * run.rate / 1e6,
    }


def _event_bytes() -> float:
    """Bytes on the wire for a file that was closed: what its look saw, names of usual length."""
    key, now_us = Key(0, 4_200_000, 1_700_000_000 * 10**9), boottime_us()
    row = Row(4096, 1_700_000_000 * 10**9, 1_700_000_000 * 10**9, 4_300_000).pack()
    cells: list[Claim] = [
        Cell(
            dir=key, name=b"measurement-%06d.dat" % n, value=row,
            stamp=Stamp(now_us, now_us + 40, n + 1, "e"), origin=Origin.REALTIME,
            path=b"/project/run-000123/results",
        )
        for n in range(100)
    ]  # fmt: skip
    return len(encode_batch(Batch(PROTOCOL, 1, 0, cells))) / len(cells)


def _free_bytes() -> int:
    """Memory that a program could have."""
    text = Path("/proc/meminfo").read_text("ascii")
    line = next(one for one in text.splitlines() if one.startswith("MemAvailable:"))
    return int(line.split()[1]) * 1024 if line else os.sysconf("SC_PAGE_SIZE")
