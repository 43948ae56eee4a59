"""What an agent of 0.8.17 says, decoded and checked once. Pure.

Rows that cannot be used are counted and left out, as the earlier system did: its agents repeat a
push that is refused for ever, so one bad row must not cost the good ones. A push of which nothing
can be used is refused.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

import msgspec

from fustor_core.claims import CLOSED, NAME_BYTES_MAX, WRITING, Origin, Row
from fustor_core.errors import MalformedClaim

SCHEMA = "fs"
PATH_MOST = 65536
TIMEOUT_S_MAX = 86400.0
_I63 = (1 << 63) - 1
ORIGINS = {
    "realtime": Origin.REALTIME,
    "snapshot": Origin.SNAPSHOT,
    "audit": Origin.AUDIT,
    "on_demand_job": Origin.ON_DEMAND,
}
DELETE = "delete"
KINDS = frozenset({"insert", "update", DELETE})

T = TypeVar("T")


class Opening(msgspec.Struct):
    """`POST /pipe/session/`."""

    task_id: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
    session_timeout_seconds: Annotated[float, msgspec.Meta(gt=0, le=TIMEOUT_S_MAX)] | None = None

    @property
    def agent_pipe(self) -> tuple[str, str]:
        """(agent id, pipe): a task is named ``<agent>:<pipe>``."""
        agent, colon, pipe = self.task_id.partition(":")
        return (agent, pipe) if agent and colon and pipe else (self.task_id, self.task_id)


class Beat(msgspec.Struct):
    """`POST …/heartbeat`."""

    can_realtime: bool = False


class Update(msgspec.Struct):
    """One answer of a sentinel."""

    path: str
    status: str = "exists"


class Feedback(msgspec.Struct):
    """`POST …/sentinel/feedback`."""

    updates: list[Update] = []


class _Push(msgspec.Struct):
    events: list[msgspec.Raw] = []
    source_type: str = "message"
    is_end: bool = False
    metadata: dict[str, Any] | None = None


class _Event(msgspec.Struct):
    event_type: str
    rows: list[msgspec.Raw]
    event_schema: str = SCHEMA
    message_source: str = "realtime"
    index: int = -1


class _Row(msgspec.Struct):
    path: Annotated[str, msgspec.Meta(min_length=1, max_length=PATH_MOST)]
    size: int | None = None
    modified_time: float | None = None
    created_time: float | None = None
    is_directory: bool = False
    is_atomic_write: bool | None = None
    audit_skipped: bool = False


@dataclass(frozen=True, slots=True)
class Sight:
    """One row: what an agent saw at a path.

    Attributes:
        names: of the path, from the root downward. row: 48 bytes, None when it is gone.
        flags: WRITING, CLOSED. silent: a directory whose files the audit did not look at.
    """

    names: tuple[bytes, ...]
    row: bytes | None
    is_dir: bool = False
    flags: int = 0
    silent: bool = False

    @property
    def path(self) -> bytes:
        """The view path."""
        return b"/" + b"/".join(self.names)


@dataclass(frozen=True, slots=True)
class Event:
    """One event, with the rows of it that can be used."""

    origin: Origin
    index: int
    sights: list[Sight]


@dataclass(slots=True)
class Push:
    """`POST /pipe/ingest/{id}/events`.

    Attributes:
        kind: ``message snapshot audit on_demand_job job_complete``. bad: rows and events left out.
        foreign: events of other schemas, which are no business of this view.
    """

    kind: str
    is_end: bool
    job_id: str = ""
    events: list[Event] = field(default_factory=list)
    bad: int = 0
    foreign: int = 0
    why: str = ""

    @property
    def first_index(self) -> int:
        """Index of its first event, -1 for none."""
        return self.events[0].index if self.events else -1

    @property
    def last_index(self) -> int:
        """Index of its last event, -1 for none."""
        return self.events[-1].index if self.events else -1


def read(body: bytes, kind: type[T]) -> T:
    """A body as what it should be.

    Raises:
        MalformedClaim: it is none.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise MalformedClaim(f"the body is not as it should be: {error}") from error


def read_push(body: bytes) -> Push:
    """The usable part of a push.

    Raises:
        MalformedClaim: there is none.
    """
    said = read(body, _Push)
    job = said.metadata.get("job_id") if said.metadata else None
    push = Push(said.source_type, said.is_end, job if isinstance(job, str) else "")
    for raw in said.events:
        try:
            _add(push, read(bytes(raw), _Event))
        except MalformedClaim as error:
            _spoil(push, error.message)
    if push.bad and not push.events and not push.foreign:
        raise MalformedClaim(f"none of the {push.bad} rows can be used: {push.why}")
    return push


def _add(push: Push, event: _Event) -> None:
    if event.event_schema != SCHEMA:
        push.foreign += 1
        return
    origin = ORIGINS.get(event.message_source)
    if event.event_type not in KINDS or origin is None:
        raise MalformedClaim(f"{event.event_type!r} of {event.message_source!r} is no event")
    gone = event.event_type == DELETE
    sights = []
    for raw in event.rows:
        try:
            sights.append(_sight(read(bytes(raw), _Row), gone=gone))
        except MalformedClaim as error:
            _spoil(push, error.message)
    if sights:
        push.events.append(Event(origin, event.index, sights))


def _spoil(push: Push, why: str) -> None:
    push.bad += 1
    push.why = push.why or why


def _sight(row: _Row, *, gone: bool) -> Sight:
    names = names_of(row.path)
    if gone:
        if not names:
            raise MalformedClaim("the root itself is never deleted by a row")
        return Sight(names, None)
    if row.size is None or row.modified_time is None or row.created_time is None:
        raise MalformedClaim(f"the row of {row.path[:200]!r} lacks size, mtime or ctime")
    if not names and not row.is_directory:
        raise MalformedClaim("the root is no directory")
    if not 0 <= row.size <= _I63:
        raise MalformedClaim(f"a size of {row.size} cannot be")
    kind = stat.S_IFDIR if row.is_directory else stat.S_IFREG
    mtime, ctime = _ns(row.modified_time), _ns(row.created_time)
    value = Row(row.size, mtime, ctime, ino=0, mode=kind, nlink=0).pack()
    flags = 0
    if row.is_atomic_write is not None and not row.is_directory:
        flags = CLOSED if row.is_atomic_write else WRITING
    return Sight(names, value, row.is_directory, flags, row.audit_skipped)


def names_of(path: str) -> tuple[bytes, ...]:
    """The names of a view path as an agent writes it.

    Raises:
        MalformedClaim: it is none.
    """
    try:
        whole = path.encode()
    except UnicodeEncodeError as error:
        raise MalformedClaim(f"the path {path[:200]!r} is no text") from error
    if whole == b"/":
        return ()
    names = tuple(whole[1:].split(b"/"))
    bad = any(n in (b"", b".", b"..") or len(n) > NAME_BYTES_MAX or b"\0" in n for n in names)
    if not whole.startswith(b"/") or bad:
        raise MalformedClaim(f"{path[:200]!r} is no path below the root")
    return names


def _ns(seconds: float) -> int:
    """Nanoseconds of a time that has been through a float: exact to about a quarter of a µs.

    Raises:
        MalformedClaim: it does not fit its column.
    """
    ns = round(seconds * 1e9) if abs(seconds) < 1e10 else _I63 + 1
    if abs(ns) > _I63:
        raise MalformedClaim(f"a time of {seconds} cannot be")
    return ns
