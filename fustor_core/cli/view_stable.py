"""`fustor view stable|wait`: is it complete and quiet, now or at last."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from fustor_core.cli import failure, figures, quality
from fustor_core.cli.call import Call
from fustor_core.cli.names import quoted, raw, safe
from fustor_core.cli.options import Path, seconds
from fustor_core.cli.screen import Cell, Screen
from fustor_core.cli.waiting import Goal, wait_for
from fustor_core.client import TIMEOUT_S

EXAMPLES = 3
KINDS = {
    "suspect": "may still be being written",
    "debt": "disputed",
    "unscanned": "not listed",
    "recent_change": "changed just now",
    "stale": "nobody watches now",
    "frozen": "frozen until somebody confirms",
}

VERDICTS = {failure.OK: ("stable", "green"), failure.FAILED: ("not stable", "red")}


def join(group: typer.Typer) -> None:
    """Adds the commands of this file to ``fustor view``."""
    group.command("stable")(view_stable)
    group.command("wait")(view_wait)


def view_stable(
    ctx: typer.Context,
    path: Path = None,
    quiet_for: Annotated[
        str, typer.Option("--for", metavar="DUR", help="How long nothing may have changed.")
    ] = "30s",
) -> int:
    """Say whether a directory is complete and quiet.

    Exit 0: yes; 1: no; 5: it is not there; 7: it cannot be said.
    """
    call: Call = ctx.obj
    place = call.place(path)
    document = call.answer(place, "stable", {"for": seconds(quiet_for, "--for")})
    if call.settings.documents:
        call.screen.document(document)
    else:
        tell_stable(call.screen, document)
    return stable_exit(document)


def view_wait(
    ctx: typer.Context,
    path: Path = None,
    stable_for: Annotated[
        str, typer.Option(metavar="DUR", help="How long nothing may have changed.")
    ] = "30s",
    exists: Annotated[bool, typer.Option("--exists", help="Only until it is there.")] = False,
    gone: Annotated[bool, typer.Option("--gone", help="Only until it is proven absent.")] = False,
) -> int:
    """Wait until a directory is complete and quiet.

    One that is not there is waited for. Exit 124: --timeout ran out; 4: the server is lost.
    """
    call: Call = ctx.obj
    if exists and gone:
        raise failure.usage("--exists and --gone exclude each other")
    goal = Goal(
        "exists" if exists else "gone" if gone else "stable",
        seconds(stable_for, "--stable-for"),
    )
    call.request_s = TIMEOUT_S
    place = call.place(path)
    end = wait_for(call.client(), place, goal, timeout_s=call.settings.timeout_s)
    if call.settings.documents:
        call.screen.document(end.document)
    elif end.reached and goal.kind == "stable":
        tell_stable(call.screen, end.document)
    elif end.reached:
        call.screen.note(f"{quoted(place.path)} is {'there' if exists else 'gone'}")
    if end.reached:
        return failure.OK
    if not call.settings.documents:
        call.screen.say(f"fustor: not within the timeout: {quoted(place.path)}")
        for line in _why_not(end.document):
            call.screen.say(f"  {line}")
    return failure.OUT_OF_TIME


def stable_exit(document: Mapping[str, Any]) -> int:
    """0 stable, 1 not, 7 cannot be said."""
    stable = document.get("stable")
    if stable is True:
        return failure.OK
    return failure.FAILED if stable is False else failure.PARTIAL


def tell_stable(screen: Screen, document: Mapping[str, Any]) -> None:
    """The verdict, since when, and what speaks against it."""
    verdict = VERDICTS.get(stable_exit(document), ("cannot be said", "yellow"))
    quiet = document.get("quiet_for_s")
    since = f", quiet for {figures.span(float(quiet))}" if quiet is not None else ""
    screen.line(screen.painted(*verdict) + since)
    last = document.get("last_change")
    if last:
        at, origin = figures.clock_time(str(last.get("at"))), safe(str(last.get("origin")))
        screen.line(f"last change: {screen.name(raw(last))} at {at} ({origin})")
    rows: list[list[Cell]] = [_reason(screen, reason) for reason in document.get("reasons") or ()]
    screen.table(rows, right=" >")
    quality.tell(screen, document.get("quality"))


def _reason(screen: Screen, reason: Mapping[str, Any]) -> list[Cell]:
    kind, number = str(reason.get("kind")), int(reason.get("count") or 0)
    examples = [_example(example) for example in reason.get("examples") or ()]
    shown = ", ".join(screen.name(path) for path in examples[:EXAMPLES])
    more = number - len(examples[:EXAMPLES])
    rest = f" and {more:,} more" if examples and more > 0 else ""
    return [(f"  {KINDS.get(kind, safe(kind))}", "yellow"), figures.count(number), shown + rest]


def _example(example: Any) -> bytes:
    """Examples are paths: text, or ``{path_b64}`` where they are no text."""
    return raw(example) if isinstance(example, Mapping) else raw({"path": example})


def _why_not(document: Mapping[str, Any]) -> list[str]:
    if "existence" in document:
        return [f"it is {document['existence']}"]
    lines = []
    for reason in document.get("reasons") or ():
        kind = str(reason.get("kind"))
        examples = [quoted(_example(example)) for example in reason.get("examples") or ()]
        named = f": {', '.join(examples[:EXAMPLES])}" if examples else ""
        lines.append(f"{KINDS.get(kind, kind)} ({reason.get('count')}){named}")
    return lines
