"""`fustor view explain|suspects|debts`: why an answer is as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer

from fustor_core.cli import failure, figures, quality
from fustor_core.cli.call import Call
from fustor_core.cli.entries import LONG_RIGHT, Owners, long_rows
from fustor_core.cli.names import safe
from fustor_core.cli.options import Cursor, Limit, NeededPath, Path
from fustor_core.cli.screen import Cell, Screen
from fustor_core.cli.view_entries import EXISTENCE_EXITS, entries_as_lines, tell_more

VERDICTS = {
    "accepted": "green",
    "older": "dim",
    "same": "dim",
    "debt": "yellow",
    "quarantined": "red",
    "stale_epoch": "dim",
}
LISTS = {
    "suspects": "List entries that may still be being written.",
    "debts": "List entries with conflicting evidence.",
}
NOTHING = {
    "suspects": "nothing is suspect",
    "debts": "nothing is disputed",
}


def join(group: typer.Typer) -> None:
    """Adds the commands of this file to ``fustor view``."""
    group.command("explain")(view_explain)
    for question, help_text in LISTS.items():
        group.command(question, help=help_text)(_flagged(question))


def view_explain(
    ctx: typer.Context,
    path: NeededPath,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="At most so many claims.")] = 50,
) -> int:
    """Tell which claims led to what the view says.

    One line a claim: when it came, what it said, what became of it, and by which rule.
    """
    call: Call = ctx.obj
    place = call.place(path)
    document = call.answer(place, "explain", {"limit": limit})
    if call.settings.documents:
        call.screen.document(document)
        return failure.OK
    screen = call.screen
    existence = str(document.get("existence"))
    claims = document.get("claims") or []
    screen.line(
        f"{screen.name(place.path)} in view {safe(place.view)}: "
        f"{screen.painted(safe(existence), 'bold')}"
    )
    entry = document.get("entry")
    if entry:
        owners = Owners(local=call.local)
        screen.table(long_rows(screen, [entry], owners, key="path"), right=LONG_RIGHT)
    screen.line(
        f"{figures.counted(len(claims), 'claim')}, the latest last:"
        if claims
        else "no claims are remembered"
    )
    found = document.get("quality") or {}
    screen.table([_claim(claim, found) for claim in _by_time(claims)])
    quality.tell(screen, found)
    return EXISTENCE_EXITS.get(existence, failure.PARTIAL) if not entry else failure.OK


def _by_time(claims: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return sorted(claims, key=lambda claim: int(claim.get("at_us") or 0))


def _claim(claim: Mapping[str, Any], found: Mapping[str, Any]) -> list[Cell]:
    """When it came, what it said, and what became of it."""
    low, high = (claim.get("interval") or [0, 0])[:2]
    verdict = str(claim.get("verdict"))
    who = f"{claim['agent']} #{claim.get('seq')}" if claim.get("agent") else "-"
    rule = str(claim.get("rule") or "")
    by = f", by {claim['by']}" if claim.get("by") else ""
    return [
        f"  {_moment(int(claim.get('at_us') or 0), found)}",
        safe(str(claim.get("origin"))),
        safe(who),
        f"seen within {figures.span((int(high) - int(low)) / 1e6)}",
        _value(claim.get("value")),
        (safe(verdict), VERDICTS.get(verdict, "")),
        safe(f"{rule}{by}"),
    ]


def _value(value: Any) -> str:
    """What a claim said: nothing there, or a few columns of the row."""
    if value is None:
        return "unknown"
    if not isinstance(value, Mapping):
        return safe(str(value))
    if value.get("type") is None:
        return safe(str(value.get("existence") or "absent"))
    if value["type"] == "dir":
        return "dir"
    changed = figures.moment(int(value.get("mtime_ns") or 0) / 1e9)
    return f"{safe(str(value['type']))}, {figures.size(int(value.get('size') or 0))}, {changed}"


def _moment(fusion_us: int, found: Mapping[str, Any]) -> str:
    """Fusion time as local wall time, reckoned back from the moment of the answer."""
    try:
        as_of = datetime.fromisoformat(str(found.get("as_of"))).astimezone()
        at = as_of - timedelta(microseconds=int(found["as_of_us"]) - fusion_us)
    except (KeyError, ValueError, OverflowError):
        return f"{fusion_us / 1e6:.3f} s"
    same_day = at.date() == as_of.date()
    return f"{at:%H:%M:%S}.{at.microsecond // 1000:03d}" if same_day else f"{at:%Y-%m-%d %H:%M:%S}"


def _flagged(question: str) -> Callable[..., int]:
    def listed(
        ctx: typer.Context, path: Path = None, limit: Limit = None, cursor: Cursor = None
    ) -> int:
        call: Call = ctx.obj
        place = call.place(path)
        document = call.pages(place, question, "entries", {}, limit=limit, cursor=cursor)
        if call.settings.jsonl:
            entries_as_lines(call.screen, document, "entries")
        elif call.settings.json:
            call.screen.document(document)
        else:
            _tell(call.screen, document, question, local=call.local)
        return failure.OK

    return listed


def _tell(screen: Screen, document: Mapping[str, Any], question: str, *, local: bool) -> None:
    entries = document["entries"]
    owners = Owners(local=local)
    screen.table(long_rows(screen, entries, owners, key="path"), right=LONG_RIGHT)
    if not entries:
        screen.note(NOTHING[question])
    tell_more(screen, document)
    quality.tell(screen, document.get("quality"))
