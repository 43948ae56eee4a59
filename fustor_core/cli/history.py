"""`fustor history …`: runs that were recorded, read from their files; no server is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fustor_core.cli import failure, figures
from fustor_core.cli.call import Call
from fustor_core.cli.commands import group
from fustor_core.cli.names import safe
from fustor_core.cli.options import seconds
from fustor_core.cli.runs import (
    HEADS,
    brief,
    document_of,
    end_of,
    find,
    folder_of,
    keyring,
    line_of,
    read_of,
    row,
    runs_in,
    short,
    stamp,
    tell,
    tell_faults,
    told_of,
)

if TYPE_CHECKING:
    from fustor_core.state_runs.folders import RunFolder

Document = dict[str, Any]

Folder = Annotated[
    str | None,
    typer.Option(
        "--state-history", metavar="DIR", help="Where runs are; else below the state directory."
    ),
]
Key = Annotated[
    str | None,
    typer.Option(
        "--state-encryption-key", metavar="REF", help="Of encrypted runs: env:NAME or file:PATH."
    ),
]
Run = Annotated[
    str | None,
    typer.Argument(
        metavar="RUN", help="Id or folder of a run, or a part of it; else the newest one."
    ),
]


def groups() -> dict[str, typer.Typer]:
    """The groups of this file, by name."""
    history = group("Look at runs that were recorded with --state-history.")
    history.command("list")(list_runs)
    history.command("show")(show)
    history.command("diff")(diff)
    history.command("replay")(replay)
    history.command("prune")(prune)
    return {"history": history}


def list_runs(ctx: typer.Context, state_history: Folder = None, key: Key = None) -> int:
    """List the runs, the oldest first: when, how long, how they ended."""
    call: Call = ctx.obj
    runs = [brief(run, keyring(key)) for run in runs_in(call, state_history)]
    if call.settings.jsonl:
        for run in runs:
            call.screen.document(run)
    elif call.settings.json:
        call.screen.document({"runs": runs})
    elif runs:
        call.screen.table([[(head, "dim") for head in HEADS], *map(row, runs)], right="   >>")
    else:
        place = folder_of(call, state_history)
        call.screen.note(
            f"no runs in {safe(str(place))}; record some with --state-history DIR, and name it here"
        )
    return failure.OK


def show(ctx: typer.Context, run: Run = None, state_history: Folder = None, key: Key = None) -> int:
    """Show a run: what it was, what became of each node, and what is wrong with its files.

    Exit 9: a file was changed, cut, swapped or removed; it is named.
    """
    call: Call = ctx.obj
    read, seq = read_of(call, run, state_history, key)
    told = told_of(read)
    document = document_of(read, told, seq)
    if call.settings.documents:
        call.screen.document(document)
    else:
        tell(call, read, document)
    return tell_faults(call, read)


def replay(
    ctx: typer.Context,
    run: Run = None,
    to: Annotated[
        int | None, typer.Option("--to", min=0, metavar="N", help="Up to this change; else all.")
    ] = None,
    node: Annotated[
        str | None, typer.Option("--node", metavar="NAME", help="Changes of this node alone.")
    ] = None,
    state_history: Folder = None,
    key: Key = None,
) -> int:
    """Rebuild a run from its files, change after change; also of one that was killed.

    With --json the state at the end, with --jsonl each change. Exit 9: as `history show`.
    """
    from fustor_core.state_runs.replaying import state_at, states

    call: Call = ctx.obj
    read, seq = read_of(call, run, state_history, key)
    told, to = told_of(read), seq if to is None else to
    if call.settings.json:
        call.screen.document(state_at(told, to))
        return tell_faults(call, read)
    before: Document = {}
    for version, nodes in states(told):
        if to is not None and version.seq > to:
            break
        for name, changes in version.changes.items():
            if node in (None, name) and call.settings.jsonl:
                step = {"seq": version.seq, "at": stamp(version.at), "writer": version.writer}
                call.screen.document({**step, "node": name, "changes": changes})
            elif node in (None, name):
                call.screen.line(line_of(version, name, before.get(name), nodes[name]))
        before = nodes
    if not call.settings.jsonl:
        last = state_at(told, to)
        ends = f"as it was after change {last['ext']['seq']}" if to is not None else end_of(read)
        call.screen.note(f"{len(last['nodes'])} nodes; {ends}")
    return tell_faults(call, read)


def diff(
    ctx: typer.Context,
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN", help="Two runs, or one and the run before it; RUN@N: after "
                       "its change N. Else the last two."),
    ] = None,
    state_history: Folder = None,
    key: Key = None,
) -> int:  # fmt: skip
    """Tell what is different between two runs, or two instants of one, field by field.

    Exit 1: something is.
    """
    from fustor_core.state_runs.replaying import differences, state_at

    call: Call = ctx.obj
    named = list(runs or [])
    if len(named) > 2:
        raise failure.usage("two runs at most")
    if len(named) < 2:
        found = runs_in(call, state_history)
        last = find(call, named[0] if named else None, state_history)[0]
        at = [run.path for run in found].index(last.path) if last in found else 0
        if not at:
            raise failure.usage("there is no run before that one", remedy="name two, or RUN@N")
        named = [str(found[at - 1].path), named[0] if named else str(last.path)]
    states = []
    for text in named:
        read, seq = read_of(call, text, state_history, key)
        states.append(state_at(told_of(read), seq))
    found_different = differences(*states)
    if call.settings.documents:
        call.screen.document({"differences": found_different})
    else:
        for one in found_different:
            before, after = (safe(short(one[side])) for side in ("before", "after"))
            call.screen.line(f"{safe(one['field'])}: {before} → {after}")
    return failure.FAILED if found_different else failure.OK


def prune(
    ctx: typer.Context,
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN", help="Remove these; else what is too old or too much."),
    ] = None,
    older: Annotated[
        str | None, typer.Option("--older", metavar="DUR", help="Remove runs older than this: 90d.")
    ] = None,
    max_size: Annotated[
        str | None,
        typer.Option("--max-size", metavar="SIZE", help="Keep so much, the newest: 1GiB."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    state_history: Folder = None,
) -> int:
    """Remove old runs; never one that goes on, nor the newest. Asks first, unless --yes."""
    from fustor_core.state_runs.folders import remove

    call: Call = ctx.obj
    going = _going(call, runs or [], older, max_size, state_history)
    size = figures.size(sum(run.size_bytes for run in going))
    told = f"{figures.counted(len(going), 'run')}, {size}"
    if going and not dry_run and not call.settings.yes:
        for run in going:
            call.screen.note(safe(run.path.name))
        typer.confirm(f"remove {told}?", abort=True, err=True)
    for run in [] if dry_run else going:
        remove(run)
    if call.settings.documents:
        removed = [{"id": run.id, "folder": str(run.path)} for run in going]
        call.screen.document({"removed": removed, "dry_run": dry_run})
    else:
        for run in going:
            call.screen.line(safe(run.path.name))
        call.screen.note(f"{'would remove' if dry_run else 'removed'}: {told}")
    return failure.OK


def _going(
    call: Call,
    named: Sequence[str],
    older: str | None,
    max_size: str | None,
    given: str | None,
) -> list[RunFolder]:
    """The runs that are to be removed.

    Raises:
        Failure: one of them goes on.
    """
    import time

    from fustor_core.config import State
    from fustor_core.state_runs.folders import superfluous
    from fustor_core.units import parse_size

    if named:
        going = [find(call, text, given)[0] for text in named]
        for run in going:
            if run.runs:
                told = f"run {run.id} goes on"
                raise failure.Failure(
                    failure.CONFLICT, "state-in-use", told, remedy="stop it first"
                )
        return going
    limits = State()
    if older is not None or max_size is not None:
        limits = State(keep_age=0, keep_bytes=0)
    try:
        most = limits.keep_bytes if max_size is None else parse_size(max_size)
    except ValueError as error:
        raise failure.usage(f"--max-size: {error}") from error
    age = limits.keep_age if older is None else seconds(older, "--older")
    runs = runs_in(call, given)
    return superfluous(runs, time.time(), keep_age_s=age, keep_bytes=most)
