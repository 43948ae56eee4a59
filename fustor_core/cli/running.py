"""`fustor status|stop|reload`: the process that runs, seen and moved from outside."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from fustor_core.cli import failure, figures, quality
from fustor_core.cli.call import Call
from fustor_core.cli.names import safe
from fustor_core.cli.screen import Cell
from fustor_core.cli.stories import pipe_rows, set_aside, view_rows, wrong
from fustor_core.cli.waiting import Lost
from fustor_core.cli.writing import written
from fustor_core.client import TIMEOUT_S, local_server, nothing_runs
from fustor_core.errors import ConfigError, QueryError, SlowDown, Unreachable
from fustor_core.problems import Problem

LOOK_S = (0.1, 0.2, 0.5, 1.0)  # between two looks at a first scan
START_S_MAX = 10.0  # `status --wait` may come a moment before the server it waits for
STOP_S_MAX = 60.0
SHOWN = 5  # directories that are being written
LISTS = ("started", "stopped", "changed", "untouched", "errors")
PARTS = ("agent", "fusion")
TOLD = {
    "started": "started",
    "stopped": "stopped",
    "changed": "changed",
    "untouched": "untouched",
    "outdated": "to be restarted",
    "waiting": "from the next start of the program on",
}
SCANNED = ("MESSAGE_PHASE", "AUDIT_PHASE")

Role = Annotated[str | None, typer.Option("--role", metavar="agent|fusion", help="Only this part.")]


def join(app: typer.Typer) -> None:
    """Adds the commands of this file to the program."""
    app.command("status")(status)
    app.command("stop")(stop)
    app.command("reload")(reload)
    app.command("log-level")(log_level)


def status(
    ctx: typer.Context,
    wait: Annotated[
        bool, typer.Option("--wait", help="Until every view's first scan is over.")
    ] = False,
    role: Role = None,
) -> int:
    """Tell what runs here: views and pipes, and their state."""
    call: Call = ctx.obj
    _check(role)
    document = _waited(call, role) if wait else _asked(call, role)
    if call.settings.documents:
        call.screen.document(document)
        return failure.OK
    screen = call.screen
    up_s = figures.span(float(document.get("uptime_s") or 0))
    roles = "+".join(str(role) for role in document.get("roles") or ())
    screen.line(
        f"fustor {safe(str(document.get('version')))} ({safe(roles)}), process "
        f"{document.get('pid')}, up for {up_s}, state in {safe(str(document.get('home')))}"
    )
    views, pipes = document.get("views") or [], document.get("pipes") or []
    screen.line(screen.painted("views", "dim") if views else "no views")
    screen.table([["  ", *row] for row in view_rows(screen, views)], right="   >>>", gap=" ")
    _tell_written(call, views)
    screen.line(screen.painted("pipes", "dim") if pipes else "no pipes")
    screen.table([["  ", *row] for row in pipe_rows(pipes)], gap=" ")
    for view in views:
        if quality.doubts(view.get("quality")):
            quality.tell(screen, view.get("quality"))
        for line in (*wrong(view), *set_aside(view)):
            screen.note(line, "red")
    return failure.OK


def _tell_written(call: Call, views: Sequence[Mapping[str, Any]]) -> None:
    """Which directories are being written, and because of which file."""
    screen, found = call.screen, written(call, views)
    if not found:
        return
    screen.line(screen.painted("being written", "dim"))
    rows: list[list[Cell]] = [
        [
            "  ",
            (screen.name(one.path), "bold"),
            f"in {safe(one.view)}:",
            f"{screen.name(one.file)} changed {one.changed}, {figures.size(one.size)}",
            (one.standing, "yellow" if one.active else "dim"),
        ]
        for one in found[:SHOWN]
    ]
    screen.table(rows, gap=" ")
    if len(found) > SHOWN:
        more = figures.counted(len(found) - SHOWN, "other directory", "other directories")
        screen.line(f"   and {more}: fustor view suspects")


def stop(ctx: typer.Context, role: Role = None) -> int:
    """Stop what runs here and wait until it has ended.

    Agent and fusion where both run; the agent first, which may have something to send.
    """
    call: Call = ctx.obj
    call.request_s = TIMEOUT_S
    _check(role)
    if not call.local:
        body = {"role": role}
        _tell_done(call, call.client().ask("POST", "/stop", body=body), "told to stop")
        return failure.OK
    document: dict[str, Any] = {"generation": None, **{key: [] for key in LISTS}}
    for pid, part in _holders(call, role).items():
        with _ending(pid) as ended:
            document["stopped"] += _asked_to_stop(call, pid, part)
            limit_s = STOP_S_MAX if call.settings.timeout_s is None else call.settings.timeout_s
            if not ended(limit_s):
                raise failure.Failure(
                    failure.OUT_OF_TIME,
                    "timeout",
                    f"process {pid} has not ended within {figures.span(limit_s)}",
                    remedy=f"it may still be writing; wait, or end it at once with: kill -9 {pid}",
                    pid=pid,
                )
    _tell_done(call, document, "stopped")
    return failure.OK


def reload(
    ctx: typer.Context,
    role: Role = None,
    no_restart: Annotated[
        bool,
        typer.Option(
            "--no-restart", help="What needs a restart goes on as it is, and shows CONF_OUTDATED."
        ),
    ] = False,
) -> int:
    """Read the configuration again and follow it; what did not change goes on untouched.

    A file that cannot be used changes nothing (exit 3).
    """
    call: Call = ctx.obj
    _check(role)
    body = {"role": role, "restart": not no_restart}
    document: dict[str, Any] = {}
    for client in call.processes(role):
        try:
            done = client.ask("POST", "/reload", body=body)
        except QueryError as error:
            raise _as_config(error) from error
        document = _together(document, done) if document else done
    errors = document.get("errors") or []
    _tell_done(call, document, "reloaded")
    if not call.settings.documents:
        for fault in errors:
            call.screen.say(_fault(fault), "red")
    if any(fault.get("file") for fault in errors):
        return failure.CONFIG
    return failure.PARTIAL if errors else failure.OK


def log_level(
    ctx: typer.Context,
    level: Annotated[
        str | None,
        typer.Argument(
            metavar="debug|info|warning|error|critical|configured",
            help="Log this and what matters more; left out: only show what is logged.",
            show_default=False,
        ),
    ] = None,
    logger: Annotated[
        str | None,
        typer.Option("--logger", metavar="NAME", help="Of one part, as fustor.machine."),
    ] = None,
    role: Role = None,
) -> int:
    """Log more or less while it runs, until the next reload or restart."""
    call: Call = ctx.obj
    _check(role)
    levels: dict[str, Any] = {}
    for client in call.processes(role):
        if level is None:
            levels |= client.get("/log-levels")["levels"]
        else:
            body = {"level": None if level == "configured" else level, "logger": logger}
            levels |= client.ask("POST", "/log-level", body=body)["levels"]
    if call.settings.documents:
        call.screen.document({"levels": levels})
    else:
        call.screen.table([[name, str(one)] for name, one in levels.items()])
    return failure.OK


def first_scans_over(document: Mapping[str, Any]) -> bool:
    """Whether every view of a ``status`` document has had its first scan.

    A view has when its pipe has reached the phase of messages, or when no pipe feeds it here.
    """
    if "ready" in document:
        return bool(document["ready"])
    pipes = [pipe for pipe in document.get("pipes") or () if pipe.get("flags")]
    for view in document.get("views") or ():
        feeding = [pipe for pipe in pipes if pipe.get("view") == view.get("view")]
        if feeding and not any(set(SCANNED) & set(pipe["flags"]) for pipe in feeding):
            return False
        listed = (view.get("quality") or {}).get("unscanned") or ()
        if feeding and any(gap.get("reason") == "not_yet" for gap in listed):
            return False
    return True


def _asked(call: Call, role: str | None) -> dict[str, Any]:
    """The status; of two processes what both say."""
    document: dict[str, Any] = {}
    for client in call.processes(role):
        told = client.get("/status")
        document = _together(document, told) if document else told
    return document


def _together(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Two documents as one: lists are joined, what is true has to be so in both."""
    joined: dict[str, Any] = {**other, **one}
    for key in one.keys() & other.keys():
        if isinstance(one[key], list):
            joined[key] = [*other[key], *one[key]]
        elif isinstance(one[key], bool):
            joined[key] = one[key] and other[key]
    return joined


def _waited(call: Call, role: str | None) -> dict[str, Any]:
    """The status when all first scans are over.

    Raises:
        Failure: the timeout came first. Unreachable: nothing runs.
    """
    call.request_s = TIMEOUT_S
    limit_s = call.settings.timeout_s
    until = None if limit_s is None else time.monotonic() + limit_s
    lost = Lost(START_S_MAX, known=True)
    looks = 0
    while True:
        try:
            document = _asked(call, role)
        except (Unreachable, SlowDown) as error:
            call.forget_server()
            lost.retry(error, until)
            document = {}
        else:
            lost.found()
        if document and first_scans_over(document):
            return document
        if until is not None and time.monotonic() >= until:
            told = "the first scan is not over" if document else "nothing runs here yet"
            raise failure.Failure(
                failure.OUT_OF_TIME, "timeout", told, remedy="give more --timeout"
            )
        time.sleep(LOOK_S[min(looks, len(LOOK_S) - 1)])
        looks += 1


def _check(role: str | None) -> None:
    if role not in (None, *PARTS):
        raise failure.usage(f"--role {role}: it is agent or fusion")


def _holders(call: Call, role: str | None) -> dict[int, str]:
    """Process id of what runs on the state directory, and the part that it runs.

    Raises:
        Unreachable: nothing runs there. Failure: a part alone, of a process that runs both.
    """
    from fustor_core.state import StateDirectory

    directory = StateDirectory(call.settings.home)
    found = {part: directory.holder(part) for part in PARTS}
    pids = {part: holder.pid for part, holder in found.items() if holder is not None}
    if role is not None and len(pids) > 1 and len(set(pids.values())) == 1:
        raise failure.Failure(
            failure.CONFLICT,
            "illegal-transition",
            f"agent and fusion are one process here, {pids[role]}, which ends as a whole",
            remedy="stop it without --role",
        )
    held = {pid: part for part, pid in pids.items() if role in (None, part)}
    if not held:
        raise nothing_runs(local_server(call.settings.home, agent_first=role == "agent"))
    return held


@contextmanager
def _ending(pid: int) -> Iterator[Any]:
    """Gives a function that waits for the end of a process: ``ended(limit_s) -> bool``."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        yield lambda _limit_s: True
        return
    try:
        yield lambda limit_s: bool(select.select([descriptor], [], [], limit_s)[0])
    finally:
        os.close(descriptor)


def _asked_to_stop(call: Call, pid: int, part: str) -> list[str]:
    """Asks the server; one that does not answer gets the signal. The pipes that it ran."""
    stopped: list[str] = []
    try:
        client = call.client(agent_first=part == "agent")
        stopped = [str(pipe.get("id")) for pipe in client.get("/pipes").get("pipes") or ()]
        client.ask("POST", "/stop", body={})
    except (Unreachable, SlowDown, Problem):
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            pass  # it has ended meanwhile
    return stopped


def _as_config(error: QueryError) -> Exception:
    """A refused configuration, which comes as a problem with a place in a file."""
    problem = error.__cause__
    if not isinstance(problem, Problem) or "file" not in problem.document:
        return error
    told = problem.document
    remedy = error.remedy or "nothing has changed; put it right and reload again"
    made = _config_error({"message": error.message, **told}, remedy)
    faults: list[Mapping[str, Any]] = told.get("errors") or []
    if len(faults) > 1:
        from fustor_core.config import ConfigErrors

        *others, last = faults
        made = ConfigErrors([*map(_config_error, others), _config_error(last, remedy)])
    made.__cause__ = problem
    return made


def _config_error(fault: Mapping[str, Any], remedy: str = "") -> ConfigError:
    """A fault of a file, as the server has found it."""
    return ConfigError(
        str(fault.get("message")),
        file=fault.get("file"),
        line=fault.get("line"),
        column=fault.get("column"),
        key=str(fault.get("key") or ""),
        suggestion=str(fault.get("suggestion") or ""),
        excerpt=str(fault.get("excerpt") or ""),
        remedy=remedy,
    )


def _tell_done(call: Call, document: Mapping[str, Any], done: str) -> None:
    if call.settings.documents:
        call.screen.document(document)
        return
    parts = []
    for key, words in TOLD.items():
        named = ", ".join(str(item) for item in document.get(key) or ())
        if named and words == done:
            done = f"{done}: {named}"
        elif named:
            parts.append(f"{words}: {named}")
    call.screen.note("; ".join([done, *parts]))


def _fault(fault: Any) -> str:
    if not isinstance(fault, Mapping):
        return str(fault)
    place = ":".join(str(fault[k]) for k in ("file", "line", "column", "name") if fault.get(k))
    return f"{place}: {fault.get('message')}" if place else str(fault.get("message"))
