"""`fustor machines` and `fustor plugin list`: what the program is made of; no server is asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import Flag
from pathlib import Path
from typing import Annotated, Any

import typer

from fustor_core.cli import failure
from fustor_core.cli.call import Call
from fustor_core.cli.commands import group
from fustor_core.cli.names import safe
from fustor_core.cli.screen import Cell


def groups() -> dict[str, typer.Typer]:
    """The groups of this file, by name."""
    machines = group("Look at the state machines.")
    machines.command("list")(machines_list)
    machines.command("show")(machines_show)
    machines.command("check")(machines_check)
    plugin = group("Look at the installed plugins.")
    plugin.command("list")(plugin_list)
    return {"machines": machines, "plugin": plugin}


def machines_list(ctx: typer.Context) -> int:
    """List the state machines with their states and events."""
    call: Call = ctx.obj
    listed = [_summary(table) for table in _tables().values()]
    if call.settings.jsonl:
        for machine in listed:
            call.screen.document(machine)
    elif call.settings.json:
        call.screen.document({"machines": listed})
    else:
        rows: list[list[Cell]] = [
            [
                (machine["name"], "bold"),
                f"{len(machine['states'])} states",
                f"{len(machine['events'])} events",
                " ".join(state["name"] for state in machine["states"]),
            ]
            for machine in listed
        ]
        call.screen.table(rows, right=" >>")
    return failure.OK


def machines_show(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="As `machines list` has it.")],
    mermaid: Annotated[bool, typer.Option("--mermaid", help="As a Mermaid drawing.")] = False,
) -> int:
    """Show one state machine: its states and the rules by which it moves."""
    call: Call = ctx.obj
    tables = _tables()
    if name not in tables:
        raise failure.Failure(
            failure.NOT_FOUND,
            "no-such-machine",
            f"no state machine {name!r}",
            remedy=f"there are: {', '.join(tables)}",
        )
    table = tables[name]
    if mermaid:
        call.screen.line(table.mermaid().rstrip("\n"))
        return failure.OK
    document = table.document()
    if call.settings.documents:
        call.screen.document(document)
        return failure.OK
    screen = call.screen
    states = "  ".join(f"{state['name']} {state['value']}" for state in document["states"])
    screen.line(f"{screen.painted(name, 'bold')}, begins as {document['initial']}")
    screen.line(states)
    rows: list[list[Cell]] = [[(head, "dim") for head in ("event", "from", "to", "only if")]]
    for rule in document["rules"]:
        cleared = f" (drops {rule['clear']})" if rule["clear"] else ""
        rows.append([rule["event"], rule["source"], rule["target"] + cleared, rule["guard"] or ""])
    screen.table(rows)
    return failure.OK


def machines_check(
    ctx: typer.Context,
    driven: Annotated[
        bool, typer.Option("--driven", help="What this state directory has driven, and never.")
    ] = False,
    also: Annotated[
        list[str] | None,
        typer.Option("--also", metavar="HOME", help="With --driven: that one's moves, too."),
    ] = None,
) -> int:
    """Check every table: no illegal, trapped or unreachable state.

    With --driven, whether each state and each edge was ever driven. Exit 9: some were not.
    """
    call: Call = ctx.obj
    if driven:
        return _driven(call, [call.settings.home, *(Path(home) for home in also or ())])
    if also:
        raise failure.usage("--also goes with --driven")
    checks = [check for table in _tables().values() for check in _checked(table)]
    if call.settings.documents:
        call.screen.document({"checks": checks})
    else:
        for check in checks:
            found = (
                call.screen.painted("ok", "green")
                if check["ok"]
                else call.screen.painted(f"wrong: {check['found']}", "red")
            )
            call.screen.line(f"{check['machine']}: {check['name']}: {found}")
    return failure.OK if all(check["ok"] for check in checks) else failure.FAILED


def _driven(call: Call, homes: Sequence[Path]) -> int:
    """What the homes have driven together."""
    from fustor_core.driven import coverage, recorded, records

    steps = list(recorded(record for home in homes for record in records(home)))
    machines = [coverage(table, steps) for table in _tables().values()]
    missing = any(m["states_missing"] or m["edges_missing"] for m in machines)
    if call.settings.jsonl:
        for machine in machines:
            call.screen.document(machine)
    elif call.settings.json:
        call.screen.document({"machines": machines})
    else:
        _tell_driven(call, machines)
    return failure.UNVERIFIED if missing else failure.OK


def _tell_driven(call: Call, machines: Sequence[Mapping[str, Any]]) -> None:
    """How much of each machine was driven, then what never was, a line each."""
    screen = call.screen
    for machine in machines:
        counts = []
        for kind in ("states", "edges"):
            found, never = machine[f"{kind}_driven"], machine[f"{kind}_missing"]
            counts.append(f"{len(found)} of {len(found) + len(never)} {kind}")
        whole = not machine["states_missing"] and not machine["edges_missing"]
        told = screen.painted(", ".join(counts), "green" if whole else "yellow")
        screen.line(f"{screen.painted(machine['name'], 'bold')}: {told}")
        for state in machine["states_missing"]:
            screen.line(f"  never entered: {state}")
        for edge in machine["edges_missing"]:
            screen.line(f"  never driven: {edge['source']} --{edge['event']}-> {edge['target']}")


def plugin_list(ctx: typer.Context) -> int:
    """List the installed plugins without importing any."""
    from fustor_core.registry import Registry

    call: Call = ctx.obj
    plugins = [
        {
            "kind": plugin.kind,
            "name": plugin.name,
            "distribution": plugin.distribution,
            "version": plugin.version,
            "state": plugin.state,
            **({"error": plugin.error} if plugin.error else {}),
        }
        for plugin in Registry().plugins()
    ]
    if call.settings.jsonl:
        for plugin in plugins:
            call.screen.document(plugin)
    elif call.settings.json:
        call.screen.document({"plugins": plugins})
    elif plugins:
        rows: list[list[Cell]] = [
            [
                plugin["kind"],
                (plugin["name"], "bold"),
                f"{plugin['distribution']} {plugin['version']}",
                (plugin["state"], "red" if "error" in plugin else "green"),
                safe(plugin.get("error", "")),
            ]
            for plugin in plugins
        ]
        call.screen.table(rows)
    else:
        call.screen.note("no plugins are installed; install those of this checkout: ./plugins/*")
    return failure.OK


def _tables() -> Mapping[str, Any]:
    """The machines of the core and those that plugins in use bring."""
    from fustor_core.states import ALL

    return ALL


def _summary(table: Any) -> dict[str, Any]:
    return {
        "name": table.name,
        "states": table.document()["states"],
        "events": list(table.events),
    }


def _checked(table: Any) -> Iterable[dict[str, Any]]:
    """What can be said of a table by walking it."""
    reached = table.reachable()
    illegal = [table.describe(state) for state in reached if not table.legal(state)]
    traps = [
        table.describe(state)
        for state in reached
        if state not in table.final and not any(True for _ in table.edges(state))
    ]
    # A table of flags may use fewer bits than its enumeration has: those that its rules name.
    named = [bits for rule in table.rules for bits in (*rule.sources, rule.target)]
    never = [
        member.name
        for member in table.members()
        if _occurs(member, [table.initial, *named] if table.flags else [member])
        and not _occurs(member, reached)
    ]
    for name, wrong in (
        ("every reachable state is legal", illegal),
        ("every state has a way out, unless it is final", traps),
        ("every state is reachable", never),
    ):
        yield {
            "machine": table.name,
            "name": name,
            "ok": not wrong,
            "found": ", ".join(wrong),
        }


def _occurs(member: Any, states: Iterable[Any]) -> bool:
    """Whether a member is one of the states, or a bit of one."""
    bits = isinstance(member, Flag) and member.value
    return any(state.value & bits if bits else state == member for state in states)
