"""What `up` and `run` show of their events: JSON lines, plain lines, or a live terminal."""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from fustor_core.cli import figures, quality
from fustor_core.cli.logged import Logged, least_of, level_of, text_of
from fustor_core.cli.names import quoted, raw, safe
from fustor_core.cli.screen import Screen, columns

Event = Mapping[str, Any]
SHOWN_MAX = 5


class Display(Protocol):
    """Takes the events of interfaces.md §2, `up`."""

    def take(self, event: Event) -> None: ...

    def close(self) -> None: ...


class Lines:
    """Every event as a JSON object on its own line of stdout; log lines go their own way.

    Args:
        talk: shows log lines.
    """

    def __init__(self, screen: Screen, talk: Display) -> None:
        self._screen, self._talk = screen, talk

    def take(self, event: Event) -> None:
        """Prints it at once."""
        if event.get("event") == "log":
            self._talk.take(event)
            return
        self._screen.document(dict(event))
        self._screen.flush()

    def close(self) -> None:
        """Nothing is left open."""


class Plain:
    """What matters, as lines of talk: ready, warnings, frozen, stopped.

    Args:
        invocation: how a person calls this program, with the options that lead to its state.
    """

    def __init__(self, screen: Screen, invocation: str) -> None:
        self._screen = screen
        self._invocation = invocation
        self._ready = 0

    def take(self, event: Event) -> None:
        """Tells what is worth a line."""
        kind = event.get("event")
        if kind == "ready":
            self._tell_ready(event)
        elif kind == "warning":
            self.say(f"warning: {_message(event)}", "yellow")
        elif kind == "frozen":
            self._tell_frozen(event)
        elif kind == "log":
            if level_of(event) >= least_of(event, quiet=self._screen.quiet):
                self.say(text_of(event), "yellow" if level_of(event) > logging.INFO else "dim")
        elif kind == "reloaded":
            self._tell_reloaded(event)
        elif kind == "stopped":
            self.note("stopped; the state is kept")

    def close(self) -> None:
        """Nothing is left open."""

    def note(self, text: str, style: str = "") -> None:
        """A line of talk."""
        self._screen.note(text, style)

    def say(self, text: str, style: str = "") -> None:
        """A line of talk that --quiet lets through."""
        self._screen.say(text, style)

    def _tell_ready(self, event: Event) -> None:
        if "pipe" in event:
            self.note(f"ready: {pipe_line(event)}", "green")
            return
        for number, line in enumerate(ready_lines(event)):
            self.note(line if number == 0 else f"  {line}", "green" if number == 0 else "")
        if event.get("key"):
            # On --quiet, too: it is shown only once.
            self.say(f"  key for {safe(str(event.get('url')))}, shown only now: {event['key']}")
        if event.get("page"):
            self.say(f"  page, lets in once and within 10 minutes: {safe(str(event['page']))}")
        self._ready += 1
        if self._ready == 1:
            words = f"view ls -l {_place(event)}"
            if _untold(event):
                words = f"key create --scope push --view {shlex.quote(str(event.get('view')))}"
            self.note(f"  try, from another terminal: {self._invocation} {words}")
            self.note("  Ctrl-C stops it")

    def _tell_reloaded(self, event: Event) -> None:
        words = ("started", "stopped", "changed", "outdated")
        done = [f"{word}: {', '.join(map(str, event[word]))}" for word in words if event.get(word)]
        self.note(f"reloaded: {safe('; '.join(done)) or 'nothing has changed'}")
        for error in event.get("errors") or ():
            self.say(f"  {safe(str(error.get('name')))}: {safe(str(error.get('message')))}", "red")

    def _tell_frozen(self, event: Event) -> None:
        view = shlex.quote(str(event.get("view")))
        told = _message(event) or "a scan would remove too much at once; nothing was removed"
        self.say(f"frozen: view {view}: {told}", "red")
        self.say(f"  if it is right: {self._invocation} view confirm {view}")
        self.say(f"  if it is not:   {self._invocation} view confirm {view} --reject")


class Live(Plain):
    """A terminal: progress while views are scanned, then one line that is kept current."""

    def __init__(self, screen: Screen, invocation: str) -> None:
        super().__init__(screen, invocation)
        self._progress: Any = None
        self._tasks: dict[str, Any] = {}
        self._views: dict[str, Event] = {}
        self._pipes: dict[str, Event] = {}
        self._line = False

    def take(self, event: Event) -> None:
        """Shows progress and status in place, the rest as lines above."""
        kind = event.get("event")
        if kind == "scanning":
            self._show_scan(event)
            return
        if kind in ("ready", "status"):
            of_pipe = "pipe" in event
            held = self._pipes if of_pipe else self._views
            held[str(event.get("pipe" if of_pipe else "view"))] = event
        if kind == "ready":
            self._end_scan(str(event.get("view")))
        if kind == "stopped":
            self.close()
        super().take(event)
        if kind == "status" and self._progress is None:
            self._show_status()

    def close(self) -> None:
        """Gives the terminal back as it was."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
        self._clear()

    def note(self, text: str, style: str = "") -> None:
        self._clear()
        super().note(text, style)

    def say(self, text: str, style: str = "") -> None:
        self._clear()
        super().say(text, style)

    def _show_scan(self, event: Event) -> None:
        if self._progress is None:
            self._clear()
            self._progress = _progress()
            self._progress.start()
        view = str(event.get("view"))
        if view not in self._tasks:
            self._tasks[view] = self._progress.add_task(safe(view), total=None, seen="")
        self._progress.update(self._tasks[view], seen=scan_line(event))
        self._progress.refresh()

    def _end_scan(self, view: str) -> None:
        task = self._tasks.pop(view, None)
        if self._progress is None or task is None:
            return
        self._progress.remove_task(task)
        if not self._tasks:
            self._progress.stop()
            self._progress = None

    def _show_status(self) -> None:
        text = status_line(list(self._views.values()), list(self._pipes.values()))
        width = shutil.get_terminal_size().columns - 1
        while columns(text) > width:
            text = text[:-1]
        sys.stderr.write(f"\r\x1b[2K{text}")
        sys.stderr.flush()
        self._line = True

    def _clear(self) -> None:
        if self._line:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()
            self._line = False


def choose(
    screen: Screen, invocation: str, *, jsonl: bool, progress: bool, form: str = "auto"
) -> Display:
    """The display for this run.

    Args:
        jsonl: events go to stdout as JSON lines.
        progress: the user has not switched it off.
        form: of the log, as configured; ``auto``: for people on a terminal, else ``json``.
    """
    for_people = form == "console" or (form == "auto" and screen.talk_terminal)
    if jsonl:
        return Lines(screen, Plain(screen, invocation) if for_people else Logged(screen))
    if not for_people:
        return Logged(screen)
    if progress and screen.talk_terminal and not screen.quiet:
        return Live(screen, invocation)
    return Plain(screen, invocation)


def ready_lines(event: Event) -> list[str]:
    """What a view that is ready holds, how fast that was, and what is not as one would expect."""
    files, dirs = int(event.get("files") or 0), int(event.get("dirs") or 0)
    lines = [f"ready: {safe(str(event.get('view')))}" + _of_root(event)]
    if _untold(event):
        waits = "holds nothing yet: it waits for the first agent"
        url = event.get("url")
        return [*lines, waits, *([f"listens on {safe(str(url))}"] if url else [])]
    held = ", ".join(
        [
            figures.counted(files, "file"),
            figures.counted(dirs, "directory", "directories"),
            figures.size(int(event.get("bytes") or 0)),
        ]
    )
    spent = figures.span(float(event.get("seconds") or 0))
    speed = figures.rate(float(event.get("files_per_s") or 0)).replace("/", " files/")
    lines.append(f"{held} in {spent} ({speed})")
    polled = int(event.get("polled") or 0)
    if polled:
        why = str(event.get("polled_reason") or "no watch could be had")
        counted = figures.counted(polled, "directory", "directories")
        lines.append(f"polled instead of watched: {counted}: {safe(why)}")
    excluded = [raw(_item(item)) for item in event.get("excluded") or ()]
    if excluded:
        lines.append(f"left out: {_some([quoted(path) for path in excluded])}")
    listed = (event.get("quality") or {}).get("unscanned")
    gaps = _gaps(listed or event.get("unscanned"))
    if gaps:
        lines.append(f"not scanned: {gaps}")
    if event.get("url"):
        lines.append(f"listens on {safe(str(event['url']))}")
    return lines


def scan_line(event: Event) -> str:
    """How far a scan is: entries, directories, bytes, rate."""
    files, dirs = int(event.get("files") or 0), int(event.get("dirs") or 0)
    parts = [
        figures.counted(files + dirs, "entry", "entries"),
        figures.counted(dirs, "directory", "directories"),
        figures.size(int(event.get("bytes") or 0)),
        figures.rate(float(event.get("files_per_s") or 0)),
    ]
    return ", ".join(parts)


def pipe_line(event: Event) -> str:
    """One pipe in a few words: ``files → projects: leader, RUNNING|MESSAGE_PHASE, 12 queued``."""
    flags = "|".join(str(flag) for flag in event.get("flags") or ()) or "STOPPED"
    role = str(event.get("role") or "no session")
    to = event.get("view") or event.get("sink")
    told = f"{event.get('pipe')} → {to}: {role}, {flags}"
    queue = int(event.get("queue") or 0)
    return safe(told) + (f", {figures.count(queue)} queued" if queue else "")


def status_line(views: Sequence[Event], pipes: Sequence[Event] = ()) -> str:
    """All views, and the pipes that feed views elsewhere, in a few words."""
    told = [_views_line(views)] if views or not pipes else []
    return "live: " + "; ".join([*told, *map(pipe_line, pipes)])


def _views_line(views: Sequence[Event]) -> str:
    files = sum(int(view.get("files") or 0) for view in views)
    size = sum(int(view.get("bytes") or 0) for view in views)
    gaps = sum(_gap_count(view.get("unscanned")) for view in views)
    parts = [figures.counted(files, "file"), figures.size(size)]
    if len(views) > 1:
        parts.insert(0, figures.counted(len(views), "view"))
    changes = sum(float(view.get("changes_per_s") or 0) for view in views)
    if changes:
        parts.append(f"{figures.rate(changes)} changes")
    sessions = sum(int(view.get("sessions") or 0) for view in views)
    if sessions:
        parts.append(figures.counted(sessions, "session"))
    if gaps:
        parts.append(f"{figures.count(gaps)} not scanned")
    return ", ".join(parts)


def invocation(home: Path | None, argv0: str | None = None) -> str:
    """How a person calls this program from any directory, as it can be pasted into a shell.

    Args:
        home: state directory, where it has to be named.
    """
    typed = sys.argv[0] if argv0 is None else argv0
    if os.path.basename(typed) == "__main__.py":
        words = [sys.executable, "-m", "fustor_core"]
    else:
        full = os.path.abspath(typed)
        found = shutil.which(os.path.basename(typed))
        same = found is not None and os.path.realpath(found) == os.path.realpath(full)
        words = [os.path.basename(typed) if same else full]
    if home is not None:
        words += ["--home", str(home)]
    return shlex.join(words)


def _progress() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    return Progress(
        SpinnerColumn(),
        TextColumn("scanning {task.description}", markup=False),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[seen]}", markup=False),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        auto_refresh=False,
        transient=True,
    )


def _message(event: Event) -> str:
    told = str(event.get("message") or event.get("detail") or "")
    return f"{told} (remedy: {event['remedy']})" if event.get("remedy") else told


def _untold(event: Event) -> bool:
    """Whether nobody has ever told this view anything; `up` is not ready before it has."""
    told = event.get("quality") or {}
    return not event.get("dirs") and "as_of" in told and told["as_of"] is None


def _of_root(event: Event) -> str:
    root = raw(event, "root")
    return f" = {quoted(root)}" if root else ""


def _place(event: Event) -> str:
    """A PATH argument for the view: its root, else its name."""
    root = raw(event, "root")
    text = os.fsdecode(root) if root else f"{event.get('view')}:/"
    return shlex.quote(text) if text.isprintable() else shlex.quote(f"{event.get('view')}:/")


def _item(item: Any) -> Mapping[str, Any]:
    return item if isinstance(item, Mapping) else {"path": str(item)}


def _gap_count(unscanned: Any) -> int:
    if isinstance(unscanned, int):
        return unscanned
    return len([item for item in unscanned or () if not _chosen(item)])


def _gaps(unscanned: Any) -> str:
    if isinstance(unscanned, int):
        return figures.counted(unscanned, "directory", "directories") if unscanned else ""
    gaps = [item for item in unscanned or () if not _chosen(item)]
    named = []
    for item in gaps:
        reason = str(item.get("reason") or "unknown") if isinstance(item, Mapping) else ""
        told = f" ({quality.REASONS.get(reason, reason)})" if reason else ""
        named.append(quoted(raw(_item(item))) + told)
    return _some(named)


def _chosen(item: Any) -> bool:
    return isinstance(item, Mapping) and item.get("reason") in quality.BY_CHOICE


def _some(named: Sequence[str]) -> str:
    more = len(named) - SHOWN_MAX
    return ", ".join(named[:SHOWN_MAX]) + (f" and {more:,} more" if more > 0 else "")
