"""`fustor view scan|confirm`: have a look taken again, let a frozen scan's deletions happen."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from fustor_core.cli import failure, figures, quality
from fustor_core.cli.call import Call, address
from fustor_core.cli.names import raw, safe
from fustor_core.cli.options import NeededPath
from fustor_core.client import TIMEOUT_S, path_params

ENDED = ("completed", "failed", "cancelled")
LOOK_S = (0.1, 0.2, 0.5, 1.0)  # between two looks at a job


def join(group: typer.Typer) -> None:
    """Adds the commands of this file to ``fustor view``."""
    group.command("scan")(view_scan)
    group.command("confirm")(view_confirm)


def view_scan(
    ctx: typer.Context,
    path: NeededPath,
    wait: Annotated[bool, typer.Option("--wait", help="Stay until it is over.")] = False,
    recursive: Annotated[
        bool, typer.Option("--recursive/--shallow", help="Everything below, or one directory.")
    ] = True,
) -> int:
    """Have a directory looked at again, now."""
    call: Call = ctx.obj
    if wait:
        call.request_s = TIMEOUT_S
    place = call.place(path)
    body = {**path_params(place.path), "recursive": recursive}
    job = call.client().ask("POST", address(place.view, "scan"), body=body)
    if wait:
        job = _ended(call, job)
    if call.settings.documents:
        call.screen.document(job)
    else:
        _tell_job(call, job)
    if not wait:
        return failure.OK
    return _job_exit(job)


def view_confirm(
    ctx: typer.Context,
    view: Annotated[str, typer.Argument(metavar="VIEW", help="Its name.")],
    root: Annotated[
        str | None, typer.Option("--root", metavar="PATH", help="Only this frozen directory.")
    ] = None,
    reject: Annotated[
        bool, typer.Option("--reject", help="Throw the deletions away instead.")
    ] = False,
) -> int:
    """Let the deletions of a frozen scan happen, or not.

    Exit 1: nothing is frozen.
    """
    call: Call = ctx.obj
    call.view(view)
    body: dict[str, Any] = {"reject": reject}
    if root is not None:
        body |= path_params(os.fsencode(root), "root")
    document = call.client().ask("POST", address(view, "confirm"), body=body)
    confirmed = document.get("confirmed") or []
    if call.settings.documents:
        call.screen.document(document)
    for item in confirmed if not call.settings.documents else ():
        removes = figures.counted(int(item.get("removes") or 0), "entry", "entries")
        done = "kept" if reject else "removed"
        call.screen.line(f"{call.screen.name(raw(item))}  {removes} {done}")
    if confirmed:
        return failure.OK
    if not call.settings.documents:
        call.screen.say(f"nothing to confirm in {view}")
    return failure.FAILED


def _ended(call: Call, job: Mapping[str, Any]) -> dict[str, Any]:
    """The job when it is over.

    Raises:
        Failure: the timeout came first.
    """
    limit_s = call.settings.timeout_s
    until = None if limit_s is None else time.monotonic() + limit_s
    looks = 0
    while str(job.get("state")) not in ENDED:
        if until is not None and time.monotonic() >= until:
            raise failure.Failure(
                failure.OUT_OF_TIME,
                "timeout",
                f"the scan is not over yet: {job.get('state')}",
                remedy="it goes on; see `fustor status`",
                job=dict(job),
            )
        time.sleep(LOOK_S[min(looks, len(LOOK_S) - 1)])
        looks += 1
        job = call.get(f"/jobs/{job['id']}")
    return dict(job)


def _job_exit(job: Mapping[str, Any]) -> int:
    if job.get("state") != "completed":
        return failure.FAILED
    found = (job.get("result") or {}).get("quality") or {}
    return failure.PARTIAL if found.get("complete") is False else failure.OK


def _tell_job(call: Call, job: Mapping[str, Any]) -> None:
    screen = call.screen
    progress = job.get("progress") or {}
    seen = figures.counted(int(progress.get("entries") or 0), "entry", "entries")
    result = job.get("result") or {}
    told = f"scan {safe(str(job.get('id')))} of {screen.name(raw(job))}: {safe(str(job['state']))}"
    if result:
        entries = figures.counted(int(result.get("entries") or 0), "entry", "entries")
        told += f", {entries}, {figures.count(int(result.get('changed') or 0))} changed"
    elif progress:
        told += f", {seen} so far"
    screen.line(told)
    if job.get("error"):
        screen.say(f"  {job['error']}", "red")
    quality.tell(screen, result.get("quality"))
