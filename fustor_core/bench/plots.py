"""Plots of what was measured, as small SVG texts that follow from the figures alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 64, 150, 40, 48
COLOURS = ("#1f6feb", "#d1242f", "#2da44e", "#8250df", "#9a6700")
Line = Sequence[tuple[float, float]]
FONT = 'font-family="sans-serif" font-size="12"'
SCALE = {1e9: "G", 1e6: "M", 1e3: "k"}


def plot(title: str, across: str, up: str, lines: Mapping[str, Line], *, log_up: bool) -> str:
    """One diagram; the axis below is logarithmic.

    Args:
        across, up: what the axes show, with unit. lines: points by name. log_up: the other axis
            is logarithmic, too; else it begins at 0.
    """
    points = [point for line in lines.values() for point in line if point[0] > 0]
    xs = [math.log10(x) for x, _ in points]
    left, right = math.floor(min(xs)), max(math.ceil(max(xs)), math.floor(min(xs)) + 1)
    ys = [y for _, y in points if y > 0 or not log_up]
    if log_up:
        low, high = math.floor(math.log10(min(ys))), math.ceil(math.log10(max(ys)))
        marks = [10.0**n for n in range(low, max(high, low + 1) + 1)]
    else:
        marks = _steps(max(ys))
    bottom, top = (math.log10(marks[0]), math.log10(marks[-1])) if log_up else (0.0, marks[-1])

    def at(x: float, y: float) -> tuple[float, float]:
        height = math.log10(max(y, marks[0])) if log_up else y
        wide = (math.log10(x) - left) / (right - left)
        tall = (height - bottom) / (top - bottom)
        return (
            LEFT + wide * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - tall * (HEIGHT - TOP - BOTTOM),
        )

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {FONT}>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        _text(LEFT, 20, title, weight="bold"),
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, across, anchor="middle"),
        _text(LEFT - 54, TOP - 8, up),
    ]
    for power in range(left, right + 1):
        x, _ = at(10.0**power, marks[-1])
        out.append(_rule(x, TOP, x, HEIGHT - BOTTOM))
        out.append(_text(x, HEIGHT - BOTTOM + 16, short(10.0**power), anchor="middle"))
    for mark in marks:
        _, y = at(10.0**left, mark)
        out.append(_rule(LEFT, y, WIDTH - RIGHT, y))
        out.append(_text(LEFT - 6, y + 4, short(mark), anchor="end"))
    for number, (name, line) in enumerate(lines.items()):
        out += _drawn(name, [at(x, y) for x, y in line if x > 0], number)
    return "\n".join([*out, "</svg>"]) + "\n"


def of(growth: Mapping[str, Any]) -> dict[str, str]:
    """Every diagram of a run, by name of its file."""
    found = {}
    rows, shapes = growth["rows"], growth["shapes"]
    frugal = growth.get("budgets", [])
    if rows:
        most = rows[-1]["rows"]
        grown = [*rows, *(row for row in frugal if row["rows"] > most)]
        found["cpu-per-file.svg"] = plot(
            "CPU for each file", "files in the tree", "µs",
            {
                "server: taken in": _line(grown, "rows", "ingest_us"),
                "server: audited": _line(grown, "rows", "audit_us"),
                "scan into a view": _line(growth["scans"], "files", "cpu_us"),
                "find -printf": _line(growth["scans"], "files", "find_us"),
            },
            log_up=True,
        )  # fmt: skip
        found["bytes-per-file.svg"] = plot(
            "Bytes for each file", "files in the tree", "bytes",
            {
                "memory": _line(rows, "rows", "memory"),
                "… within a budget": _line(frugal, "rows", "memory"),
                "disk": _line(grown, "rows", "disk"),
                "wire": _line(grown, "rows", "wire"),
                "wire of an audit": _line(grown, "rows", "audit_wire"),
            },
            log_up=True,
        )  # fmt: skip
        found["restart.svg"] = plot(
            "Restart after kill -9", "files in the view", "seconds",
            {
                "first right answer": _line(grown, "rows", "restart_s"),
                "ready": _line(grown, "rows", "ready_s"),
            },
            log_up=True,
        )  # fmt: skip
    if shapes:
        found["shape.svg"] = plot(
            "Files a directory", "files in each directory", "µs, bytes",
            {
                "memory, bytes": _line(shapes, "per_folder", "memory"),
                "disk, bytes": _line(shapes, "per_folder", "disk"),
                "taken in, µs": _line(shapes, "per_folder", "ingest_us"),
                "audited, µs": _line(shapes, "per_folder", "audit_us"),
            },
            log_up=True,
        )  # fmt: skip
    if growth["events"]:
        found["events.svg"] = plot(
            "Close → visible", "files closed a second", "ms, % of a core",
            {
                "p50, ms": _line(growth["events"], "rate", "p50_ms"),
                "p99, ms": _line(growth["events"], "rate", "p99_ms"),
                "CPU, % of a core": [(e["rate"], 100 * e["cores"]) for e in growth["events"]],
            },
            log_up=True,
        )  # fmt: skip
    if growth["sessions"]:
        found["sessions.svg"] = plot(
            "Heartbeats", "sessions", "ms, % of a core",
            {
                "reply p99, ms": _line(growth["sessions"], "sessions", "idle_p99_ms"),
                "… beside a snapshot": _line(growth["sessions"], "sessions", "busy_p99_ms"),
                "CPU, % of a core": _line(growth["sessions"], "sessions", "idle_cpu_percent"),
            },
            log_up=True,
        )  # fmt: skip
    return found


def short(value: float) -> str:
    """``10k``, ``0.5``."""
    for size, letter in SCALE.items():
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def _line(rows: Sequence[Mapping[str, Any]], across: str, up: str) -> Line:
    return [(float(row[across]), float(row[up])) for row in rows if row.get(up)]


def _steps(most: float) -> list[float]:
    """Marks of an axis that begins at 0."""
    size = 10.0 ** math.floor(math.log10(most)) if most > 0 else 1.0
    step = next(size * share for share in (0.2, 0.5, 1.0, 2.0) if most / (size * share) <= 6)
    return [step * n for n in range(math.ceil(most / step) + 1)]


def _drawn(name: str, places: Sequence[tuple[float, float]], number: int) -> list[str]:
    colour = COLOURS[number % len(COLOURS)]
    way = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    out = [f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="2"/>']
    out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
    y = TOP + 12 + 18 * number
    out.append(f'<circle cx="{WIDTH - RIGHT + 12}" cy="{y - 4}" r="4" fill="{colour}"/>')
    out.append(_text(WIDTH - RIGHT + 22, y, name))
    return out


def _text(x: float, y: float, text: str, *, anchor: str = "start", weight: str = "normal") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}">'
        f"{escape(text)}</text>"
    )


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    place = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {place} stroke="#d0d7de"/>'
