"""`fustor view best`: the same path in all views of a forest; where is it, which copy is best."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import quote

import typer

from fustor_core.cli import failure, figures, quality
from fustor_core.cli.call import Call
from fustor_core.cli.names import quoted, safe
from fustor_core.cli.options import NeededPath
from fustor_core.cli.paths import inside_view, on_host
from fustor_core.cli.screen import Cell, Screen
from fustor_core.client import path_params
from fustor_core.problems import Problem

CRITERIA = ("complete", "file_count", "total_size", "latest_mtime")
HEAD = ("", "view", "files", "bytes", "newest", "complete", "doubts")
NS = 1_000_000_000

Document = Mapping[str, Any]


def join(group: typer.Typer) -> None:
    """Adds the command to ``fustor view``."""
    group.command("best")(view_best)


def view_best(
    ctx: typer.Context,
    path: NeededPath,
    by: Annotated[
        str | None,
        typer.Option(
            "--by", metavar="|".join(CRITERIA), help="What makes it best; else as configured."
        ),
    ] = None,
) -> int:
    """Say which view of a forest holds the best copy of a path.

    The forest is FOREST:/p, that of --view, or the only one. Exit 5: it is nowhere; 7: it was not
    found, but not all can tell.
    """
    call: Call = ctx.obj
    if by is not None and by not in CRITERIA:
        raise failure.usage(f"--by: no {by!r}", remedy=f"there are: {', '.join(CRITERIA)}")
    forest, place = _place(call, os.fsencode(path))
    address = f"/forests/{quote(forest, safe='')}/best"
    try:
        document = call.get(address, {**path_params(place), "by": by})
    except Problem as problem:
        if not call.settings.documents and "all" in problem.document:
            _tell(call.screen, problem.document)
            call.screen.flush()
        raise
    if call.settings.documents:
        call.screen.document(document)
    else:
        _tell(call.screen, document)
    return failure.OK


def _place(call: Call, argument: bytes) -> tuple[str, bytes]:
    """The forest that is meant, and the path in its views.

    A path on this host counts, too: that below the root of any of the forest's views.
    """
    forests = {str(f["forest"]): list(f["views"]) for f in call.get("/forests")["forests"]}
    prefix, colon, rest = argument.partition(b":/")
    if colon and os.fsdecode(prefix) in forests:
        return os.fsdecode(prefix), inside_view(b"/" + rest)
    forest = _forest(call.settings.view, forests)
    if call.local and argument:
        members = [view for view in call.views() if view.view in forests[forest]]
        found = on_host(argument, members, call.cwd())
        if found:
            return forest, found[0].path
    if not argument.startswith(b"/"):
        raise failure.usage(
            f"{quoted(argument)} is no path of a view", remedy="write /path, or FOREST:/path"
        )
    return forest, inside_view(argument)


def _forest(chosen: str | None, forests: Mapping[str, Sequence[str]]) -> str:
    known = f"forests here: {', '.join(forests) or 'none'}"
    if chosen is not None:
        if chosen not in forests:
            raise failure.Failure(
                failure.NOT_FOUND, "no-such-forest", f"no forest {chosen!r}", remedy=known
            )
        return chosen
    if not forests:
        raise failure.Failure(
            failure.NOT_FOUND,
            "no-such-forest",
            "there is no forest here",
            remedy="name some views as one below `forests:` in the configuration",
        )
    if len(forests) > 1:
        raise failure.usage("more than one forest could be meant", remedy=f"--view NAME; {known}")
    return next(iter(forests))


def _tell(screen: Screen, document: Document) -> None:
    """One row a member, the best marked."""
    best = (document.get("best") or {}).get("view")
    rows: list[list[Cell]] = [[(head, "dim") for head in HEAD]]
    for answer in document.get("all") or ():
        rows.append(_row(answer, best=answer.get("view") == best, ascii_only=screen.ascii_only))
    screen.table(rows, right="  >>")


def _row(answer: Document, *, best: bool, ascii_only: bool) -> list[Cell]:
    name: Cell = (safe(str(answer.get("view"))), "bold" if best else "")
    if answer.get("error"):
        return ["", name, "", "", "", "", (safe(str(answer["error"])), "red")]
    doubts = (safe("; ".join(quality.doubts(answer.get("quality")))), "yellow")
    rollup = answer.get("rollup")
    if rollup is None:
        word = "not there" if answer.get("existence") == "absent" else "not known"
        return ["", name, "", "", "", (word, "dim"), doubts]
    newest = rollup.get("newest_mtime_ns")
    complete = bool(answer["quality"].get("complete"))
    return [
        (("*" if ascii_only else "→") if best else "", "green"),
        name,
        figures.count(int(rollup["files"])),
        figures.size(int(rollup["bytes"])),
        "-" if newest is None else figures.moment(newest / NS),
        ("yes", "green") if complete else ("no", "yellow"),
        doubts,
    ]
