"""`fustor view list|drop|ls|tree|stat|du`: what is there."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from fustor_core.cli import failure, figures, quality
from fustor_core.cli.call import PAGE_ROWS, Call, address
from fustor_core.cli.entries import (
    LONG_RIGHT,
    Owners,
    flags,
    in_columns,
    long_rows,
    shown_name,
    tree_lines,
)
from fustor_core.cli.names import raw, safe
from fustor_core.cli.options import Cursor, Limit, NeededPath, Path
from fustor_core.cli.screen import Cell, Screen
from fustor_core.cli.stories import view_rows

EXISTENCE_EXITS = {"present": failure.OK, "absent": failure.NOT_FOUND}
DEEPEST_DOCUMENT = 50_000  # nesting that the JSON reader is allowed; trees can be deep


def join(group: typer.Typer) -> None:
    """Adds the commands of this file to ``fustor view``."""
    group.command("list")(view_list)
    group.command("drop")(view_drop)
    group.command("ls")(view_ls)
    group.command("tree")(view_tree)
    group.command("stat")(view_stat)
    group.command("du")(view_du)


def view_list(ctx: typer.Context) -> int:
    """List the views: root, counts, completeness."""
    call: Call = ctx.obj
    document = call.get("/views")
    views = document.get("views") or []
    if call.settings.jsonl:
        for view in views:
            call.screen.document(view)
    elif call.settings.json:
        call.screen.document({"views": views})
    elif views:
        call.screen.table(view_rows(call.screen, views), right="  >>>")
    else:
        call.screen.note("no views; make one with: fustor up DIR")
    return failure.OK


def view_drop(
    ctx: typer.Context, view: Annotated[str, typer.Argument(metavar="VIEW", help="Its name.")]
) -> int:
    """Forget a view; the files themselves stay.

    All that is stored of it goes. Not while a pipe feeds it.
    """
    call: Call = ctx.obj
    call.view(view)
    if not call.settings.yes and not _agreed(call.screen, f"forget the view {view!r}?"):
        call.screen.say("nothing was dropped")
        return failure.FAILED
    document = call.client().ask("DELETE", address(view)) or {"dropped": view}
    if call.settings.documents:
        call.screen.document(document)
    else:
        call.screen.note(f"dropped {view}")
    return failure.OK


def view_ls(
    ctx: typer.Context,
    path: Path = None,
    long: Annotated[bool, typer.Option("-l", help="Mode, owner, size and time too.")] = False,
    limit: Limit = None,
    cursor: Cursor = None,
) -> int:
    """List a directory as the view knows it."""
    call: Call = ctx.obj
    screen = call.screen
    place = call.place(path)
    document = call.pages(place, "ls", "entries", {}, limit=limit, cursor=cursor)
    entries = document["entries"]
    if call.settings.jsonl:
        entries_as_lines(screen, document, "entries")
        return failure.OK
    if call.settings.json:
        screen.document(document)
        return failure.OK
    if long:
        screen.table(long_rows(screen, entries, Owners(local=call.local)), right=LONG_RIGHT)
    else:
        in_columns(screen, [shown_name(screen, entry) for entry in entries])
    tell_more(screen, document)
    quality.tell(screen, document.get("quality"))
    return failure.OK


def view_tree(
    ctx: typer.Context,
    path: Path = None,
    depth: Annotated[int, typer.Option(min=0, metavar="N", help="Levels; 0: all.")] = 3,
) -> int:
    """Draw what lies below a directory."""
    call: Call = ctx.obj
    screen = call.screen
    sys.setrecursionlimit(DEEPEST_DOCUMENT)
    place = call.place(path)
    document = call.answer(place, "tree", {"depth": depth, "limit": PAGE_ROWS})
    if call.settings.documents:
        screen.document(document)
        return failure.OK
    top = document.get("tree") or {}
    title = screen.name(place.path)
    for line in tree_lines(screen, top, title):
        screen.line(line)
    rollup = top.get("rollup") or {}
    screen.note(totals(rollup))
    if document.get("truncated"):
        screen.note("not all is drawn: draw a part of it, or give more --depth (0: no limit)")
    quality.tell(screen, document.get("quality"))
    return failure.OK


def view_stat(ctx: typer.Context, path: NeededPath) -> int:
    """Show all that is known of one entry.

    Exit 5: proven absent; 7: nobody has looked yet.
    """
    call: Call = ctx.obj
    place = call.place(path)
    document = call.answer(place, "stat")
    existence = str(document.get("existence"))
    if call.settings.documents:
        call.screen.document(document)
        return EXISTENCE_EXITS.get(existence, failure.PARTIAL)
    entry = document.get("entry")
    if entry:
        _stat_lines(call, entry)
    else:
        told = {"absent": "is not there"}.get(existence, "may be there or not: nobody has looked")
        call.screen.say(f"{place.view}:{call.screen.talked(place.path)} {told}")
    quality.tell(call.screen, document.get("quality"))
    return EXISTENCE_EXITS.get(existence, failure.PARTIAL)


def view_du(
    ctx: typer.Context,
    path: Path = None,
    depth: Annotated[
        int, typer.Option(min=0, metavar="N", help="Show children to this depth.")
    ] = 0,
) -> int:
    """Sum up sizes and counts below a directory, at once."""
    call: Call = ctx.obj
    place = call.place(path)
    document = call.answer(place, "du", {"depth": depth})
    if call.settings.documents:
        call.screen.document(document)
        return failure.OK
    rows: list[list[Cell]] = []
    _du_rows(call.screen, document, place.path, rows)
    call.screen.table(rows, right=">>>")
    quality.tell(call.screen, document.get("quality"))
    return failure.OK


def entries_as_lines(screen: Screen, document: Mapping[str, Any], rows: str) -> None:
    """A listing as JSON lines: the entries, then a summary of everything else."""
    for entry in document[rows]:
        screen.document(entry)
    screen.document({"summary": {key: document[key] for key in document if key != rows}})


def tell_more(screen: Screen, document: Mapping[str, Any]) -> None:
    """Says how to go on when a listing was cut."""
    cursor = document.get("next_cursor")
    if cursor:
        screen.note(f"there is more; go on with: --cursor {cursor}")


def totals(rollup: Mapping[str, Any]) -> str:
    """``12 directories, 1,204 files, 3.2 GiB``."""
    told = [
        figures.counted(int(rollup.get("dirs") or 0), "directory", "directories"),
        figures.counted(int(rollup.get("files") or 0), "file"),
    ]
    others = int(rollup.get("others") or 0)
    if others:
        told.append(figures.counted(others, "other"))
    return ", ".join([*told, figures.size(int(rollup.get("bytes") or 0))])


def _du_rows(
    screen: Screen, document: Mapping[str, Any], path: bytes, rows: list[list[Cell]]
) -> None:
    """Children before their parent, as du does."""
    for child in document.get("children") or ():
        _du_rows(screen, child, path.rstrip(b"/") + b"/" + raw(child, "name"), rows)
    rollup = document.get("rollup") or {}
    rows.append(
        [
            figures.size(int(rollup.get("bytes") or 0)),
            figures.counted(int(rollup.get("files") or 0), "file"),
            figures.counted(int(rollup.get("dirs") or 0), "dir"),
            (screen.name(path), "dir" if "children" in document or path == b"/" else ""),
        ]
    )


def _stat_lines(call: Call, entry: Mapping[str, Any]) -> None:
    screen = call.screen
    owners = Owners(local=call.local)
    kind, mode = str(entry.get("type")), int(entry.get("mode") or 0)
    size = int(entry.get("size") or 0)
    low, high = (entry.get("observed") or [0, 0])[:2]
    rows: list[list[Cell]] = [
        ["path", (screen.name(raw(entry)), kind)],
        ["view", safe(str(entry.get("view")))],
        ["type", kind],
        ["size", f"{figures.size(size)} ({figures.count(size)} bytes)"],
        ["mode", f"{figures.permissions(kind, mode)} ({mode & 0o7777:04o})"],
        [
            "owner",
            f"{owners.user(int(entry.get('uid') or 0))}:{owners.group(int(entry.get('gid') or 0))}",
        ],
        ["links", f"{entry.get('nlink')}, inode {entry.get('ino')}"],
        ["modified", figures.exact(int(entry.get("mtime_ns") or 0))],
        ["changed", figures.exact(int(entry.get("ctime_ns") or 0))],
        ["seen", f"by {entry.get('origin')}, within {figures.span((high - low) / 1e6)}"],
    ]
    if entry.get("rollup"):
        rows.append(["below", totals(entry["rollup"])])
    if entry.get("flags"):
        rows.append(["flags", flags(entry)])
    screen.table([[(str(label), "dim"), value] for label, value in rows], right=">")


def _agreed(screen: Screen, question: str) -> bool:
    """Asks at the terminal.

    Raises:
        Failure: nobody is there to be asked.
    """
    if not sys.stdin.isatty():
        raise failure.usage(f"{question} Nobody is here to answer", remedy="give --yes")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
