"""What `fustor top` shows: gathered from the server once in a while, told as rows of text.

No terminal is touched here, so all of it can be tested as data.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fustor_core.cli import figures, quality
from fustor_core.cli.call import Call, address
from fustor_core.cli.names import quoted, raw, safe
from fustor_core.cli.stories import watching
from fustor_core.cli.writing import Written, written
from fustor_core.errors import CursorTooOld, FustorError, QueryError

CHANGES_MOST = 500  # of one look, and kept
HISTORY = 120  # looks that the line of changes shows

Cell = tuple[str, str]  # text and its style
Row = tuple[str, tuple[Cell, ...]]  # what it is about, and its cells

VIEW_HEAD = ("view", "files", "directories", "bytes", "suspects", "debts", "blind", "changes", "is")
PIPE_HEAD = ("pipe", "role", "state", "queue", "unacked", "last ack", "watched", "trouble")
SESSION_HEAD = ("session", "agent", "pipe", "view", "role", "state", "last heard of")
JOB_HEAD = ("job", "view", "path", "state", "entries", "agent")
WRITTEN_HEAD = ("directory", "view", "because of", "size", "changed", "files", "is")
CHANGE_HEAD = ("at", "what", "path", "size", "flags")


@dataclass(slots=True)
class Glance:
    """What one look has found.

    Attributes:
        status, sessions, jobs: documents of the API. changes: what is new, of the view that is
            looked at. written: directories that are being written, of all views.
        per_s: changes a second of that view. error: why there is nothing new.
    """

    at: float = 0.0
    status: Mapping[str, Any] = field(default_factory=dict)
    sessions: Sequence[Mapping[str, Any]] = ()
    jobs: Sequence[Mapping[str, Any]] = ()
    changes: Sequence[Mapping[str, Any]] = ()
    written: Sequence[Written] = ()
    per_s: float = 0.0
    error: str = ""

    @property
    def views(self) -> Sequence[Mapping[str, Any]]:
        return self.status.get("views") or ()

    @property
    def pipes(self) -> Sequence[Mapping[str, Any]]:
        return self.status.get("pipes") or ()


class Observer:
    """Looks at the server, again and again; used by one thread.

    Args:
        call: has the server. now: a clock, s.

    Attributes:
        view: whose changes are told; "": the first one's.
    """

    def __init__(self, call: Call, now: Callable[[], float] = time.monotonic) -> None:
        self.view = ""
        self._call, self._now = call, now
        self._cursors: dict[str, str] = {}
        self._last_s: dict[str, float] = {}
        self._seen = Glance()

    def look(self) -> Glance:
        """One look; when nothing answers, what was seen before with the reason."""
        call = self._call
        try:
            status = call.get("/status")
            sessions = call.get("/sessions").get("sessions") or ()
            jobs = call.get("/jobs").get("jobs") or ()
            named = [str(view["view"]) for view in status.get("views") or ()]
            view = self.view if self.view in named else next(iter(named), "")
            changes, per_s = self._changes(view) if view else ([], 0.0)
            found = written(call, status.get("views") or ())
        except FustorError as error:
            call.forget_server()
            before = self._seen
            return Glance(
                before.at,
                before.status,
                before.sessions,
                before.jobs,
                written=before.written,
                error=error.message,
            )
        self._seen = Glance(time.time(), status, sessions, jobs, changes, found, per_s)
        return self._seen

    def _changes(self, view: str) -> tuple[list[Mapping[str, Any]], float]:
        """What has changed since the last look at this view, and how much a second."""
        since = self._cursors.get(view)
        asked = {"since": since, "limit": CHANGES_MOST}
        try:
            page = self._call.get(address(view, "changes"), asked)
        except CursorTooOld:
            page = self._call.get(address(view, "changes"))
        except QueryError:
            return [], 0.0  # a view without a feed of changes
        now = self._now()
        elapsed = now - self._last_s.get(view, now)
        self._cursors[view], self._last_s[view] = str(page.get("cursor")), now
        found = page.get("changes") or []
        return found, len(found) / elapsed if elapsed > 0 else 0.0


class History:
    """Changes a second over the last looks, for each view."""

    def __init__(self) -> None:
        self._of: dict[str, deque[float]] = {}

    def add(self, view: str, per_s: float) -> None:
        """One look more."""
        self._of.setdefault(view, deque([0.0] * HISTORY, HISTORY)).append(per_s)

    def of(self, view: str) -> list[float]:
        """The last looks, oldest first."""
        return list(self._of.get(view) or [0.0] * HISTORY)

    def last(self, view: str) -> float | None:
        """The last look; None when it was never looked at."""
        looks = self._of.get(view)
        return looks[-1] if looks else None


# -- rows


def view_rows(glance: Glance, history: History) -> list[Row]:
    """One row a view."""
    rows = []
    for view in glance.views:
        name = str(view.get("view"))
        told = view.get("quality") or {}
        found = quality.doubts(told)
        rate = history.last(name)
        cells: list[Cell] = [
            (safe(name), "bold"),
            (figures.count(int(view.get("files") or 0)), ""),
            (figures.count(int(view.get("dirs") or 0)), ""),
            (figures.size(int(view.get("bytes") or 0)), ""),
            *(_mark(told.get(key)) for key in ("suspects", "debts", "blind")),
            ("" if rate is None else figures.rate(rate), "cyan" if rate else "dim"),
            (safe("; ".join(found)), "yellow") if found else ("complete", "green"),
        ]
        rows.append((name, tuple(cells)))
    return rows


def written_rows(glance: Glance) -> list[Row]:
    """One row a directory that is being written."""
    rows = []
    for one in glance.written:
        cells: list[Cell] = [
            (quoted(one.path), "bold"),
            (safe(one.view), ""),
            (quoted(one.file), ""),
            (figures.size(one.size), ""),
            (one.changed, ""),
            (figures.count(one.files), ""),
            (one.standing, "yellow" if one.active else "dim"),
        ]
        rows.append((f"{one.view}:{quoted(one.path)}", tuple(cells)))
    return rows


def pipe_rows(glance: Glance) -> list[Row]:
    """One row a pipe."""
    rows = []
    for pipe in glance.pipes:
        flags = [str(flag) for flag in pipe.get("flags") or ()] or ["STOPPED"]
        ack = figures.clock_time(str(pipe.get("last_ack_at"))) if pipe.get("last_ack_at") else "-"
        cells: list[Cell] = [
            (safe(str(pipe.get("id"))), "bold"),
            (safe(str(pipe.get("role") or "-")), ""),
            (safe(" ".join(flags)), "red" if "ERROR" in flags else "green"),
            (figures.count(int(pipe.get("queue") or 0)), ""),
            (figures.size(int(pipe.get("unacked_bytes") or 0)), ""),
            (ack, ""),
            (watching(pipe), ""),
            (safe(str(pipe.get("last_error") or "")) if pipe.get("errors_in_row") else "", "red"),
        ]
        rows.append((str(pipe.get("id")), tuple(cells)))
    return rows


def session_rows(glance: Glance) -> list[Row]:
    """One row a session."""
    rows = []
    for session in glance.sessions:
        keys = ("session_id", "agent_id", "pipe", "view", "role", "state")
        cells: list[Cell] = [(safe(str(session.get(key) or "-")), "") for key in keys]
        cells.append((figures.clock_time(str(session.get("last_active_at") or "")), ""))
        rows.append((str(session.get("session_id")), tuple(cells)))
    return rows


def job_rows(glance: Glance) -> list[Row]:
    """One row a job."""
    rows = []
    for job in glance.jobs:
        progress = job.get("progress") or {}
        cells: list[Cell] = [
            (safe(str(job.get("id"))), "bold"),
            (safe(str(job.get("view"))), ""),
            (quoted(raw(job)), ""),
            (safe(str(job.get("state"))), "red" if job.get("state") == "failed" else ""),
            (figures.count(int(progress.get("entries") or 0)), ""),
            (safe(str(job.get("agent") or "-")), ""),
        ]
        rows.append((str(job.get("id")), tuple(cells)))
    return rows


def change_cells(change: Mapping[str, Any]) -> tuple[Cell, ...]:
    """One change."""
    styles = {"created": "green", "deleted": "red", "moved": "magenta", "modified": "cyan"}
    kind = str(change.get("kind"))
    path = quoted(raw(change))
    if kind == "moved":
        path = f"{quoted(raw(change, 'from_path'))} → {path}"
    entry = change.get("entry") or {}
    size = "" if entry.get("type") in (None, "dir") else figures.size(int(entry.get("size") or 0))
    flags = " ".join(str(flag) for flag in entry.get("flags") or ())
    return (
        (figures.clock_time(str(change.get("at") or "")), "dim"),
        (safe(kind), styles.get(kind, "")),
        (path, ""),
        (size, ""),
        (safe(flags), "yellow"),
    )


def headline(glance: Glance, server: str) -> str:
    """Who answers, and since when it runs."""
    status = glance.status
    if not status:
        return safe(server)
    up = figures.span(float(status.get("uptime_s") or 0))
    roles = "+".join(str(role) for role in status.get("roles") or ())
    at = time.strftime("%H:%M:%S", time.localtime(glance.at))
    return safe(f"fustor {status.get('version')} ({roles})  {server}  up {up}  {at}")


def _mark(number: Any) -> Cell:
    value = int(number or 0)
    return (figures.count(value), "yellow" if value else "dim")
