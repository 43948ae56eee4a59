"""`fustor bench all|scan|answers|…`: the program beside its peers, every answer checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from fustor_core.cli import failure
from fustor_core.cli.call import Call

if TYPE_CHECKING:
    from fustor_core.bench.suite import Wanted

# Said here, too, so that `fustor bench --help` imports none of them; a test compares both.
PARTS = {
    "scan": "Scan a tree into a view, beside find and a walk in Python.",
    "audits": "Audit an unchanged tree, by tier, beside the bare looks.",
    "answers": "Ask stat, ls, du and find over the socket, beside constant bytes.",
    "restart": "Start on the state of before, until the first right answer.",
    "earlier": "Run Fustor 0.8.17 on the same tree; see --earlier.",
    "ingest": "Push a synthetic tree into a server: CPU, memory, disk, restart.",
    "start": "Start the help, and a program until it answers.",
    "events": "Close files at a fixed rate, until each is in the view.",
    "failover": "Kill a leader while questions are asked.",
    "sessions": "Keep many sessions alive beside a snapshot.",
    "waiters": "Let many clients wait for what does not happen.",
    "growth": "Measure at many sizes: files, events a second, sessions.",
}
GROWTH = "growth"
GROUPS = {
    "all": (
        "Measure everything; how cost grows only with --long.",
        [part for part in PARTS if part != GROWTH],
    ),
    "memory": ("As ingest: what rows take in memory and on disk.", ["ingest"]),
}

Files = Annotated[
    str | None, typer.Option("--files", metavar="N,…", help="Files of the trees: 20k,1M.")
]
Quick = Annotated[bool, typer.Option("--quick", help="Small trees, everything once.")]
Long = Annotated[bool, typer.Option("--long", help="More trees and sizes, up to 100 M files.")]
Pin = Annotated[
    str | None, typer.Option("--pin", metavar="CORES", help="Run all there, as taskset -c does.")
]
Cache = Annotated[
    str | None,
    typer.Option(
        "--cache", metavar="DIR", help="Folder of the trees; $XDG_CACHE_HOME/fustor-bench."
    ),
]
Keep = Annotated[bool, typer.Option("--keep", help="Keep the trees for the next run.")]
History = Annotated[
    str | None, typer.Option("--history", metavar="DIR", help="Write every value to a file there.")
]
Peer = Annotated[
    str | None,
    typer.Option("--earlier", metavar="BIN", help="Folder that has fustor-agent 0.8.17."),
]


def join(app: typer.Typer) -> None:
    """Adds the commands to the group."""
    for name, what in PARTS.items():
        app.command(name)(_command([name], what))
    for name, (what, parts) in GROUPS.items():
        app.command(name)(_command(parts, what))


def _command(parts: list[str], what: str) -> Callable[..., int]:
    def run(
        ctx: typer.Context,
        files: Files = None,
        quick: Quick = False,
        long: Long = False,
        pin: Pin = None,
        cache: Cache = None,
        keep: Keep = False,
        history: History = None,
        earlier: Peer = None,
    ) -> int:
        from pathlib import Path

        from fustor_core.bench import suite

        try:
            sizes = suite.sizes(files) if files is not None else ()
        except ValueError as error:
            raise failure.usage(f"--files: {error}") from error
        wanted = suite.Wanted(
            [*parts, GROWTH] if long and len(parts) > 1 else parts,
            Path(cache) if cache is not None else suite.default_cache(),
            sizes,
            quick=quick,
            long=long,
            pin=pin,
            keep=keep,
            history=Path(history) if history is not None else None,
            earlier=Path(earlier) if earlier is not None else None,
        )
        return _measured(ctx.obj, wanted)

    run.__doc__ = (
        f"{what}\n\nEvery answer that is timed is also checked: exit 1 when one was wrong, never "
        "for a slow figure."
    )
    return run


def _measured(call: Call, wanted: Wanted) -> int:
    from fustor_core.bench import suite

    run = suite.Run(wanted, call.screen.note)
    right = run.measure()
    if call.settings.documents:
        call.screen.document(run.document())
    else:
        for line in run.text().splitlines():
            call.screen.line(line)
    return failure.OK if right else failure.FAILED
