"""`fustor view watch|changes`: what changed, as it happens or since a cursor."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from fustor_core.cli import failure, figures
from fustor_core.cli.call import PAGE_ROWS, Call, address
from fustor_core.cli.entries import entry_size
from fustor_core.cli.names import raw, safe
from fustor_core.cli.options import Path
from fustor_core.cli.paths import Place
from fustor_core.cli.screen import Screen
from fustor_core.cli.waiting import LOST_S_MAX, Lost
from fustor_core.client import path_params
from fustor_core.errors import SlowDown, Unreachable

STYLES = {"created": "green", "deleted": "red", "moved": "cyan", "resync": "yellow"}
DEFAULT_LIMIT = 1000

Since = Annotated[
    str | None, typer.Option("--since", metavar="C", help="Begin at this cursor; else now.")
]


def join(group: typer.Typer) -> None:
    """Adds the commands of this file to ``fustor view``."""
    group.command("watch")(view_watch)
    group.command("changes")(view_changes)


def view_watch(ctx: typer.Context, path: Path = None, since: Since = None) -> int:
    """Print changes as they happen, until stopped."""
    call: Call = ctx.obj
    place = call.place(path)
    cursor = since or str(call.answer(place, "changes").get("cursor") or "")
    screen = call.screen
    if call.settings.documents:
        screen.document({"cursor": cursor})
    else:
        screen.note(f"watching {place.view}:{screen.talked(place.path)} from cursor {cursor}")
    screen.flush()
    watch = _Watch(call, place, cursor)
    while True:
        try:
            watch.read()
        except (Unreachable, SlowDown) as error:
            if watch.lost.retry(error):
                screen.note(f"{error.message}; trying again", "yellow")


def view_changes(
    ctx: typer.Context,
    path: Path = None,
    since: Since = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="At most so many.")] = (
        DEFAULT_LIMIT
    ),
) -> int:
    """Print what changed since a cursor.

    Without one, only the current cursor. Exit 1: the cursor is too old.
    """
    call: Call = ctx.obj
    place = call.place(path)
    screen = call.screen
    document = _collected(call, place, since, limit)
    if call.settings.json:
        screen.document(document)
        return failure.OK
    for change in document["changes"]:
        tell_change(screen, change, as_document=call.settings.jsonl)
    if call.settings.jsonl:
        rest = {key: document[key] for key in document if key != "changes"}
        screen.document({"summary": rest})
    else:
        screen.flush()
        more = "; there is more" if document.get("more") else ""
        screen.note(f"next: --since {document.get('cursor')}{more}")
    return failure.OK


def tell_change(screen: Screen, change: Mapping[str, Any], *, as_document: bool) -> None:
    """One change as a line: when, what, where, and how large it is now."""
    if as_document:
        screen.document(change)
        return
    kind = str(change.get("kind"))
    at = figures.clock_time(str(change.get("at") or ""))
    path = screen.name(raw(change))
    if kind == "moved":
        arrow = "->" if screen.ascii_only else "→"
        path = f"{screen.name(raw(change, 'from_path'))} {arrow} {path}"
    entry = change.get("entry") or {}
    size = "" if entry.get("type") in (None, "dir") else f"  {figures.size(entry_size(entry))}"
    flags = f"  [{', '.join(map(str, entry['flags']))}]" if entry.get("flags") else ""
    shown = screen.painted(f"{safe(kind):<8}", STYLES.get(kind, ""))
    screen.line(f"{at}  {shown}  {path}{size}{screen.painted(flags, 'yellow')}")


def _collected(call: Call, place: Place, since: str | None, limit: int) -> dict[str, Any]:
    """Pages of changes in one document."""
    found: list[Any] = []
    while True:
        asked = {"since": since, "limit": min(limit - len(found), PAGE_ROWS)}
        page = call.answer(place, "changes", asked)
        found += page.get("changes") or []
        since = page.get("cursor")
        if not page.get("more") or not page.get("changes") or len(found) >= limit:
            return {**page, "changes": found}


class _Watch:
    """One stream of changes after the other, each from where the last one ended."""

    def __init__(self, call: Call, place: Place, cursor: str) -> None:
        self._call = call
        self._place = place
        self._cursor = cursor
        self.lost = Lost(LOST_S_MAX, known=True)

    def __repr__(self) -> str:
        return f"<_Watch {self._place} at {self._cursor}>"

    def read(self) -> None:
        """Prints what comes, until the stream ends.

        Raises:
            Unreachable: the stream has ended, or cannot be opened.
        """
        client, screen = self._call.client(), self._call.screen
        params = {**path_params(self._place.path), "follow": True, "since": self._cursor}
        where = address(self._place.view, "changes")
        with client.stream(where, params, silence_s=None) as batches:
            for lines in batches:
                self.lost.found()
                for line in lines:
                    change = json.loads(line)
                    self._cursor = str(change.get("cursor") or self._cursor)
                    if "kind" in change:
                        tell_change(screen, change, as_document=self._call.settings.documents)
                screen.flush()
        raise Unreachable("the server ended the stream", remedy="is it still running?")
