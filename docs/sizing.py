"""Writes the figures and plots of sizing.md: `python docs/sizing.py`; `--check` only compares.

They come from the newest run in bench/ that measured how cost grows, and from nothing else.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fustor_core.bench import plots

DOCS = Path(__file__).parent
RUNS, PLOTS, PAGE = DOCS / "bench", DOCS / "sizing", DOCS / "sizing.md"
PART = re.compile(r"(<!-- (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
THOUSAND, MILLION = 1e3, 1e6


def _ms(value: float) -> str:
    """Milliseconds with three digits, or all that stand before the point."""
    return f"{value:,.0f} ms" if value >= THOUSAND else f"{value:.3g} ms"


def newest() -> dict[str, Any]:
    """The last run that has growth in it; trees that it was too short for are those of another.

    Raises:
        SystemExit: there is none.
    """
    paths = sorted(RUNS.glob("*.json"), reverse=True)
    runs: list[dict[str, Any]] = [json.loads(path.read_text("utf-8")) for path in paths]
    found = next((run for run in runs if run.get("growth", {}).get("rows")), None)
    if found is None:
        raise SystemExit(f"no run in {RUNS} has growth; make one: nox -s bench -- --long")
    budgets = {}
    for run in reversed(runs):
        budgets |= {row["files"]: row for row in run.get("growth", {}).get("budgets", ())}
    found["growth"]["budgets"] = [budgets[files] for files in sorted(budgets)]
    return found


def needs(growth: Mapping[str, Any]) -> str:
    """What a million files, and a thousand events a second, take; by the largest trees."""
    rows, frugal = growth["rows"][-1], growth.get("budgets", [])
    scans = [scan for scan in growth["scans"] if scan["cpu_us"]][-1:]
    lines = [
        ("a million files", "memory of the server", f"{rows['memory']:.0f} MB"),
        *(("", f"… {size_of(row)}", f"{row['memory']:.0f} MB") for row in frugal),
        ("", "disk of the server", f"{rows['disk']:.0f} MB"),
        ("", "CPU of the server, first snapshot", f"{rows['settled_us']:.2g} s"),
        ("", "CPU of the server, an audit of an unchanged tree", f"{rows['audit_us']:.2g} s"),
        ("", "network, first snapshot", f"{rows['wire']:.0f} MB"),
        ("", "network, an audit of an unchanged tree", f"{rows['audit_wire']:.2g} MB"),
    ]
    if scans:
        told = f"{scans[0]['cpu_us']:.2g} s (`find`: {scans[0]['find_us']:.2g} s)"
        lines.append(("", "CPU of `fustor up`, scan and view together", told))
    events = {event["rate"]: event for event in growth["events"]}
    if events:
        usual = events[min(events, key=lambda rate: abs(rate - THOUSAND))]
        cores = usual["cpu_us"] * THOUSAND / MILLION
        lines.append(
            ("a thousand files closed a second", "CPU of agent and server", f"{cores:.2g} cores")
        )
        wire = growth.get("event_wire")
        if wire:
            lines.append(("", "network", f"{wire * THOUSAND / MILLION:.2g} MB/s"))
    if growth["sessions"]:
        most = growth["sessions"][-1]
        share = most["idle_cpu_percent"] / most["sessions"] * THOUSAND / 100
        lines.append(("a thousand sessions, idle", "CPU of the server", f"{share:.2g} cores"))
    return _table(("for", "what", "needs"), lines)


def size_of(row: Mapping[str, Any]) -> str:
    """How many files, and in how much memory where it is bounded."""
    budget = row.get("budget", 0)
    return f"{row['files']:,}" + f" in {budget / MILLION:,.0f} MB" * bool(budget)


def sizes(growth: Mapping[str, Any]) -> str:
    """Every tree that was pushed."""
    return _table(
        ("files", "files a directory", "taken in", "audited", "memory", "disk", "restart → answer"),
        [
            (
                size_of(row),
                f"{row['per_folder']:,}",
                f"{row['ingest_us']:.2f} µs",
                f"{row['audit_us']:.2f} µs",
                f"{row['memory']:.0f} B",
                f"{row['disk']:.0f} B",
                f"{row['restart_s']:.1f} s",
            )
            for row in (*growth["rows"], *growth.get("budgets", []), *growth["shapes"])
        ],
    )


def rates(growth: Mapping[str, Any]) -> str:
    """Every rate of events, and every number of sessions."""
    events = _table(
        ("files closed a second", "reached", "p50", "p99", "lost", "CPU a file", "cores"),
        [
            (
                f"{event['rate']:,}",
                f"{event['reached']:,.0f}",
                _ms(event["p50_ms"]),
                _ms(event["p99_ms"]),
                f"{event['lost']}",
                f"{event['cpu_us']:.0f} µs",
                f"{event['cores']:.2f}",
            )
            for event in growth["events"]
        ],
    )
    sessions = _table(
        ("sessions", "heartbeat p99", "… beside a snapshot", "CPU, idle"),
        [
            (
                f"{told['sessions']:,}",
                _ms(told["idle_p99_ms"]),
                _ms(told["busy_p99_ms"]),
                f"{told['idle_cpu_percent']:.2g} % of a core",
            )
            for told in growth["sessions"]
        ],
    )
    return events + "\n" + sessions


def machine(run: Mapping[str, Any]) -> str:
    """Where and when."""
    told = run["machine"]
    text = (
        f"Measured {run['at'][:10]} on {told['cores']} cores of {told['cpu']}, "
        f"{told['memory_gib']} GiB, Linux {told['kernel']}, {told['python']}; "
        f"others used {told['others_cpu_percent']} % of a core meanwhile"
    )
    busy = float(told["others_cpu_percent"]) > 15
    return text + ("; read CPU and bytes, not times.\n" if busy else ".\n")


def page(text: str, run: Mapping[str, Any]) -> str:
    """The page with its parts made anew."""
    growth = run["growth"]
    made = {
        "machine": machine(run),
        "needs": needs(growth),
        "sizes": sizes(growth),
        "rates": rates(growth),
    }
    return PART.sub(lambda found: f"{found[1]}{made[found[2]]}{found[3]}", text)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main(arguments: list[str]) -> int:
    """Writes what differs, or with ``--check`` names it."""
    run = newest()
    wanted = {PLOTS / name: text for name, text in plots.of(run["growth"]).items()}
    wanted[PAGE] = page(PAGE.read_text("utf-8"), run)
    check = "--check" in arguments
    stale = [path for path, text in wanted.items() if not _is(path, text)]
    for path in stale:
        if not check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(wanted[path], "utf-8")
        print(f"{path.relative_to(DOCS)}: {'not as measured' if check else 'written'}")
    return int(check and bool(stale))


def _is(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text("utf-8") == text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
