"""`fustor pipe list|show` and `fustor session list`: what feeds the views."""

from __future__ import annotations

from typing import Annotated

import typer

from fustor_core.cli import failure
from fustor_core.cli.call import Call
from fustor_core.cli.commands import group
from fustor_core.cli.stories import details, pipe_rows, session_rows


def groups() -> dict[str, typer.Typer]:
    """The groups of this file, by name."""
    pipe = group("Look at the pipes: state, role, trouble.")
    pipe.command("list")(pipe_list)
    pipe.command("show")(pipe_show)
    session = group("Look at the sessions that feed the views.")
    session.command("list")(session_list)
    return {"pipe": pipe, "session": session}


def pipe_list(ctx: typer.Context) -> int:
    """List the pipes with their state, role and trouble."""
    call: Call = ctx.obj
    document = call.client(agent_first=True).get("/pipes")
    pipes = document.get("pipes") or []
    if call.settings.jsonl:
        for pipe in pipes:
            call.screen.document(pipe)
    elif call.settings.json:
        call.screen.document({"pipes": pipes})
    elif pipes:
        call.screen.table(pipe_rows(pipes))
    else:
        call.screen.note("no pipes")
    return failure.OK


def pipe_show(
    ctx: typer.Context, name: Annotated[str, typer.Argument(metavar="ID", help="Its id.")]
) -> int:
    """Show everything about one pipe."""
    call: Call = ctx.obj
    pipes = call.client(agent_first=True).get("/pipes").get("pipes") or []
    found = next((pipe for pipe in pipes if pipe.get("id") == name), None)
    if found is None:
        known = ", ".join(str(pipe.get("id")) for pipe in pipes)
        raise failure.Failure(
            failure.NOT_FOUND, "no-such-pipe", f"no pipe {name!r}", remedy=f"pipes: {known or '-'}"
        )
    if call.settings.documents:
        call.screen.document(found)
    else:
        details(call.screen, found)
    return failure.OK


def session_list(ctx: typer.Context) -> int:
    """List the sessions; with --view, those of one view."""
    call: Call = ctx.obj
    wanted = call.view(call.settings.view) if call.settings.view else None
    document = call.get("/sessions")
    sessions = [
        session
        for session in document.get("sessions") or []
        if wanted in (None, session.get("view"))
    ]
    if call.settings.jsonl:
        for session in sessions:
            call.screen.document(session)
    elif call.settings.json:
        call.screen.document({"sessions": sessions})
    elif sessions:
        call.screen.table(session_rows(sessions))
    else:
        call.screen.note("no sessions")
    return failure.OK
