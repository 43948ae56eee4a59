"""`fustor key create|list|revoke|rotate`: who may come in over a network.

The server is asked where one runs; where none does, the files of the state directory are changed
under its lock.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fustor_core.cli import failure
from fustor_core.cli.call import Call
from fustor_core.cli.commands import group
from fustor_core.cli.figures import clock_time
from fustor_core.cli.names import safe
from fustor_core.cli.options import seconds
from fustor_core.cli.screen import Cell
from fustor_core.client import TimedOut
from fustor_core.errors import FustorError, Unreachable

if TYPE_CHECKING:
    from fustor_core.key_store import KeyStore

Document = dict[str, Any]
Act = Callable[["KeyStore"], Awaitable[Mapping[str, Any]]]
Id = Annotated[str, typer.Argument(metavar="ID", help="As `key list` has it.")]


def groups() -> dict[str, typer.Typer]:
    """The groups of this file, by name."""
    key = group("Make, list and end the keys with which others come in over a network.")
    key.command("create")(create)
    key.command("list")(list_keys)
    key.command("revoke")(revoke)
    key.command("rotate")(rotate)
    key.command("link")(link)
    return {"key": key}


def create(
    ctx: typer.Context,
    scope: Annotated[
        str, typer.Option("--scope", metavar="push,read,scan,admin", help="What it may do.")
    ] = "read",
    view: Annotated[
        list[str] | None,
        typer.Option(
            "--view", metavar="GLOB", help="For views named like this; else all. May be repeated."
        ),
    ] = None,
    pipe: Annotated[
        list[str] | None,
        typer.Option(
            "--pipe", metavar="GLOB", help="For pipes named like this; else all. May be repeated."
        ),
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(
            "--expires", metavar="DUR", help="It is good for so long; else until revoked."
        ),
    ] = None,
) -> int:
    """Make a key and print it, this once."""
    from fustor_core.keys import asked

    call: Call = ctx.obj
    lives_s = None if expires is None else seconds(expires, "--expires")
    if lives_s == 0:
        raise failure.usage(f"--expires {expires}: the key would be over at once")
    scopes = [word.strip() for word in scope.split(",") if word.strip()]
    access = asked(scopes, view or ["*"], pipe or ["*"])
    body = {
        "scopes": sorted(access.rights),
        "views": list(access.views),
        "pipes": list(access.pipes),
        "expires": lives_s,
    }
    made = _asked(
        call,
        "POST",
        "/keys",
        body,
        lambda store: store.create(access, lives_s=lives_s),
        told=("key-create", body),
    )
    return _tell_new(call, made, f"key {made['id']} may {', '.join(scopes)}")


def list_keys(ctx: typer.Context) -> int:
    """List the keys: what they may do, until when; no secrets."""
    call: Call = ctx.obj

    async def listed(store: KeyStore) -> Document:
        return {"keys": store.documents()}

    keys = _asked(call, "GET", "/keys", None, listed).get("keys") or []
    if call.settings.jsonl:
        for key in keys:
            call.screen.document(key)
    elif call.settings.json:
        call.screen.document({"keys": keys})
    elif keys:
        heads: list[Cell] = [
            (head, "dim") for head in ("id", "may", "views", "pipes", "made", "ends", "last used")
        ]
        call.screen.table([heads, *(_row(key) for key in keys)])
    else:
        call.screen.note("no keys; make one with `fustor key create`")
    return failure.OK


def revoke(ctx: typer.Context, key_id: Id) -> int:
    """End a key now, with the sessions and streams that it opened."""
    call: Call = ctx.obj
    path = f"/keys/{_quoted(key_id)}"
    told = _asked(
        call,
        "DELETE",
        path,
        None,
        lambda store: store.revoke(key_id),
        told=("key-revoke", {"id": key_id}),
    )
    if call.settings.documents:
        call.screen.document(told)
    else:
        call.screen.note(f"key {key_id} is revoked")
    return failure.OK


def rotate(
    ctx: typer.Context,
    key_id: Id,
    overlap: Annotated[
        str | None,
        typer.Option(
            "--overlap", metavar="DUR", help="The old key is good for so long; else it ends now."
        ),
    ] = None,
) -> int:
    """Make a new key with the rights of an old one, which ends; print it, this once."""
    call: Call = ctx.obj
    overlap_s = 0.0 if overlap is None else seconds(overlap, "--overlap")
    made = _asked(
        call,
        "POST",
        f"/keys/{_quoted(key_id)}/rotate",
        {"overlap": overlap_s},
        lambda store: store.rotate(key_id, overlap_s=overlap_s),
        told=("key-rotate", {"id": key_id, "overlap_s": overlap_s}),
    )
    return _tell_new(call, made, f"key {made['id']} takes the place of {key_id}")


def link(
    ctx: typer.Context,
    scope: Annotated[
        str, typer.Option("--scope", metavar="read,scan,admin", help="What may be done on it.")
    ] = "read,scan",
    view: Annotated[
        list[str] | None,
        typer.Option(
            "--view", metavar="GLOB", help="For views named like this; else all. May be repeated."
        ),
    ] = None,
) -> int:
    """Print a link to the page in the browser; it lets in once, within ten minutes."""
    call: Call = ctx.obj
    client = call.client()
    here = client.get("/status").get("urls") or () if call.local else [call.settings.server]
    addresses = [str(url) for url in here]
    if not addresses:
        raise failure.Failure(
            failure.FAILED,
            "not-reachable",
            "nothing listens on TCP here, so no browser can come",
            remedy="start with --listen 127.0.0.1:8102, or name an address in `receivers`",
        )
    scopes = [word.strip() for word in scope.split(",") if word.strip()]
    body = {"scopes": scopes, "views": view or ["*"], "pipes": ["*"]}
    made = client.ask("POST", "/login/links", body=body)
    links = [f"{address.rstrip('/')}/#code={made['code']}" for address in addresses]
    if call.settings.documents:
        call.screen.document({"links": links, "lives_s": made["lives_s"]})
        return failure.OK
    for one in links:
        call.screen.line(one)
    call.screen.note("it lets in once; the key that it gives is good for half a day")
    return failure.OK


def _asked(
    call: Call,
    method: str,
    path: str,
    body: Document | None,
    act: Act,
    *,
    told: tuple[str, Document] | None = None,
) -> Document:
    """The document of the server, or of the files where none runs.

    Args:
        act: the same on the files. told: name of the act and what it is about, for the audit log.
    """
    from fustor_core.state import StateDirectory

    state = StateDirectory(call.settings.home)
    if not call.local or state.socket("fusion").exists():
        try:
            return call.client().ask(method, path, body=body)
        except TimedOut:
            raise
        except Unreachable:
            if not call.local:
                raise  # else: what a process has left that was killed
    return _direct(state, act, told)


def _direct(state: Any, act: Act, told: tuple[str, Document] | None) -> Document:
    """What an act on the files gives; nobody else may use them meanwhile.

    A first key makes the state directory.

    Raises:
        StateInUse: a server runs, but cannot be asked. StateError: the files cannot be used.
    """
    from contextlib import ExitStack
    from importlib.metadata import version

    import anyio

    from fustor_core.acts import by_hand
    from fustor_core.key_store import KeyStore

    name, about = told or ("", {})
    with ExitStack() as held:
        store = KeyStore()
        kept = name == "key-create" or state.fusion.is_dir()
        if kept:
            state.prepare(version=version("fustor"))
            held.enter_context(state.lock("key", ("fusion",)))
            store = KeyStore(state.fusion)
            store.open()
        try:
            done = dict(anyio.run(_awaited, act, store))
        except FustorError as error:
            if name and kept:
                by_hand(state.fusion, name, about, error.message)
            raise
        if name and kept:
            by_hand(state.fusion, name, {**about, **_new_id(name, done)})
        return done


def _new_id(name: str, done: Document) -> Document:
    """What of the answer is written down."""
    field = {"key-create": "id", "key-rotate": "new_id"}.get(name)
    return {field: done["id"]} if field else {}


async def _awaited(act: Act, store: KeyStore) -> Mapping[str, Any]:
    return await act(store)


def _tell_new(call: Call, made: Document, told: str) -> int:
    """The key goes to stdout alone, so that it can go to a file."""
    if call.settings.documents:
        call.screen.document({"id": made["id"], "key": made["key"]})
        return failure.OK
    call.screen.line(made["key"])
    call.screen.note(
        f"{told}; it is not shown again\n"
        "  keep it where only you can read it, as with: (umask 077; fustor key create > FILE);\n"
        "  then ask with --server URL --key-file FILE"
    )
    return failure.OK


def _row(key: Document) -> list[Cell]:
    ends = [str(key[word]) for word in ("expires", "revoked") if key.get(word)]
    return [
        (safe(str(key.get("id"))), "bold"),
        safe(",".join(key.get("scopes") or ())),
        safe(",".join(key.get("views") or ())),
        safe(",".join(key.get("pipes") or ())),
        clock_time(str(key.get("created"))).partition(".")[0],
        clock_time(min(ends)) if ends else "never",
        clock_time(str(key["last_used"])) if key.get("last_used") else "never",
    ]


def _quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="")
