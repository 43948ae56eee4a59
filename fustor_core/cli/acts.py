"""`fustor audit verify|show`: the audit log, read from its files; no server is asked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fustor_core.cli import failure, figures
from fustor_core.cli.call import Call
from fustor_core.cli.commands import group
from fustor_core.cli.names import safe
from fustor_core.cli.options import Limit
from fustor_core.cli.screen import Cell

if TYPE_CHECKING:
    from fustor_core.acts.chain import Link

Document = Mapping[str, Any]
STYLES = {"refused": "yellow", "failed": "red"}
HEADS: list[Cell] = [(head, "dim") for head in ("no.", "when", "who", "what", "of", "outcome")]

Role = Annotated[
    str | None,
    typer.Option(
        "--role", metavar="agent|fusion", help="Of this part; else fusion's where there is one."
    ),
]


def groups() -> dict[str, typer.Typer]:
    """The groups of this file, by name."""
    audit = group("Look at who did what, and whether that log is as it was written.")
    audit.command("show")(show)
    audit.command("verify")(verify)
    return {"audit": audit}


def show(
    ctx: typer.Context,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="DUR|TIME", help="Of the last 2h, or since 2026-11-21."),
    ] = None,
    actor: Annotated[
        str | None,
        typer.Option(
            "--actor", metavar="WHO", help="Of this key id, address, user, or way it came."
        ),
    ] = None,
    act: Annotated[
        str | None, typer.Option("--act", metavar="NAME", help="Acts of this name, as `reload`.")
    ] = None,
    limit: Limit = None,
    role: Role = None,
) -> int:
    """Show the log, oldest first: when, who, what, and what came of it."""
    call: Call = ctx.obj
    folder = _folder(call, role)
    found = list(_chosen(folder, None if since is None else _time(since), actor, act))
    if limit is not None:
        found = found[-limit:]
    if call.settings.jsonl:
        for record in found:
            call.screen.document(record)
    elif call.settings.json:
        call.screen.document({"records": found})
    elif found:
        call.screen.table([HEADS, *map(_row, found)], right=">")
    else:
        call.screen.note(f"no records in {safe(str(folder))}")
    return failure.OK


def verify(
    ctx: typer.Context,
    expect: Annotated[
        str | None,
        typer.Option(
            "--expect",
            metavar="HEAD",
            help="A head that this has told before: NUMBER:HASH or HASH.",
        ),
    ] = None,
    start: Annotated[
        int,
        typer.Option(
            "--from", min=1, metavar="N", help="From this record on; for one whose past is settled."
        ),
    ] = 1,
    role: Role = None,
) -> int:
    """Look whether every record is as it was written, and none is missing.

    Exit 9 names the first that was changed, removed, swapped or cut. Who can write the files could
    make another log: keep the head elsewhere that this tells, and give it back with --expect.
    """
    from fustor_core.acts import verify as looked

    call: Call = ctx.obj
    folder = _folder(call, role)
    found = looked(folder, None if expect is None else _head(expect), start)
    fault = found.fault
    if call.settings.documents:
        call.screen.document(found.document())
        return failure.OK if fault is None else failure.UNVERIFIED
    if fault is not None:
        raise failure.Failure(
            failure.UNVERIFIED,
            "unverified",
            f"the audit log {folder} is not as it was written: {fault.detail} ({fault.kind})",
            remedy="look with `fustor audit show` at what stands around it, and compare with a"
            " backup; after a kill the next start of fustor repairs a record that is cut short",
        )
    if not found.records:
        call.screen.note(f"no records in {safe(str(folder))}")
        return failure.OK
    many = figures.counted(found.records, "record")
    began, ended = (figures.clock_time(at) for at in (found.since, found.until))
    call.screen.line(f"{found.head.seq}:{found.head.hash}")
    call.screen.note(
        f"{many} as they were written, {found.first} to {found.head.seq}, {began} to {ended}\n"
        "  keep the head above elsewhere; `fustor audit verify --expect HEAD` shows that it stands",
        "green",
    )
    return failure.OK


def _folder(call: Call, role: str | None) -> Path:
    """Where the log is."""
    from fustor_core.acts.reading import FOLDER
    from fustor_core.state.home import PARTS

    if not call.local:
        raise failure.usage(
            "the audit log is read from its files, on the host of the server",
            remedy="ask there, without --server",
        )
    if role not in (None, *PARTS):
        raise failure.usage(f"--role {role}: it is agent or fusion")
    home = call.settings.home
    serves = (home / "fusion" / FOLDER).is_dir() or not (home / "agent" / FOLDER).is_dir()
    return home / (role or ("fusion" if serves else "agent")) / FOLDER


def _chosen(
    folder: Path, since: datetime | None, actor: str | None, act: str | None
) -> Iterator[Document]:
    from fustor_core.acts import records

    for record in records(folder):
        if act is not None and record.get("act") != act:
            continue
        if actor is not None and actor not in _names(record):
            continue
        if since is None or _at(record) >= since:
            yield record


def _at(record: Document) -> datetime:
    try:
        return datetime.fromisoformat(str(record.get("at")))
    except ValueError:
        return datetime.max.replace(tzinfo=UTC)  # a damaged one is rather shown than hidden


def _names(record: Document) -> set[str]:
    """Everything by which who did it may be called."""
    actor = record.get("actor")
    told = actor if isinstance(actor, Mapping) else {}
    names = {
        str(told[key]) for key in ("way", "key", "address", "uid") if told.get(key) is not None
    }
    user = _user(told.get("uid"))
    return names | ({user} if user else set())


def _user(uid: Any) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name if isinstance(uid, int) else ""
    except (KeyError, OverflowError):
        return ""


def _row(record: Document) -> list[Cell]:
    outcome = str(record.get("outcome") or "")
    why = f": {record['why']}" if record.get("why") else ""
    return [
        str(record.get("seq")),
        figures.clock_time(str(record.get("at"))).partition(".")[0],
        safe(_who(record)),
        (safe(str(record.get("act"))), "bold"),
        safe(_of(record.get("object"))),
        (safe(outcome + why), STYLES.get(outcome, "")),
    ]


def _who(record: Document) -> str:
    actor = record.get("actor")
    told: Document = actor if isinstance(actor, Mapping) else {}
    way = str(told.get("way"))
    if way == "key":
        return f"key {told.get('key')} from {told.get('address')}"
    if way == "network":
        return f"no key, from {told.get('address')}"
    if way in ("socket", "files"):
        uid = told.get("uid")
        return f"{_user(uid) or f'user {uid}'} ({way})"
    return "a signal" if way == "signal" else "fustor"


def _of(about: Any) -> str:
    """``view=data, path=/a``"""
    if not isinstance(about, Mapping):
        return ""
    return ", ".join(f"{key}={_short(value)}" for key, value in about.items() if value != [])


def _short(value: Any) -> str:
    if isinstance(value, list):
        return "+".join(map(_short, value))
    if isinstance(value, Mapping):
        return f"({_of(value)})"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _time(text: str) -> datetime:
    """A moment: so long ago, or a date with or without its time; local where it names no zone."""
    from fustor_core.units import parse_duration

    try:
        return datetime.now(UTC) - timedelta(seconds=parse_duration(text))
    except (ValueError, OverflowError):
        pass
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError as error:
        raise failure.usage(f"--since {text}: it is a time, or a duration such as 2h") from error


def _head(text: str) -> Link:
    from fustor_core.acts.chain import Link

    found = re.fullmatch(r"(?:([0-9]{1,18}):)?([0-9a-f]{64})", text.strip())
    if found is None:
        raise failure.usage(
            f"--expect {safe(text)}: it is a head as `fustor audit verify` tells it, NUMBER:HASH"
        )
    return Link(int(found[1] or 0), found[2])
