"""`fustor view blind-spots`: what nobody saw happen, which scan found it, and who watches there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from fustor_core.cli import failure, figures, quality
from fustor_core.cli.call import Call
from fustor_core.cli.entries import LONG_RIGHT, Owners, long_rows
from fustor_core.cli.names import raw, safe
from fustor_core.cli.options import Cursor, Limit, Path
from fustor_core.cli.screen import Cell, Screen
from fustor_core.cli.view_entries import entries_as_lines, tell_more


def join(group: typer.Typer) -> None:
    """Adds the command of this file to ``fustor view``."""
    group.command("blind-spots")(view_blind_spots)


def view_blind_spots(
    ctx: typer.Context,
    path: Path = None,
    by_directory: Annotated[
        bool, typer.Option("--by-directory", help="One line a directory, with how many there are.")
    ] = False,
    limit: Limit = None,
    cursor: Cursor = None,
) -> int:
    """List entries whose last change nobody saw happen.

    Of each: which scan found it first, and which agents watch the directory that it lies in. Those
    saw nothing because the writer's host runs no agent; where nobody watches, only audits look.
    """
    call: Call = ctx.obj
    place = call.place(path)
    rows = "directories" if by_directory else "entries"
    params = {"by_directory": True} if by_directory else {}
    document = call.pages(place, "blind-spots", rows, params, limit=limit, cursor=cursor)
    screen = call.screen
    if call.settings.jsonl:
        entries_as_lines(screen, document, rows)
        return failure.OK
    if call.settings.json:
        screen.document(document)
        return failure.OK
    found = document[rows]
    if by_directory:
        screen.table([_directory(screen, one) for one in found], right=">>")
    else:
        lines = long_rows(screen, found, Owners(local=call.local), key="path")
        told = [(f"{_found_by(one, 'first_seen')}; {_known_by(one)}", "dim") for one in found]
        pairs = zip(lines, told, strict=True)
        screen.table([[*line[:-1], more, line[-1]] for line, more in pairs], right=LONG_RIGHT)
    if not found:
        screen.note("no blind spots")
    tell_more(screen, document)
    quality.tell(screen, document.get("quality"))
    return failure.OK


def _directory(screen: Screen, one: Mapping[str, Any]) -> list[Cell]:
    """How many it holds, with all below; what found the newest; who watches; where."""
    here, below = int(one.get("blind") or 0), int(one.get("below") or 0)
    return [
        figures.count(here),
        f"{figures.count(below)} with all below",
        _found_by(one, "last_seen"),
        _known_by(one),
        (screen.name(raw(one)), "dir"),
    ]


def _found_by(one: Mapping[str, Any], key: str) -> str:
    """``audit 3 of alpha, 12:04:11``."""
    seen = one.get(key)
    if not isinstance(seen, Mapping):
        return "found long ago"
    scan = str(seen.get("origin")).replace("_", " ")
    scan += f" {seen['audit']}" if seen.get("audit") else ""
    of = f" of {seen['agent']}" if seen.get("agent") else ""
    return safe(f"{scan}{of}, {figures.clock_time(str(seen.get('at') or ''))}")


def _known_by(one: Mapping[str, Any]) -> str:
    agents = [str(agent) for agent in one.get("known_by") or ()]
    return f"watched by {safe(', '.join(agents))}" if agents else "watched by nobody"
