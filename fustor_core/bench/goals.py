"""The table of what the design asks for: ours, the earlier system's, the limit's, met or not."""

from __future__ import annotations

from collections.abc import Mapping

from fustor_core.bench.report import Figure, Report, aligned, number

ROWS: Mapping[str, str] = {
    "scan-send": "scan + send, one core",
    "scan-view": "scan → view, one core",
    "ingest": "server ingest, fresh rows",
    "audit": "unchanged audit",
    "memory": "memory per file",
    "events-p99": "close → visible at 5 k events/s, p99",
    "events-lost": "… lost",
    "stat": "one entry, p50",
    "ls": "list 100, p50",
    "du": "subtree totals, p50",
    "glob": "glob over the tree, p50",
    "restart": "restart → first right answer",
    "help": "fustor --help",
    "listens": "fustor up → answers",
    "failover": "leader killed → its successor leads",
    "silence": "… longest time without an answer",
}
HEAD = ("what", "ours", "Fustor 0.8.17", "limit", "measured", "target", "")


def table(report: Report) -> str:
    """Every row that was measured; of a figure that was taken several times the last one."""
    found = {figure.row: figure for figures in report.sections.values() for figure in figures}
    rows = [
        (
            what,
            f"{number(found[name].value)} {found[name].unit}".rstrip(),
            report.earlier.get(name, "–"),
            found[name].peer or "–",
            _limit(found[name]),
            str(found[name].goal or ""),
            distance(found[name]),
        )
        for name, what in ROWS.items()
        if name in found
    ]
    return aligned([HEAD, *rows], left={0, 3, 5, 6}) if rows else ""


def _limit(figure: Figure) -> str:
    against = figure.against
    return "–" if against is None else f"{number(against)} {figure.unit}"


def distance(figure: Figure) -> str:
    """``met``, or how far the figure is from what it is to be; nothing when none can tell."""
    goal = figure.goal
    met = goal.met(figure.value, figure.ratio) if goal is not None else None
    if goal is None or met is None:
        return ""
    if met:
        return "met"
    shown = figure.ratio if goal.ratio and figure.ratio is not None else figure.value
    if goal.sign == "≥":
        return f"missed, × {number(goal.bound / shown)}" if shown else "missed"
    return f"missed, × {number(shown / goal.bound)}" if goal.bound else "missed"
