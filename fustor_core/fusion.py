"""Fusion: all views of this process, the way in (`Accept`) and the way to the answers (`Ask`)."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

import anyio
import anyio.abc
import anyio.lowlevel

from fustor_core import sights, tracing
from fustor_core.acts import Act, Clerk
from fustor_core.claims import Ack, Batch
from fustor_core.config import State
from fustor_core.contracts import (
    HERE,
    Access,
    Answer,
    Asset,
    Caller,
    Grant,
    Hello,
    Page,
    Pulse,
    Query,
)
from fustor_core.documents import job_document, session_document, with_path
from fustor_core.errors import (
    NoSuchJob,
    NoSuchView,
    QueryError,
    SessionObsoletedError,
    Unauthorized,
)
from fustor_core.fusion_pipe import FusionPipeline
from fustor_core.jobs import Job
from fustor_core.key_store import KeyStore
from fustor_core.keys import asked
from fustor_core.vouchers import Vouchers

FOLLOW_PAUSE_S = 0.010, 0.5
FOLLOW_REST = 3  # for so many times as long as the telling took, others have their turn
FOLLOW_PAGE = 1000
CONSENTED = frozenset({"scan", "confirm", "drop", "pause", "resume", "restart"})
"""What hooks may veto; never what ends the program, or what an agent tells."""
STIRRING = frozenset({"scan", "cancel", "confirm"})  # other commands move machines, or nothing
JOBS_IN_BRIEF = 50
LINK_S = 600.0  # a link to the page has to be followed within this time
LOGIN_S = 43_200.0  # for so long the key is good that it gives

Do = Callable[[Mapping[str, Any]], Awaitable[dict[str, Any]]]


class Fusion:
    """All views; implements `contracts.Accept` and `contracts.Ask`.

    Args:
        pipelines: by view name; opened.
        outer: commands that are not fusion's own (pipes, stop, reload, plugins, machines, config):
            name → coroutine function of the arguments. The engine gives them.
        about: more fields for `status`, e.g. home, version and pipes.
        keys: who may come in over a network; opened. None: nobody.
        assets: gives the files that plugins have for browsers.
        vis_update_rate: gives the configured one, in Hz.
        clerk: writes down who did what.
    """

    def __init__(
        self,
        pipelines: Mapping[str, FusionPipeline],
        *,
        outer: Mapping[str, Do] | None = None,
        about: Callable[[], dict[str, Any]] = dict,
        keys: KeyStore | None = None,
        assets: Callable[[], Sequence[Asset]] = tuple,
        vis_update_rate: Callable[[], float] = lambda: State().vis_update_rate,
        clerk: Clerk | None = None,
    ) -> None:
        self.pipelines = dict(pipelines)
        self.outer = dict(outer or {})
        self.keys = keys or KeyStore()
        self.clerk = clerk or Clerk()
        self._about, self._assets, self._vis_update_rate = about, assets, vis_update_rate
        self.consent: Callable[[str, Mapping[str, Any]], Awaitable[None]] = _no_objection
        self._links: Vouchers[Access] = Vouchers(LINK_S)
        self._stirs = 0
        self._stirring = anyio.Event()
        self._started = time.monotonic()
        self._own: dict[str, Do] = {
            "sessions": self._sessions,
            "scan": self._scan,
            "jobs": self._jobs,
            "job": self._job,
            "cancel": self._cancel,
            "confirm": self._confirm,
            "keys": self._list_keys,
            "key-create": self._create_key,
            "key-revoke": self._revoke_key,
            "key-rotate": self._rotate_key,
            "link": self._make_link,
            "login": self._login,
        }

    def __repr__(self) -> str:
        return f"<Fusion views={sorted(self.pipelines)}>"

    # ---- Accept

    async def open(self, hello: Hello, caller: Caller = HERE) -> Grant:
        """Open a session with the view that the pipe names."""
        pipeline = self._pipeline(hello.view)
        bound = pipeline.keeping.roll.key_of(hello.agent_id)
        if bound and not self.keys.lasts(bound):
            pipeline.standing.release(bound)  # else no key could ever take the place of another
        grant = await pipeline.open_session(hello, caller)
        if caller.access.key_id:
            about = {"view": hello.view, "agent": hello.agent_id, "pipe": hello.pipe}
            self.clerk.noted(Act("session-open", about))
        return grant

    async def beat(self, session_id: str, pulse: Pulse, caller: Caller = HERE) -> Answer:
        """A heartbeat."""
        return await self._session(session_id).beat(session_id, pulse, caller)

    async def push(self, session_id: str, batch: Batch, body: bytes, caller: Caller = HERE) -> Ack:
        """A batch; durable and applied when this returns."""
        pipeline = self._session(session_id)
        with tracing.span("fustor.take", view=pipeline.options.view, seq=batch.seq):
            ack = await pipeline.push(session_id, batch, body, caller)
        self.stir()
        return ack

    async def close(self, session_id: str, caller: Caller = HERE) -> None:
        """End a session; unknown ones too."""
        pipeline = self._find(session_id)
        if pipeline is not None:
            await pipeline.close_session(session_id, caller)

    async def summoned(self, session_id: str) -> None:
        """Return when the session should come by for commands before its next heartbeat is due."""
        await self._session(session_id).standing.summons.called(session_id)

    def _find(self, session_id: str) -> FusionPipeline | None:
        views = self.pipelines.values()
        return next((v for v in views if v.standing.sessions.knows(session_id)), None)

    def _session(self, session_id: str) -> FusionPipeline:
        pipeline = self._find(session_id)
        if pipeline is None:
            raise SessionObsoletedError(f"session {session_id!r} is not known", reason="unknown")
        return pipeline

    def _pipeline(self, view: str) -> FusionPipeline:
        found = self.pipelines.get(view)
        if found is None:
            raise NoSuchView(view, sorted(self.pipelines))
        return found

    # ---- Ask

    def access(self, bearer: str) -> Access:
        """What a bearer key may do.

        Raises:
            Unauthorized: it is not known, expired or revoked.
        """
        return self.keys.access(bearer)

    async def ended(self, key_id: str) -> None:
        """Return when a key is good no longer; "" never is. `keep_keys` must run."""
        await self.keys.ended(key_id)

    async def keep_keys(self) -> None:
        """End the sessions of each key that ends, until cancelled."""
        try:
            await self.keys.run(self.revoke)
        finally:
            with anyio.CancelScope(shield=True):
                await self.keys.write_uses()

    async def revoke(self, key_id: str) -> None:
        """A key is good no longer: its sessions end in every view."""
        self.clerk.note("key-end", id=key_id)
        for pipeline in list(self.pipelines.values()):
            await pipeline.revoke(key_id)

    async def query(self, view: str, query: Query) -> AsyncIterator[Page]:
        """Pages of an answer, giving way to others between two pages."""
        pipeline = self._pipeline(view)
        for page in pipeline.view.read(query, pipeline.moment()):
            if page.document is not None and query.verb == "explain":
                claims = page.document.setdefault("claims", [])
                claims.extend(pipeline.history(query))
            if query.verb in sights.VERBS:
                told = sights.Sights(pipeline.session_list())
                told.tell(page.items, directories=query.verb != "blind-spots")
            yield page
            await anyio.lowlevel.checkpoint()

    async def follow(
        self, view: str, path: bytes, since: str | None
    ) -> AsyncIterator[list[dict[str, Any]]]:
        """Changes at and below a path as they come; the first item is ``[{"cursor": …}]``."""
        pipeline = self._pipeline(view)
        cursor = since
        first = True
        while True:
            fed, began_s = pipeline.fed, anyio.current_time()
            more = True
            while more:
                query = Query("changes", path, limit=FOLLOW_PAGE, since=cursor)
                items: list[dict[str, Any]] = []
                document: dict[str, Any] = {}
                async for page in self.query(view, query):
                    items.extend(page.items)
                    document = page.document or document
                cursor, more = document["cursor"], bool(document.get("more"))
                if first:
                    yield [{"cursor": since if since is not None else cursor}]
                    first = False
                if items:
                    yield items
            told_s = anyio.current_time()
            await fed.wait()  # many batches, one wake-up
            least_s, most_s = FOLLOW_PAUSE_S
            pause_s = min(most_s, max(least_s, FOLLOW_REST * (told_s - began_s)))
            await anyio.sleep(max(0.0, told_s + pause_s - anyio.current_time()))

    def views(self) -> list[dict[str, Any]]:
        """ViewStatus of every view."""
        return [self._view_status(name) for name in sorted(self.pipelines)]

    def status(self) -> dict[str, Any]:
        """The document of `fustor status`."""
        return {
            "pid": os.getpid(),
            "uptime_s": round(time.monotonic() - self._started, 3),
            **self._about(),
            "views": self.views(),
        }

    async def command(self, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Do what a person asks for.

        Raises:
            QueryError: there is no such command here. Vetoed: a hook does not want it.
        """
        return await self.clerk.attend(name, arguments, partial(self._do, name, arguments))

    async def _do(self, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        act = self._own.get(name) or self.outer.get(name)
        if act is None:
            raise QueryError(f"{name} cannot be asked for here")
        if name in CONSENTED:
            await self.consent(name, arguments)
        done = await act(arguments)
        if name in STIRRING:
            self.stir()
        return done

    def refused(self, request: str, why: str) -> None:
        """A receiver has refused a request."""
        self.clerk.refused(request, why)

    def assets(self) -> Sequence[Asset]:
        """The files that plugins have for browsers."""
        return self._assets()

    @property
    def vis_update_rate(self) -> float:
        """How often watchers are told what flows, in Hz."""
        return self._vis_update_rate()

    async def stirred(self, since: int) -> int:
        """Return when something has happened since that number, with the number of now."""
        while self._stirs <= since:
            await self._stirring.wait()
        return self._stirs

    def stir(self) -> None:
        """Something has happened that people watch for."""
        self._stirs += 1
        self._stirring.set()
        self._stirring = anyio.Event()

    def link(self, access: Access) -> str:
        """The text of a link to the page: whoever follows it first gets a key that may this."""
        return self._links.make(access)

    def _view_status(self, name: str) -> dict[str, Any]:
        pipeline = self.pipelines[name]
        document: dict[str, Any] = {}
        for page in pipeline.view.read(Query("status"), pipeline.moment()):
            document = page.document or document
        judged = {"judged": dict(pipeline.fold.judged)}
        return {**document, **pipeline.status(), "tallies": judged}

    # ---- commands

    async def _sessions(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        wanted = arguments.get("view")
        return {
            "sessions": [
                session_document(session, peer, pipeline.standing.leadership, moment)
                for name, pipeline in sorted(self.pipelines.items())
                if wanted in (None, name)
                for moment in [pipeline.moment()]
                for session, peer in pipeline.session_list()
            ]
        }

    async def _scan(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        pipeline = self._pipeline(arguments["view"])
        path, recursive = arguments["path"], bool(arguments.get("recursive", True))
        job = await pipeline.scan(path, recursive=recursive)
        if job is None:
            raise QueryError(
                f"{path!r} is no directory of this view", remedy="scan the directory above it"
            )
        return _job_told(pipeline, job)

    async def _jobs(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """All jobs; ``brief``: the newest, without what their scopes are like now."""
        brief = bool(arguments.get("brief"))
        return {
            "jobs": [
                _job_told(pipeline, job, brief=brief)
                for pipeline in self.pipelines.values()
                for job in list(pipeline.standing.summons.jobs)[-JOBS_IN_BRIEF if brief else 0 :]
            ],
        }

    async def _job(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        for pipeline in self.pipelines.values():
            job = pipeline.standing.summons.jobs.get(arguments["id"])
            if job is not None:
                return _job_told(pipeline, job)
        raise NoSuchJob(f"no job {arguments['id']!r}")

    async def _cancel(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        for pipeline in self.pipelines.values():
            job = pipeline.standing.summons.jobs.cancel(arguments["id"], pipeline.now_us())
            if job is not None:
                return _job_told(pipeline, job)
        raise NoSuchJob(f"no job {arguments['id']!r}")

    async def _list_keys(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        return {"keys": self.keys.documents()}

    async def _create_key(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        access = asked(arguments["scopes"], arguments["views"], arguments["pipes"])
        return {**await self.keys.create(access, lives_s=arguments.get("expires_s"))}

    async def _revoke_key(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        return await self.keys.revoke(arguments["id"])

    async def _rotate_key(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        overlap_s = float(arguments.get("overlap_s") or 0.0)
        return {**await self.keys.rotate(arguments["id"], overlap_s=overlap_s)}

    async def _make_link(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        access = asked(arguments["scopes"], arguments["views"], arguments["pipes"])
        return {"code": self.link(access), "lives_s": LINK_S}

    async def _login(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        access = self._links.take(arguments["code"])
        if access is None:
            raise Unauthorized(
                "this link is used up or too old",
                remedy="make a new one with `fustor key link`, or paste a key",
            )
        return {"key": self.keys.lend(access, lives_s=LOGIN_S), "lives_s": LOGIN_S}

    async def _confirm(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        pipeline = self._pipeline(arguments["view"])
        root = arguments.get("root") or b"/"
        done = await pipeline.confirm(root, reject=bool(arguments.get("reject")))
        confirmed = [with_path({"removes": d["removes"]}, d["path"]) for d in done]
        return {"view": arguments["view"], "confirmed": confirmed}


async def _no_objection(name: str, arguments: Mapping[str, Any]) -> None:
    """Nobody is there to object."""


def _job_told(pipeline: FusionPipeline, job: Job, *, brief: bool = False) -> dict[str, Any]:
    """Job of interfaces.md §2; the quality in its result is that of its scope now."""
    moment = pipeline.moment()
    document = job_document(job, pipeline.options.view, moment)
    if document["result"] is not None and not brief:
        for page in pipeline.view.read(Query("du", job.path, depth=0), moment):
            if page.document is not None:
                document["result"]["quality"] = page.document["quality"]
    return document
