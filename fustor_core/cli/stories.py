"""Documents about the running system told to people: views, pipes, sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fustor_core.cli import figures, quality
from fustor_core.cli.names import raw, safe
from fustor_core.cli.screen import Cell, Screen

Document = Mapping[str, Any]


def view_rows(screen: Screen, views: Sequence[Document]) -> list[list[Cell]]:
    """One row a view: name, root, files, directories, bytes, doubts."""
    rows: list[list[Cell]] = []
    for view in views:
        found = quality.doubts(view.get("quality"))
        rows.append(
            [
                (safe(str(view.get("view"))), "bold"),
                screen.name(raw(view, "root")),
                figures.counted(int(view.get("files") or 0), "file"),
                figures.counted(int(view.get("dirs") or 0), "dir"),
                figures.size(int(view.get("bytes") or 0)),
                (safe("; ".join(found)), "yellow") if found else ("complete", "green"),
            ]
        )
    return rows


def wrong(view: Document) -> list[str]:
    """What a view cannot do by itself just now; nothing when it can do all."""
    told, name = view.get("last_error"), safe(str(view.get("view")))
    return [f"view {name}: it is tried again {safe(str(told))}"] if told else []


def set_aside(view: Document) -> list[str]:
    """What of a view could not be applied, newest first, and what to do; nothing when all was."""
    told = view.get("quarantine") or {}
    newest = told.get("newest") or []
    if not newest:
        return []
    count, name = int(told.get("count") or len(newest)), safe(str(view.get("view")))
    lines = [f"view {name}: {figures.counted(count, 'batch', 'batches')} set aside"]
    lines += [
        f"  {safe(str(one.get('name')))} of agent {safe(str(one.get('agent') or '-'))}: "
        f"{safe(str(one.get('error')))}"
        for one in newest
    ]
    return [*lines, f"  remedy: {safe(str(told.get('remedy')))}"]


def pipe_rows(pipes: Sequence[Document]) -> list[list[Cell]]:
    """One row a pipe: id, way, state, role, what it watches, trouble."""
    rows: list[list[Cell]] = []
    for pipe in pipes:
        named = [str(flag) for flag in pipe.get("flags") or ()] or ["STOPPED"]
        told = [pipe.get("last_error"), *(pipe.get("warnings") or ())]
        trouble = "; ".join(str(one) for one in told if one)
        row: list[Cell] = [
            (safe(str(pipe.get("id"))), "bold"),
            safe(f"{pipe.get('source')} → {pipe.get('sink')}"),
            ("|".join(named), "red" if "ERROR" in named else "green"),
            safe(str(pipe.get("role") or "no session")),
            watching(pipe),
            (safe(trouble), "red"),
        ]
        rows.append(row)
    return rows


def watching(pipe: Document) -> str:
    """``1,204 directories watched by inotify``, and how many only polled."""
    watched, way = int(pipe.get("watched_dirs") or 0), safe(str(pipe.get("watched_by") or ""))
    told = f"{figures.counted(watched, 'directory', 'directories')} watched"
    told += f" by {way}" if way else ""
    uncovered = pipe.get("uncovered") or ()
    if "/" in uncovered:
        return f"{told}, all polled"
    return told + (f", {figures.count(len(uncovered))} polled" if uncovered else "")


def session_rows(sessions: Sequence[Document]) -> list[list[Cell]]:
    """One row a session: id, pipe, view, role, state, when it was last heard of."""
    rows: list[list[Cell]] = []
    for session in sessions:
        shown = [session.get(key) for key in ("session_id", "pipe", "view", "role", "state")]
        last = figures.clock_time(str(session.get("last_active_at") or ""))
        rows.append([*(safe(str(item)) for item in shown), f"active {last}"])
    return rows


def details(screen: Screen, document: Document) -> None:
    """Any document, one field a line."""
    rows: list[list[Cell]] = []
    for key, value in document.items():
        if isinstance(value, list):
            shown = ", ".join(safe(str(item)) for item in value) or "-"
        else:
            shown = "-" if value is None else safe(str(value))
        rows.append([(safe(key), "dim"), shown])
    screen.table(rows)
