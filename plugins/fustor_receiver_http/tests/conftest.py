"""A small world of answers, and the receiver in front of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest
from fustor_receiver_http import HttpReceiver

from fustor_core.contracts import ASKER, Access, Asker, Asset, Page, Query
from fustor_core.errors import CursorTooOld, FustorError, NoSuchView, QueryError
from fustor_core.key_store import KeyStore
from fustor_core.problems import Problem
from fustor_core.state import socket_address
from fustor_core.testing import MemoryDoor

KEY = "fst_test_a-secret-of-the-tests"  # this one may everything
LIMIT_S = 20.0
LARGEST = (1 << 64) - 1
QUALITY = {"as_of": "2026-01-01T00:00:00Z", "complete": True, "stale": False, "age_s": 0.25}


def entry(path: str, number: int = 0) -> dict[str, Any]:
    """An entry with integers that no float holds."""
    return {"path": path, "ino": LARGEST - number, "mtime_ns": 1_700_000_000_000_000_001 + number}


class MemoryAsk:
    """Answers from memory: one view `v`, a feed of changes, commands that are written down.

    Attributes:
        keys: those that are known beside `KEY`. lists: what a command lists, else it is said back.
        asked: every question. told: every command. askers: who gave it. refusals: what receivers
            have refused. following: how many follow now.
        wakes: how often a follower went on. faults: verb or command → what it raises.
        given: how many pages of lists were made.
        pipes: as the status has them. statuses: how often it was asked for. rate_hz: of ticks.
        hold: pages after the first do not come. gate: `stat` waits for it.
    """

    def __init__(self, files: Sequence[Asset] = ()) -> None:
        self.keys = KeyStore()
        self.files = files
        self.stirs = 0
        self._stirring = anyio.Event()
        self.renew()

    def renew(self) -> None:
        """Forgets everything."""
        self.asked: list[Query] = []
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.askers: list[Asker] = []
        self.refusals: list[tuple[str, str, Asker]] = []
        self.faults: dict[str, FustorError | Exception] = {}
        self.entries = [entry(f"/{number}", number) for number in range(5)]
        self.page_items = 2
        self.hold = False
        self.gate: anyio.Event | None = None
        self.begun = anyio.Event()
        self.over = anyio.Event()
        self.following = 0
        self.wakes = 0
        self.floor = 0
        self.given = 0
        self.feed: list[dict[str, Any]] = []
        self.documents: dict[str, dict[str, Any]] = {}
        self.lists: dict[str, dict[str, Any]] = {}
        self.pipes: list[dict[str, Any]] = [{"id": "p", "state": 66, "queue": 4}]
        self.statuses = 0
        self.rate_hz = 4.0
        self._news = anyio.Event()
        self._arrivals = anyio.Event()

    # -- the contract `Ask`

    def access(self, bearer: str) -> Access:
        """What `KEY` and those of `keys` may do."""
        return Access("test") if bearer == KEY else self.keys.access(bearer)

    async def ended(self, key_id: str) -> None:
        """`KEY` stays good."""
        await self.keys.ended("" if key_id == "test" else key_id)

    async def query(self, view: str, query: Query) -> AsyncIterator[Page]:
        """Pages of `page_items` for lists, else one."""
        self._known(view)
        self.asked.append(query)
        self._raise(query.verb)
        if query.verb == "changes":
            yield self._changes(query)
            return
        self.begun.set()
        if query.verb == "stat" and self.gate is not None:
            await self.gate.wait()
        base = {"view": view, "path": query.path.decode("utf-8", "replace"), "quality": QUALITY}
        base |= self.documents.get(query.verb, {})
        name = {"find": "matches", "ls": "entries"}.get(query.verb, "entries")
        if query.verb not in ("ls", "find", "suspects", "debts", "blind-spots"):
            yield Page([], document=base)
            return
        wanted = self.entries if query.limit is None else self.entries[: query.limit]
        try:
            for start in range(0, len(wanted), self.page_items):
                self.given += 1
                yield Page(wanted[start : start + self.page_items], name)
                self.begun.set()
                self._raise("page")
                if self.hold:
                    await anyio.sleep_forever()
                await anyio.lowlevel.checkpoint()
            yield Page([], name, {**base, "next_cursor": None})
        finally:
            self.over.set()

    async def follow(
        self, view: str, path: bytes, since: str | None
    ) -> AsyncIterator[list[dict[str, Any]]]:
        """The cursor, then what `change` adds."""
        self._known(view)
        at = self._number(since)
        self.following += 1
        self._arrivals.set()
        self._arrivals = anyio.Event()
        try:
            yield [{"cursor": str(at)}]
            while True:
                news = self._news
                self.wakes += 1
                if at < len(self.feed):
                    changes, at = self.feed[at:], len(self.feed)
                    yield changes
                self._raise("follow")
                await news.wait()
        finally:
            self.following -= 1
            self._arrivals.set()
            self._arrivals = anyio.Event()

    def views(self) -> list[dict[str, Any]]:
        """The one view."""
        self._raise("views")
        return [{"view": "v", "files": LARGEST, "bytes": 3, "quality": QUALITY}]

    def status(self) -> dict[str, Any]:
        """Of the process."""
        self.statuses += 1
        return {"version": "1", "views": self.views(), "pipes": [dict(one) for one in self.pipes]}

    async def command(self, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Writes the command down and says it back."""
        self.told.append((name, dict(arguments)))
        self.askers.append(ASKER.get())
        self._raise(name)
        return self.lists.get(name) or {"id": "7", "did": name}

    def refused(self, request: str, why: str) -> None:
        """Remembers who was refused what."""
        self.refusals.append((request, why, ASKER.get()))

    async def stirred(self, since: int) -> int:
        """Returns when `stir` was called since."""
        while self.stirs <= since:
            await self._stirring.wait()
        return self.stirs

    @property
    def vis_update_rate(self) -> float:
        """Quick enough for tests, slow enough to tell ticks from facts."""
        return self.rate_hz

    def assets(self) -> Sequence[Asset]:
        """Those that it was given."""
        return self.files

    # -- what tests do to it

    def stir(self) -> None:
        """Something has happened."""
        self.stirs += 1
        self._stirring.set()
        self._stirring = anyio.Event()

    def change(self, path: str) -> None:
        """Something changed; those who follow are woken."""
        self.feed.append({"cursor": str(len(self.feed) + 1), "kind": "modified", "path": path})
        self._news.set()
        self._news = anyio.Event()

    def wake(self) -> None:
        """Those who follow look again."""
        self._news.set()
        self._news = anyio.Event()

    async def until_following(self, count: int) -> None:
        """Returns when exactly so many follow."""
        with anyio.fail_after(LIMIT_S):
            while self.following != count:
                await self._arrivals.wait()

    def _changes(self, query: Query) -> Page:
        at = self._number(query.since)
        changes = self.feed[at:] if query.limit is None else self.feed[at:][: query.limit]
        cursor = str(at + len(changes))
        return Page(changes, "changes", {"cursor": cursor, "more": False})

    def _number(self, cursor: str | None) -> int:
        if cursor is None:
            return len(self.feed)
        if not cursor.isdigit():
            raise QueryError(f"{cursor!r} is no cursor")
        if int(cursor) < self.floor:
            raise CursorTooOld("too old", cursor=str(len(self.feed)))
        return int(cursor)

    def _known(self, view: str) -> None:
        if view != "v":
            raise NoSuchView(view, ["v"])

    def _raise(self, where: str) -> None:
        if where in self.faults:
            raise self.faults[where]


@dataclass
class Served:
    """A receiver that serves, and clients for it."""

    receiver: HttpReceiver
    ask: MemoryAsk
    door: MemoryDoor
    socket: Path
    unix: httpx.AsyncClient
    tcp: httpx.AsyncClient | None = None
    stop: Callable[[], None] = field(default=lambda: None)


Serve = Callable[..., AbstractAsyncContextManager[Served]]


def made(slug: str, status: int) -> Problem:
    """A problem that the engine makes itself."""
    document = {"type": f"urn:fustor:problem:{slug}", "status": status, "detail": slug, "more": 1}
    return Problem(document)


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """The loop that the program runs on; the kit runs on the other."""
    return "asyncio", {"use_uvloop": True}


async def _nothing(key_id: str) -> None:
    """No session is bound to a key here."""


@asynccontextmanager
async def serving(
    path: Path,
    *,
    tcp: bool = False,
    socket: Path | None = None,
    files: Sequence[Asset] = (),
    **options: Any,
) -> AsyncIterator[Served]:
    """A receiver that serves; options are those of its configuration."""
    path = socket or path
    listen = ["unix", "127.0.0.1:0"] if tcp else ["unix"]
    config = {"listen": listen, "socket_path": path, "grace": 1, **options}
    receiver = HttpReceiver(HttpReceiver.Config.model_validate(config))
    ask, door = MemoryAsk(files), MemoryDoor()
    async with anyio.create_task_group() as group:
        group.start_soon(receiver.serve, door, ask)
        group.start_soon(ask.keys.run, _nothing)
        with anyio.fail_after(LIMIT_S):
            await receiver.ready.wait()
        with socket_address(path) as address:
            transport = httpx.AsyncHTTPTransport(uds=address)
            unix = httpx.AsyncClient(
                transport=transport, base_url="http://localhost", timeout=LIMIT_S
            )
            served = Served(receiver, ask, door, path, unix, stop=group.cancel_scope.cancel)
            if tcp:
                url = next(a for a in receiver.addresses if a.startswith("http"))
                served.tcp = httpx.AsyncClient(base_url=url, timeout=LIMIT_S)
            try:
                yield served
            finally:
                await unix.aclose()
                if served.tcp is not None:
                    await served.tcp.aclose()
        group.cancel_scope.cancel()


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """Makes a context in which a receiver of its own serves."""
    return partial(serving, tmp_path / "api.sock")


@pytest.fixture(scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    """A receiver on a Unix socket and on TCP, for all tests of a file."""
    async with serving(tmp_path_factory.mktemp("shared") / "api.sock", tcp=True) as served:
        yield served


@pytest.fixture
def served(shared: Served) -> Served:
    """The shared receiver, its answers as new."""
    shared.ask.renew()
    return shared
