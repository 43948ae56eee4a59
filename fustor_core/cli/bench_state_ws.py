"""`fustor bench state-ws`: how soon many watchers of the live state hear of a fact."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from fustor_core.cli import failure, figures
from fustor_core.cli.call import Call
from fustor_core.cli.options import seconds as parse_seconds

if TYPE_CHECKING:
    from fustor_core.bench.state_ws import Found

MOST = 100_000
MEMORY = "/dev/shm"


def join(app: typer.Typer) -> None:
    """Adds the command to the group."""
    app.command("state-ws")(state_ws)


def state_ws(
    ctx: typer.Context,
    clients: Annotated[
        int, typer.Option("--clients", metavar="N", min=1, max=MOST, help="Watchers, 200.")
    ] = 200,
    nodes: Annotated[
        int, typer.Option("--nodes", metavar="N", min=1, max=MOST, help="Things that change, 1000.")
    ] = 1000,
    seconds: Annotated[
        str, typer.Option("--seconds", metavar="DUR", help="How long facts are counted, 20s.")
    ] = "20s",
) -> int:
    """Measure how soon every watcher of the live state hears of every fact.

    Starts a server, sessions whose figures change all the time while others come and go, and
    clients that watch. Ends with 1 when a client was not told a fact; a slow one is only shown.
    """
    import tempfile
    from pathlib import Path

    from fustor_core.bench.state_ws import measure
    from fustor_core.cli.measuring import Progress

    call: Call = ctx.obj
    lasting = parse_seconds(seconds, "--seconds")
    # In memory: how soon a disk writes is another question.
    place = MEMORY if os.access(MEMORY, os.W_OK) else None
    made = tempfile.TemporaryDirectory(prefix="fustor-", dir=place)
    with made as folder, Progress(call) as progress:
        found = measure(
            Path(folder), clients=clients, nodes=nodes, seconds=lasting, tell=progress.tell
        )
    if call.settings.documents:
        call.screen.document(found.document())
    else:
        _show(call, found)
    return failure.OK if found.whole else failure.FAILED


def _show(call: Call, found: Found) -> None:
    screen = call.screen
    told = figures.counted(found.facts, "fact")
    clients = figures.counted(found.clients, "client")
    screen.line(f"{told} in {figures.span(found.seconds)}, {clients}, {found.nodes:,} nodes")
    rows = [
        ("fact to client, median", _ms(found.p50_ms)),
        ("99 of 100", _ms(found.p99_ms)),
        ("longest", _ms(found.longest_ms)),
        ("frames to each client", figures.rate(found.frames_per_s)),
        ("bytes to each client", f"{figures.size(int(found.bytes_per_s))}/s"),
        ("heartbeats of the nodes", figures.rate(found.beats_per_s)),
        ("server", f"{found.server_cpu_percent:.0f} % of a core"),
        ("clients", f"{found.watchers_cpu_percent:.0f} % of a core"),
    ]
    screen.table([(f"  {name}", value) for name, value in rows])
    if not found.whole:
        told = f"{found.missed:,} times a client was not told a fact"
        screen.line(screen.painted(told if found.missed else "too few facts were made", "red"))
    elif found.met:
        screen.line(screen.painted("every client was told every fact within 200 ms", "green"))
    else:
        screen.line(screen.painted("every client was told every fact, but not in 200 ms", "yellow"))
    if found.longest_pause_ms > 50:
        screen.note(
            f"note: this machine let the clients wait up to {found.longest_pause_ms:.0f} ms"
            " for a core; on a quiet one the longest times are shorter"
        )


def _ms(value: float | None) -> str:
    return "none" if value is None else f"{value:.1f} ms"
