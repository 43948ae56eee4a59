"""`fustor top`: views, pipes and changes as they go, on a terminal."""

from __future__ import annotations

from typing import Annotated

import typer

from fustor_core.cli import failure
from fustor_core.cli.call import Call
from fustor_core.cli.options import seconds

INTERVAL_S_MIN = 0.1


def join(app: typer.Typer) -> None:
    """Adds the command to the program."""
    app.command("top")(top)


def top(
    ctx: typer.Context,
    interval: Annotated[
        str, typer.Option("--interval", metavar="DUR", help="Between two looks.")
    ] = "1s",
) -> int:
    """Show views, pipes, sessions, jobs and changes, live.

    Keys: Tab between tables, arrows in them, q ends. The changes shown are those of the view that
    is marked. When the server is lost it goes on looking for it.
    """
    call: Call = ctx.obj
    interval_s = seconds(interval, "--interval")
    if interval_s < INTERVAL_S_MIN:
        raise failure.usage(f"--interval {interval}: at least {INTERVAL_S_MIN} s")
    if call.settings.documents or not call.screen.terminal:
        raise failure.usage(
            "top draws on a terminal", remedy="for programs: fustor status --json, view watch"
        )
    call.get("/status")  # nothing to look at ends before the terminal is taken
    from fustor_core.cli.top_page import TopPage

    TopPage(call, interval_s).run()
    return failure.OK
