"""Live state over one WebSocket: who watches, when the state is looked at, what each is told.

Nobody has a queue. A watcher has a number, the state that it was told last; when its socket takes
more, it is told in one frame what has changed since. So a slow reader skips states, never facts,
and one that takes nothing for `stall_s` is dropped: it comes back and resumes.

The state is looked at on every tick, `vis_update_rate` times a second, and soon after anything has
happened; what flows waits for the tick. Nothing is looked at while nobody watches.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

import anyio
import anyio.lowlevel
import msgspec
from starlette.types import Receive, Scope, Send

from fustor_core.client import BASE
from fustor_core.contracts import Access, Ask
from fustor_core.errors import FustorError
from fustor_core.live import Reel, live_document
from fustor_receiver_http.problems import refuse
from fustor_receiver_http.scopes import access_of, covered_of, everything
from fustor_receiver_http.streams import Streams

SOCKET = f"{BASE}/state/ws"
DISCRETE_S = 0.1  # two frames of facts are so far apart at least
MOST_WATCHERS = 1000
MOST_HALLS = 64  # for keys of different reach; one that nobody watches can be forgotten
BAD, OVER, NOT_YOURS = 1008, 1012, 4401  # codes with which a socket is closed


class Resume(msgspec.Struct, forbid_unknown_fields=True):
    """What a watcher may say: the number that it has, in which run."""

    resume: int
    run: str = ""


class Hall:
    """Those who may see the same.

    Args:
        access: what that is.

    Attributes:
        run: names the run of numbers. watchers: those who are there.
    """

    def __init__(self, access: Access) -> None:
        self.access = access
        self.run = secrets.token_hex(8)
        self.watchers: set[Watcher] = set()
        self._reel = Reel()
        self._at = 0.0
        self._frames: dict[int, str] = {}  # by the number of those who get them

    def __repr__(self) -> str:
        return f"<Hall {self.run} {len(self.watchers)} watch {self._reel!r}>"

    def turn(self, document: dict[str, Any], *, sampled: bool) -> None:
        """Take a newer state and wake those who watch, if there is news."""
        self._at = time.time()
        if self._reel.turn(document, sampled=sampled):
            self._frames.clear()
            for watcher in self.watchers:
                watcher.wake()

    def frame(self, seq: int) -> tuple[str, int] | None:
        """What somebody is told who has that number, and the number after it; None: nothing."""
        if seq == self._reel.seq:
            return None
        known = self._frames.get(seq)
        if known is None:
            update = self._reel.since(seq)
            if update is None:
                return None
            message = update.message(self.run, self._at)
            known = self._frames[seq] = msgspec.json.encode(message).decode()
        return known, self._reel.seq


class Live:
    """The route of the WebSocket, and the one look at the state for all who watch.

    Args:
        ask: where the state comes from.
        streams: where those are kept that are open; a watcher that takes nothing for its
            `stall_s` is dropped.
    """

    def __init__(self, ask: Ask, streams: Streams) -> None:
        self._ask, self._streams = ask, streams
        self._halls: dict[Any, Hall] = {}
        self._wanted = anyio.Event()

    def __repr__(self) -> str:
        return f"<Live {len(self)} watch>"

    def __len__(self) -> int:
        return sum(len(hall.watchers) for hall in self._halls.values())

    # ---- looking

    async def run(self) -> None:
        """Look at the state while anybody watches; until cancelled."""
        stirs = 0
        while True:
            await self._wanted.wait()
            tick_at = anyio.current_time()
            while len(self):
                began = anyio.current_time()
                sampled = began >= tick_at
                if sampled:
                    tick_at = began + 1 / self._ask.vis_update_rate
                watched = [hall for hall in self._halls.values() if hall.watchers]
                await self._look(watched, sampled=sampled)
                with anyio.CancelScope(deadline=tick_at):
                    stirs = await self._ask.stirred(stirs)
                    # not a negative pause: a look may have taken longer than that
                    await anyio.sleep(max(0.0, began + DISCRETE_S - anyio.current_time()))
            self._wanted = anyio.Event()

    async def _look(self, halls: list[Hall], *, sampled: bool) -> None:
        try:
            status = self._ask.status()
            listed = await self._ask.command("sessions", {"view": None})
            jobs = await self._ask.command("jobs", {"brief": True})
            runs = await self._ask.command("runs", {})
        except FustorError:
            return  # what cannot be said now is said at the next look
        for hall in halls:
            hall.turn(_seen(hall.access, status, listed, jobs, runs), sampled=sampled)

    # ---- watching

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One watcher, until it goes."""
        if scope["type"] != "websocket":
            slug, headers = "upgrade-required", {"Upgrade": "websocket", "Connection": "Upgrade"}
            if scope["method"] != "GET":
                slug, headers = "method-not-allowed", {"Allow": "GET"}
            told = "this is a WebSocket: ask for an upgrade with GET"
            return await refuse(scope, receive, send, slug, told, headers=headers)
        if len(self) >= MOST_WATCHERS:
            return await refuse(
                scope, receive, send, "slow-down", f"{len(self)} watch already", fields=_LATER
            )
        if (await receive())["type"] != "websocket.connect":
            return None
        await send({"type": "websocket.accept"})
        hall = self._hall(access_of(scope))
        watcher = Watcher(hall, receive, send, stall_s=self._streams.stall_s)
        watcher.resume(_place(scope["query_string"]))
        first = not hall.watchers
        hall.watchers.add(watcher)
        self._streams.enter(watcher)
        try:
            if first:  # what it was like when the last one left is not the state of now
                await self._look([hall], sampled=True)
            self._wanted.set()
            await watcher.watch(self._streams.ended)
        finally:
            hall.watchers.discard(watcher)
            self._streams.leave(watcher)
        return None

    def _hall(self, access: Access) -> Hall:
        reach = (access.key_id, access.rights, access.views, access.pipes)
        hall = self._halls.get(reach)
        if hall is None:
            self._forget()
            hall = self._halls[reach] = Hall(access)
        return hall

    def _forget(self) -> None:
        unwatched = [reach for reach, hall in self._halls.items() if not hall.watchers]
        for reach in unwatched[: max(0, len(self._halls) + 1 - MOST_HALLS)]:
            del self._halls[reach]


class Watcher:
    """One socket that is open."""

    def __init__(self, hall: Hall, receive: Receive, send: Send, *, stall_s: float) -> None:
        self._hall, self._receive, self._send, self._stall_s = hall, receive, send, stall_s
        self._seq = 0
        self._over = anyio.Event()
        self._whole = anyio.CancelScope()
        self._woken = anyio.Event()

    def resume(self, place: Resume) -> None:
        """Go on from a number; from nothing where it is of another run."""
        self._seq = place.resume if place.run in ("", self._hall.run) else 0
        self.wake()

    def wake(self) -> None:
        """There may be something to tell."""
        self._woken.set()

    def end(self) -> None:
        """The server stops: the watcher should come back later."""
        self._over.set()

    async def watch(self, ended: Callable[[str], Awaitable[None]]) -> None:
        """Tell it everything until it goes, is too slow, or may not see it any more.

        Args:
            ended: returns when a key is good no longer.
        """
        async with anyio.create_task_group() as group:
            self._whole = group.cancel_scope
            group.start_soon(self._hear)
            group.start_soon(self._until_over)
            if self._hall.access.key_id:
                group.start_soon(self._until_ended, ended)
            while True:
                frame = self._hall.frame(self._seq)
                if frame is None:
                    self._woken = anyio.Event()
                    await self._woken.wait()
                    continue
                text, self._seq = frame
                await self._tell({"type": "websocket.send", "text": text})

    async def _hear(self) -> None:
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                self._whole.cancel()
                return
            try:
                said = message.get("text") or message.get("bytes") or b""
                self.resume(msgspec.json.decode(said, type=Resume))
            except (msgspec.DecodeError, UnicodeError):
                await self._end(BAD, 'a watcher says {"resume": NUMBER, "run": "…"}, nothing else')

    async def _until_over(self) -> None:
        await self._over.wait()
        await self._end(OVER, "the server stops")

    async def _until_ended(self, ended: Callable[[str], Awaitable[None]]) -> None:
        await ended(self._hall.access.key_id)
        await self._end(NOT_YOURS, "the key has expired or was revoked")

    async def _end(self, code: int, reason: str) -> None:
        await self._tell({"type": "websocket.close", "code": code, "reason": reason})
        self._whole.cancel()

    async def _tell(self, message: dict[str, Any]) -> None:
        taken = False
        with anyio.move_on_after(self._stall_s):
            try:
                await self._send(message)
                taken = True
            except (OSError, RuntimeError):
                pass  # the socket is closing: the server says so in either way
        if not taken:
            self._whole.cancel()
            await anyio.lowlevel.checkpoint()


def _seen(
    access: Access,
    status: dict[str, Any],
    listed: dict[str, Any],
    jobs: dict[str, Any],
    runs: dict[str, Any],
) -> dict[str, Any]:
    """The live document as the holder of a key may see it; a run is about all views and pipes."""
    views = covered_of(access, "read", status.get("views") or ())
    pipes = covered_of(access, "read", status.get("pipes") or (), pipe="id")
    sessions = covered_of(access, "read", listed.get("sessions") or (), pipe="pipe")
    asked_for = covered_of(access, "scan", jobs.get("jobs") or ())
    lived = runs.get("runs") or () if everything(access) and "read" in access.rights else ()
    return live_document({**status, "views": views, "pipes": pipes}, sessions, asked_for, lived)


def _place(query: bytes) -> Resume:
    """Where a socket goes on that is opened anew: ``?run=…&resume=NUMBER``."""
    given = parse_qs(query.decode("ascii", "replace"))
    number, run = given.get("resume", ["0"])[-1], given.get("run", [""])[-1]
    return Resume(int(number), run) if run and number.isdecimal() else Resume(0)


_LATER = {"retry_after_s": 5.0}
