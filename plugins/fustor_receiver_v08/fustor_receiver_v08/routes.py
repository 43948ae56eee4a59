"""The routes of 0.8.17 and its answers, as one plain ASGI application.

Its agents know a few answers: 200; 419, after which they open a session anew; and anything else,
after which they try the same again later. So every refusal is one of the earlier system's own
statuses with its ``{"detail": …}``.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

import anyio
import anyio.abc
import msgspec

from fustor_core.contracts import ASKER, Access, Ask, Asker, Command
from fustor_core.errors import (
    AccessError,
    DiskFull,
    Forbidden,
    FustorError,
    MalformedClaim,
    NoSuchView,
    SessionObsoletedError,
    SlowDown,
    StateError,
    Unauthorized,
)
from fustor_receiver_v08.doubts import Doubts
from fustor_receiver_v08.guest import Guest
from fustor_receiver_v08.guests import Guests, Misplaced
from fustor_receiver_v08.messages import Beat, Feedback, Opening, read, read_push

BASE = "/api/v1/pipe"
WISHES_AT_ONCE = 50
LOOK = "look"
SMALL_BYTES_MAX = 64 << 10
REQUEST_MAX = 200  # characters of a request that are told of
log = logging.getLogger("fustor.receiver.v08")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Document = dict[str, Any]


class Refusal(FustorError):
    """A request that is answered with a status of its own."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Gone(FustorError):
    """The client broke off."""


class Request:
    """One request.

    Args:
        most: size that a body may have. patience_s: time for it to come.
    """

    def __init__(
        self, scope: Mapping[str, Any], receive: Receive, most: int, patience_s: float
    ) -> None:
        self.method = str(scope["method"])
        self.path = str(scope["path"])
        client = scope.get("client")
        self.client_ip = str(client[0]) if client else ""
        self._headers: list[tuple[bytes, bytes]] = list(scope["headers"])
        self._receive = receive
        self._most, self._patience_s = most, patience_s

    def key(self) -> str:
        """The key that it shows.

        Raises:
            Unauthorized: it shows none, or more than one.
        """
        keys = [value for name, value in self._headers if name == b"x-api-key"]
        for name, value in self._headers:
            if name == b"authorization" and value[:7].lower() == b"bearer ":
                keys.append(value[7:])
        if len(keys) != 1:
            raise Unauthorized("X-API-Key is missing")
        return keys[0].strip().decode("latin-1")

    async def body(self, most: int | None = None) -> bytes:
        """All of its body.

        Raises:
            Refusal: it is too large, or does not come. Gone: the client broke off.
        """
        most = self._most if most is None else most
        parts, size, more = [], 0, True
        with anyio.move_on_after(self._patience_s) as patience:
            while more:
                message = await self._receive()
                if message["type"] == "http.disconnect":
                    raise Gone("the client has gone away")
                part = message.get("body", b"")
                parts.append(part)
                size += len(part)
                if size > most:
                    raise Refusal(413, f"a body of more than {most} bytes is not taken")
                more = message.get("more_body", False)
        if patience.cancelled_caught:
            raise Refusal(408, f"the body stopped coming after {size} bytes")
        return b"".join(parts)


class Application:
    """All routes.

    Args:
        guests, doubts: what they lead to. ask: knows the keys of this system.
        keys: of the earlier system, by the name under which each is shown.
        most, patience_s: see `Request`. chores: where work goes on behind a reply.
    """

    def __init__(
        self,
        guests: Guests,
        doubts: Doubts,
        ask: Ask,
        keys: Mapping[str, str],
        *,
        most: int,
        patience_s: float,
        chores: anyio.abc.TaskGroup,
    ) -> None:
        self._guests = guests
        self._doubts = doubts
        self._ask = ask
        self._keys = {name: key.encode() for name, key in keys.items()}
        self._most, self._patience_s = most, patience_s
        self._chores = chores

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive, self._most, self._patience_s)
        ASKER.set(Asker("network", address=request.client_ip))
        headers: list[tuple[bytes, bytes]] = []
        try:
            status, document = 200, await self._answer(request)
        except Gone:
            return
        except FustorError as error:
            status, document = _refused(error)
            if isinstance(error, AccessError):
                why = "unauthorized" if status == 401 else "forbidden"
                self._ask.refused(f"{request.method} {request.path}"[:REQUEST_MAX], why)
            if status == 503:
                pause_s = error.retry_after_s if isinstance(error, SlowDown) else 1.0
                headers.append((b"retry-after", b"%d" % max(1, round(pause_s))))
            headers.append((b"connection", b"close"))  # the body may not have been read
        body = msgspec.json.encode(document)
        headers += [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def access(self, request: Request) -> Access:
        """What the caller may do.

        Raises:
            Unauthorized: its key is not known. Forbidden: it may not push into this view.
        """
        view, key = self._guests.view, request.key()
        for name, known in self._keys.items():
            if hmac.compare_digest(known, key.encode("latin-1")):
                return Access(f"v08-{name}", frozenset({"push"}), (view,))
        access = self._ask.access(key)
        if not access.covers("push", view=view):
            raise Forbidden(f"this key may not push into the view {view!r}")
        return access

    async def _answer(self, request: Request) -> Document:
        if not request.path.startswith(f"{BASE}/"):
            raise Refusal(404, "Not Found")
        access = self.access(request)
        ASKER.set(Asker("key", access.key_id, request.client_ip))
        method = request.method
        match request.path.removeprefix(f"{BASE}/").rstrip("/").split("/"):
            case ["session"] if method == "GET":
                return {"view_id": self._guests.view, "status": "authorized"}
            case ["session"] if method == "POST":
                return await self._open(request, access)
            case ["session", session_id, "heartbeat"] if method == "POST":
                return await self._beat(request, self._guests.guest(session_id, access))
            case ["session", session_id] if method == "DELETE":
                await self._guests.close(session_id, access)
                return {"status": "terminated", "session_id": session_id}
            case ["ingest", session_id, "events"] if method == "POST":
                return await self._push(request, self._guests.guest(session_id, access))
            case ["consistency", "audit", "start" | "end" as which] if method == "POST":
                done = "audit_started" if which == "start" else "audit_ended"
                return {"status": done, "drivers_handled": 1}
            case ["consistency", "sentinel", "tasks"] if method == "GET":
                return await self._tasks(access)
            case ["consistency", "sentinel", "feedback"] if method == "POST":
                return await self._feedback(request, access)
            case _:
                raise Refusal(404, "Not Found")

    async def _open(self, request: Request, access: Access) -> Document:
        opening = read(await request.body(SMALL_BYTES_MAX), Opening)
        guest = await self._guests.open(opening, access, request.client_ip)
        return {
            "session_id": guest.session_id,
            "role": guest.role,
            "session_timeout_seconds": guest.timeout_s,
            "audit_interval_sec": guest.audit_s,
            "sentinel_interval_sec": guest.sentinel_s,
            "message": f"Session created for view {self._guests.view}",
        }

    async def _beat(self, request: Request, guest: Guest) -> Document:
        said = read(await request.body(SMALL_BYTES_MAX), Beat)
        asked = await self._guests.beat(guest, can_realtime=said.can_realtime)
        return {
            "status": "ok",
            "role": guest.role,
            "message": "",
            "can_realtime": said.can_realtime,
            "commands": list(self._commands(guest, asked)),
        }

    def _commands(self, guest: Guest, asked: tuple[Command, ...]) -> list[Document]:
        """Scans on demand, and whole rows of what the sentinel found; all else it cannot do."""
        scans = [
            (command.id, path, command.recursive)
            for command in asked
            if command.kind == "scan"
            for _, path in command.targets
        ]
        wishes = list(guest.wishes)[:WISHES_AT_ONCE]
        for path in wishes:
            del guest.wishes[path]
        scans += [(f"{LOOK}-{n}", path, False) for n, path in enumerate(wishes)]
        return [
            {"type": "scan", "path": text, "recursive": recursive, "job_id": job}
            for job, path, recursive in scans
            if (text := self._guests.asks(guest, job, path)) is not None
        ]

    async def _push(self, request: Request, guest: Guest) -> Document:
        push = read_push(await request.body())
        await self._guests.push(guest, push)
        if push.is_end and push.kind == "audit" and guest.audited is not None:
            directories, guest.audited = guest.audited, None
            self._chores.start_soon(self._doubts.compare, guest, directories, guest.audit_since_us)
        if push.bad:
            log.warning("agent %s: %d rows could not be used: %s", guest.agent, push.bad, push.why)
        count = sum(len(event.sights) for event in push.events)
        return {"status": "ok", "count": count, "skipped": push.bad}

    async def _tasks(self, access: Access) -> Document:
        guest = self._guests.leader(access)
        paths = await self._doubts.task(guest) if guest is not None else []
        if not paths:
            return {}
        return {"type": "suspect_check", "paths": paths, "view_id": self._guests.view}

    async def _feedback(self, request: Request, access: Access) -> Document:
        feedback = read(await request.body(), Feedback)
        guest = self._guests.leader(access)
        if guest is None:
            return {"status": "ignored", "reason": "no session of this key leads the view"}
        await self._doubts.answered(guest, feedback)
        return {"status": "processed", "drivers_updated": 1}


def _refused(error: FustorError) -> tuple[int, Document]:
    """The status and the document of a refusal."""
    status = 500
    if isinstance(error, Refusal):
        status = error.status
    elif isinstance(error, SessionObsoletedError):
        status = 419
    elif isinstance(error, MalformedClaim):
        status = 422
    elif isinstance(error, AccessError):
        status = 401 if isinstance(error, Unauthorized) else 403
    elif isinstance(error, NoSuchView | Misplaced):
        status = 409  # a person has to look at the configuration; the agent tries again later
    elif isinstance(error, SlowDown | DiskFull | StateError):
        status = 503
    if status == 500:
        log.error("a request failed: %s", error.message)
    detail = f"{error.message}; {error.remedy}" if error.remedy else error.message
    return status, {"detail": detail}
