"""The read routes: one for each verb of `fustor_core.contracts.Query`.

An answer is one JSON document, or a stream of lines for ``find``, ``ls`` and ``changes``. What is
asked about and is not there is a 404 problem, except with ``stat``, which says so itself.
"""

from __future__ import annotations

import grp
import pwd
import time
from collections.abc import Callable
from typing import Any

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from fustor_core.client import BASE
from fustor_core.contracts import Ask, Page
from fustor_core.contracts import Query as Question
from fustor_core.errors import NoSuchView
from fustor_receiver_http.documents import Document
from fustor_receiver_http.parameters import (
    ID_MAX,
    LIMIT,
    LIMIT_MAX,
    BlindParameters,
    ChangesParameters,
    DuParameters,
    ExplainParameters,
    FindParameters,
    Paged,
    Parameters,
    Placed,
    StableParameters,
    TreeParameters,
    moment_ns,
)
from fustor_receiver_http.problems import ProblemResponse, malformed
from fustor_receiver_http.routes import Routes
from fustor_receiver_http.streams import NDJSON, SSE, Streams, accepted, closing, follow, pages

EXISTENCE = {"absent": "absent", "unknown": "unknown-path"}


def routes(ask: Ask, streams: Streams) -> Routes:
    """The routes below ``/views/{view}`` that read.

    Args:
        ask: the way to the answers.
        streams: those that are open.
    """
    router = Routes(prefix=f"{BASE}/views/{{view}}", tags=["read"])
    _lists(router, ask, streams)
    _entries(router, ask)

    @router.get("/find", summary="Entries that match a pattern and conditions")
    async def find(view: str, request: Request, asked: FindParameters) -> Response:
        streaming = accepted(request, NDJSON) == NDJSON
        query = Question(
            "find",
            asked.place(),
            limit=page_limit(asked.limit, streaming=streaming),
            cursor=asked.cursor,
            pattern=asked.wanted(),
            regex=asked.regex,
            whole_path=asked.whole_path,
            ignore_case=asked.ignore_case,
            size=asked.compared(),
            newer_ns=_moment(asked.newer),
            older_ns=_moment(asked.older),
            uid=await _number(asked.owner, "owner", lambda name: pwd.getpwnam(name).pw_uid),
            gid=await _number(asked.group, "group", lambda name: grp.getgrnam(name).gr_gid),
            types=asked.kinds(),
            suspect=asked.suspect,
            blind=asked.blind,
        )
        return await _answer(ask, streams, view, query, request, streaming=streaming)

    @router.get("/changes", summary="What changed since a cursor; follow=true stays open")
    async def changes(view: str, request: Request, asked: ChangesParameters) -> Response:
        kind = accepted(request, NDJSON, SSE)
        streaming = kind == NDJSON
        if asked.follow:
            since = asked.since or (request.headers.get("Last-Event-ID") if kind == SSE else None)
            return await follow(ask, streams, view, asked.place(), since, sse=kind == SSE)
        query = Question(
            "changes",
            asked.place(),
            limit=page_limit(asked.limit, streaming=streaming),
            since=asked.since,
        )
        return await _answer(ask, streams, view, query, request, streaming=streaming)

    return router


def _lists(router: Routes, ask: Ask, streams: Streams) -> None:
    """Routes whose answer is a page of entries."""

    @router.get("/ls", summary="The entries of a directory, by name in byte order")
    async def ls(view: str, request: Request, asked: Paged) -> Response:
        streaming = accepted(request, NDJSON) == NDJSON
        limit = page_limit(asked.limit, streaming=streaming)
        query = Question("ls", asked.place(), limit=limit, cursor=asked.cursor)
        return await _answer(ask, streams, view, query, request, streaming=streaming)

    def flagged(verb: str, summary: str) -> None:
        @router.get(f"/{verb}", summary=summary, name=verb)
        async def listed(view: str, request: Request, asked: Paged) -> Response:
            query = Question(
                verb, asked.place(), limit=page_limit(asked.limit), cursor=asked.cursor
            )
            return await _answer(ask, streams, view, query, request)

    flagged("suspects", "Entries that may be incomplete")
    flagged("debts", "Entries with conflicting evidence")

    @router.get("/blind-spots", summary="Entries whose last change no agent saw happen")
    async def blind(view: str, request: Request, asked: BlindParameters) -> Response:
        verb = "blind-directories" if asked.by_directory else "blind-spots"
        query = Question(verb, asked.place(), limit=page_limit(asked.limit), cursor=asked.cursor)
        return await _answer(ask, streams, view, query, request)


def _entries(router: Routes, ask: Ask) -> None:
    """Routes whose answer is about one path."""

    @router.get("/stat", summary="One entry, and whether it exists")
    async def stat(view: str, request: Request, asked: Placed) -> Response:
        return await _whole(ask, view, Question("stat", asked.place()), request)

    @router.get("/tree", summary="A directory and what is below it")
    async def tree(view: str, request: Request, asked: TreeParameters) -> Response:
        limit = page_limit(asked.limit)
        query = Question("tree", asked.place(), depth=asked.depth, limit=limit)
        return await _whole(ask, view, query, request)

    @router.get("/du", summary="Totals of a directory and of its subdirectories")
    async def du(view: str, request: Request, asked: DuParameters) -> Response:
        query = Question("du", asked.place(), depth=asked.depth)
        return await _whole(ask, view, query, request)

    @router.get("/stable", summary="Whether a scope is complete and quiet")
    async def stable(view: str, request: Request, asked: StableParameters) -> Response:
        query = Question("stable", asked.place(), quiet_s=asked.quiet_s)
        return await _whole(ask, view, query, request)

    @router.get("/explain", summary="The claims about a path and what became of each")
    async def explain(view: str, request: Request, asked: ExplainParameters) -> Response:
        query = Question("explain", asked.place(), limit=page_limit(asked.limit))
        return await _whole(ask, view, query, request)

    @router.get("", summary="The view itself")
    @router.get("/status", summary="The view itself")
    async def status(view: str, request: Request, asked: Parameters) -> Response:
        known = ask.views()
        for document in known:
            if document["view"] == view:
                return Document(document)
        raise NoSuchView(view, [str(document["view"]) for document in known])


def page_limit(limit: int | None, *, streaming: bool = False) -> int | None:
    """Items of a page; None, which is all of them, only for a stream.

    Args:
        limit: as asked. streaming: nothing is collected before it is sent.

    Raises:
        Answered: more than a document may hold.
    """
    if streaming:
        return limit
    if limit is not None and limit > LIMIT_MAX:
        raise malformed(
            f"limit: {limit} is more than {LIMIT_MAX}",
            remedy=f"read pages with cursor, or find, ls and changes with Accept: {NDJSON}",
        )
    return LIMIT if limit is None else limit


async def _answer(
    ask: Ask,
    streams: Streams,
    view: str,
    query: Question,
    request: Request,
    *,
    streaming: bool = False,
) -> Response:
    if not streaming:
        return await _whole(ask, view, query, request)
    source = ask.query(view, query)
    # the first page decides the status, so errors are told before the stream begins
    first = await anext(source, None)
    refusal = _missing(query, first, request) if first is not None else None
    if refusal is not None or first is None:
        async with closing(source):
            return refusal or Document({})
    return streams.open(pages(first, source))


async def _whole(ask: Ask, view: str, query: Question, request: Request) -> Response:
    """The answer as one document."""
    items: list[dict[str, Any]] = []
    last = Page([], document={})
    async with closing(ask.query(view, query)) as source:
        async for page in source:
            items.extend(page.items)
            last = page
            if page.document is None and await request.is_disconnected():
                break
    document = dict(last.document or {})
    if last.list_name:
        document[last.list_name] = items
    return _missing(query, last, request) or Document(document)


def _missing(query: Question, page: Page, request: Request) -> Response | None:
    """The 404 problem when what was asked about is not there, or may not be."""
    if query.verb == "stat" or page.document is None:
        return None
    slug = EXISTENCE.get(str(page.document.get("existence")))
    if slug is None:
        return None
    shown = query.path.decode(errors="backslashreplace")
    if slug == "absent":
        detail = f"{shown} is not there: its directory was listed whole without it"
        remedy = ""
    else:
        detail = f"whether {shown} is there is not known"
        remedy = "its directory is not listed whole; `quality` says why"
    fields = {**page.document}
    if page.list_name:
        fields[page.list_name] = page.items
    return ProblemResponse(slug, detail, remedy=remedy, instance=request.url.path, fields=fields)


def _moment(text: str | None) -> int | None:
    return None if text is None else moment_ns(text, time.time_ns())


async def _number(name: str | None, what: str, look: Callable[[str], int]) -> int | None:
    """The number of a user or group.

    Args:
        name: as asked, a name or a number. look: asks the name service of this host.

    Raises:
        Answered: unknown, or no number of that kind.
    """
    if name is None:
        return None
    if name.isascii() and name.isdigit():
        number = int(name) if len(name) <= len(str(ID_MAX)) else ID_MAX + 1
        if number > ID_MAX:
            raise malformed(f"{what}: {name} is larger than any id")
        return number
    try:
        # a name service may ask the network
        return await to_thread.run_sync(look, name)
    except (KeyError, ValueError) as error:
        raise malformed(
            f"{what}: no {name!r} on the server", remedy="give the number instead"
        ) from error
