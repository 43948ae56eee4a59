"""`fustor view find`: entries by name, size, time, owner and type, as they are found."""

from __future__ import annotations

import json
import os
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

import typer

from fustor_core.cli import failure, quality
from fustor_core.cli.call import Call, address
from fustor_core.cli.options import Cursor, Limit
from fustor_core.cli.paths import Place
from fustor_core.client import path_params
from fustor_core.errors import Unreachable

TYPES = {
    "f": "file",
    "d": "dir",
    "l": "symlink",
    "p": "fifo",
    "s": "socket",
    "c": "char",
    "b": "block",
}


def join(group: typer.Typer) -> None:
    """Adds the command to ``fustor view``."""
    group.command("find")(view_find)


Text = str | None
Pattern = Annotated[
    str, typer.Argument(metavar="PATTERN", help="Glob on the name: '*.log', 'run-??'.")
]
Scope = Annotated[Text, typer.Option("--in", metavar="PATH", help="Look only below this.")]
Regex = Annotated[bool, typer.Option("--regex", help="PATTERN is an RE2 expression.")]
Whole = Annotated[bool, typer.Option("--path", help="Match the view path; ** crosses slashes.")]
NoCase = Annotated[bool, typer.Option("--ignore-case", help="a matches A.")]
Size = Annotated[
    Text, typer.Option(metavar="[+-]SIZE", help="+1G: larger, -1G: smaller, 1G: exactly.")
]
Newer = Annotated[Text, typer.Option(metavar="DUR|TIME", help="Modified within, or since.")]
Older = Annotated[Text, typer.Option(metavar="DUR|TIME", help="Modified longer ago, or before.")]
Owner = Annotated[Text, typer.Option(metavar="U", help="User, name or number.")]
Group = Annotated[Text, typer.Option(metavar="G", help="Group, name or number.")]
Kind = Annotated[
    Text, typer.Option("--type", metavar="f|d|l|p|s|c|b", help="Only entries of this type.")
]
Suspect = Annotated[bool, typer.Option("--suspect", help="Only perhaps incomplete ones.")]
Blind = Annotated[bool, typer.Option("--blind", help="Only those that nobody saw change.")]
Null = Annotated[bool, typer.Option("-0", "--null", help="End each path with NUL.")]


def view_find(
    ctx: typer.Context,
    pattern: Pattern,
    scope: Scope = None,
    regex: Regex = False,
    whole: Whole = False,
    ignore_case: NoCase = False,
    size: Size = None,
    newer: Newer = None,
    older: Older = None,
    owner: Owner = None,
    group: Group = None,
    kind: Kind = None,
    suspect: Suspect = False,
    blind: Blind = False,
    limit: Limit = None,
    cursor: Cursor = None,
    null: Null = False,
) -> int:
    """Find entries by name and attributes.

    No match is no failure. Paths go out as they are found.
    """
    call: Call = ctx.obj
    place = call.place(scope)
    filters: dict[str, Any] = {
        **path_params(os.fsencode(pattern), "pattern"),
        "regex": regex or None,
        "whole_path": whole or None,
        "ignore_case": ignore_case or None,
        "size": size,
        "newer": newer,
        "older": older,
        "owner": _number(owner, "--owner", local=call.local),
        "group": _number(group, "--group", local=call.local),
        "type": _type(kind),
        "suspect": suspect or None,
        "blind": blind or None,
    }
    if call.settings.json:
        found = call.pages(place, "find", "matches", filters, limit=limit, cursor=cursor)
        call.screen.document(found)
        return failure.OK
    _stream(call, place, {**filters, "limit": limit, "cursor": cursor}, null=null)
    return failure.OK


def _stream(call: Call, place: Place, filters: Mapping[str, Any], *, null: bool) -> None:
    """Shows matches as they come, then how far they can be trusted.

    Raises:
        Unreachable: the answer ended before its end.
    """
    screen = call.screen
    summary: dict[str, Any] | None = None
    shown = _reader(call, null=null)
    for line in _matches(call, place, filters):
        if line.startswith(b'{"summary"'):
            summary = json.loads(line)["summary"]
        if call.settings.jsonl:
            screen.write(line + b"\n")
        elif summary is None:
            screen.write(shown(line))
    if summary is None:
        raise Unreachable("the answer broke off before its end", remedy="ask again")
    if not call.settings.jsonl:
        if summary.get("next_cursor"):
            screen.note(f"there is more; go on with: --cursor {summary['next_cursor']}")
        quality.tell(screen, summary.get("quality"))


def _matches(call: Call, place: Place, filters: Mapping[str, Any]) -> Iterator[bytes]:
    client = call.client()
    params = {**path_params(place.path), **filters}
    with client.stream(address(place.view, "find"), params, silence_s=client.timeout_s) as batches:
        for lines in batches:
            yield from lines


def _reader(call: Call, *, null: bool) -> Callable[[bytes], bytes]:
    """Makes what goes out of a line: the path, raw into a pipe, quoted on a terminal.

    Only what is shown is read: there may be millions of lines.
    """
    import msgspec

    class Match(msgspec.Struct):
        type: str = ""
        path: str = ""
        path_b64: str | None = None

    decode = msgspec.json.Decoder(Match).decode
    screen = call.screen
    end = b"\0" if null else b"\n"

    def shown(line: bytes) -> bytes:
        match = decode(line)
        path = match.path.encode() if match.path_b64 is None else b64decode(match.path_b64)
        if null or not screen.terminal:
            return path + end
        return screen.painted(screen.name(path), match.type).encode() + end

    return shown


def _type(kind: str | None) -> str | None:
    if kind is None:
        return None
    if kind not in TYPES and kind not in TYPES.values():
        known = ", ".join(f"{letter} ({name})" for letter, name in TYPES.items())
        raise failure.usage(f"--type {kind}: no such type", remedy=f"one of {known}")
    return TYPES.get(kind, kind)


def _number(name: str | None, option: str, *, local: bool) -> str | None:
    """Number of a user or group of this host; a remote server is asked with what was typed."""
    if name is None or name.isdecimal() or not local:
        return name
    import grp
    import pwd

    try:
        if option == "--owner":
            return str(pwd.getpwnam(name).pw_uid)
        return str(grp.getgrnam(name).gr_gid)
    except KeyError as error:
        raise failure.usage(f"{option} {name}: no such name on this host") from error
