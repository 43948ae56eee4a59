"""`fustor pipe …` and `fustor session list`: what feeds the views."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated
from urllib.parse import quote

import typer

from fustor_core.cli import failure
from fustor_core.cli.call import Call
from fustor_core.cli.commands import group
from fustor_core.cli.stories import details, pipe_rows, session_rows

PipeId = Annotated[str, typer.Argument(metavar="ID", help="Its id.")]
DEEDS = {
    "pause": "Let a pipe send nothing; it watches and stays in touch.",
    "resume": "Let a pipe go on after a pause, or try again at once after errors.",
    "restart": "Stop a pipe and start it anew.",
}


def groups() -> dict[str, typer.Typer]:
    """The groups of this file, by name."""
    pipe = group("Look at the pipes: state, role, trouble; pause and restart them.")
    pipe.command("list")(pipe_list)
    pipe.command("show")(pipe_show)
    for deed, told in DEEDS.items():
        pipe.command(deed, help=told)(_doing(deed))
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


def pipe_show(ctx: typer.Context, name: PipeId) -> int:
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


def _doing(deed: str) -> Callable[[typer.Context, str], int]:
    def pipe_deed(ctx: typer.Context, name: PipeId) -> int:
        call: Call = ctx.obj
        client = call.client(agent_first=True)
        document = client.ask("POST", f"/pipes/{quote(name, safe='')}/{deed}", body={})
        if call.settings.documents:
            call.screen.document(document)
        else:
            flags = "|".join(document.get("flags") or ()) or "STOPPED"
            call.screen.note(f"{deed}: {name} is {flags}")
        return failure.OK

    return pipe_deed


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
