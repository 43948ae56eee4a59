"""`fustor doctor`: what this host needs, and what it lacks."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import typer

from fustor_core.cli import failure
from fustor_core.cli.call import Call
from fustor_core.cli.names import safe
from fustor_core.errors import FustorError


def join(app: typer.Typer) -> None:
    """Adds the command to the program."""
    app.command("doctor")(doctor)


def doctor(ctx: typer.Context) -> int:
    """Check this host: limits, state, plugins, clock.

    Exit 1: something is amiss; what to do stands beside it.
    """
    from fustor_core.doctor import examine, mounts, pipes, watching

    call: Call = ctx.obj
    running = _pipes(call)
    checks = examine(call.settings.home, directories=_directories(call, running))
    checks += mounts(running if call.local else ())
    checks += watching(running)
    checks += pipes(running)
    wrong = [check for check in checks if not check.ok]
    screen = call.screen
    if call.settings.jsonl:
        for check in checks:
            screen.document(asdict(check))
    elif call.settings.json:
        screen.document({"checks": [asdict(check) for check in checks]})
    else:
        width = max(len(check.name) for check in checks)
        for check in checks:
            mark = screen.painted("ok   ", "green") if check.ok else screen.painted("wrong", "red")
            screen.line(f"{mark}  {check.name:<{width}}  {safe(check.found)}")
            if not check.ok:
                screen.line(f"{'':>{width + 9}}wanted: {safe(check.wanted)}")
                screen.line(f"{'':>{width + 9}}remedy: {safe(check.remedy)}")
        screen.flush()
        screen.note(f"{len(wrong)} of {len(checks)} are amiss" if wrong else "all is well")
    return failure.FAILED if wrong else failure.OK


def _pipes(call: Call) -> list[dict[str, Any]]:
    """The pipes of the running agent; none when nothing runs."""
    try:
        return list(call.get("/pipes").get("pipes") or ())
    except FustorError:
        return []


def _directories(call: Call, running: list[dict[str, Any]]) -> int | None:
    """How many directories of the running server need a watch each; None when nothing runs."""
    try:
        status: dict[str, Any] = call.get("/status")
    except FustorError:
        return None
    shown = sum(int(view.get("dirs") or 0) for view in status.get("views") or ())
    marked = [pipe for pipe in running if pipe.get("watched_by") == "fanotify"]
    heard = sum(int(pipe.get("watched_dirs") or 0) for pipe in marked)
    return max(0, shown - heard) if shown else None
