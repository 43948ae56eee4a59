"""What the five kinds of drivers promise, and what the engine promises them.

A driver implements the required methods of one protocol; optional powers are protocols of their
own, found once at load by `isinstance`. Every promise here is checked by a kit in
`fustor_core.testing`. A driver's constructor takes one argument, an instance of its `Config`.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from pydantic import BaseModel

from fustor_core.claims import (
    Ack,
    Batch,
    Cell,
    Claim,
    Key,
    Listing,
    Origin,
    Owe,
    Owed,
    Root,
    Row,
    Same,
    Silence,
    Stamp,
    edge_row,
    is_dir,
    pack_rows,
    path_key,
    unpack_row,
)
from fustor_core.registers import Register, Seen


def boottime_us() -> int:
    """CLOCK_BOOTTIME in µs: the raw clock of every line (MONOTONIC stops in suspend)."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


# ------------------------------------------------------------------ source


@dataclass(slots=True)
class Scope:
    """What a source is asked to scan, and the maker of its listings.

    Attributes:
        path: view path where the scan begins. recursive: everything below too.
        origin: stamped on every claim. tier: ``full``, ``names`` or ``directories`` (audits).
        now_us: the raw clock.
        known: silence key that fusion is known to hold for a directory (audit tiers), by key.
    """

    path: bytes = b"/"
    recursive: bool = True
    origin: Origin = Origin.SNAPSHOT
    tier: str = "full"
    now_us: Callable[[], int] = boottime_us
    known: Mapping[Key, Silence] = field(default_factory=dict)
    _since: int = -1

    def __post_init__(self) -> None:
        self._since = self.now_us()

    def listing(self, path: bytes, rows: Mapping[bytes, Row | bytes]) -> Listing:
        """The listing of one directory of a source without inodes.

        The interval is from the end of the previous listing (or the start of the scan) to now, so
        read each directory after the one before it was yielded.

        Args:
            path: view path of the directory.
            rows: its names; a `Row` with a directory's mode becomes the edge to the child.
        """
        before, self._since = self._since, self.now_us()
        prefix = path.rstrip(b"/") + b"/"
        packed = {}
        for name, row in rows.items():
            raw = row.pack() if isinstance(row, Row) else row
            if is_dir(raw):
                raw = edge_row(path_key(prefix + name), unpack_row(raw).mode)
            packed[name] = raw
        names, blob = pack_rows(packed)
        return Listing(
            dir=path_key(path),
            names=names,
            rows=blob,
            stamp=Stamp(before, self._since, before, "l"),
            origin=self.origin,
            path=path,
        )


@runtime_checkable
class Source(Protocol):
    """Says what is there.

    The engine calls `scan` for the snapshot, each audit and on demand, one scan at a time for each
    scope, never two overlapping ones. The source yields each directory once, parents before their
    children; the iterator's end means that the scope was read whole, an exception that it was not.
    What cannot be read is data: an incomplete `Listing` with its reason, never an exception.
    The engine may stop iterating at any point (`aclose`).
    """

    @property
    def Config(self) -> type[BaseModel]: ...  # noqa: N802 - the name is the contract

    def __init__(self, config: Any) -> None: ...

    def scan(self, scope: Scope) -> AsyncIterator[Listing | Same]: ...


@runtime_checkable
class Watching(Protocol):
    """A source that sees changes happen.

    Entering the context arms everything that can be armed without a scan and comes back before the
    first scan begins; directories are armed as the scan lists them, before they are listed.
    The iterator yields lists of claims, one list a drained queue, in the order in which they are
    to be applied: an edge, then the listing of the directory behind it. It never ends by itself.
    """

    def watch(
        self,
    ) -> AbstractAsyncContextManager[AsyncIterator[list[Cell | Listing | Owe]]]: ...


@runtime_checkable
class Covering(Protocol):
    """A watching source that can be told of directories that other hosts created."""

    async def cover(self, paths: Sequence[bytes]) -> None: ...


@runtime_checkable
class Looking(Protocol):
    """A source that can look at single names, revalidating, claiming every edge on the way."""

    async def look(self, paths: Sequence[bytes]) -> Sequence[Cell]: ...


@runtime_checkable
class Rooted(Protocol):
    """A source whose root has an identity, checked before and after each scan."""

    async def identity(self) -> Root: ...


@runtime_checkable
class Reporting(Protocol):
    """A source that can say how well it watches, for `fustor pipe show`.

    `coverage()` returns {watched_dirs, watch_limit, uncovered: [view path], excluded: [view path]}.
    """

    def coverage(self) -> dict[str, Any]: ...


# ------------------------------------------------------------------ sink


@dataclass(frozen=True, slots=True)
class Hello:
    """What a pipe says when it opens a session (interfaces.md §3, `POST /pipe/sessions/`)."""

    agent_id: str
    pipe: str
    view: str
    source: dict[str, Any]
    line: dict[str, Any]  # {boot, process, mount, cache_bound_s}
    can: dict[str, bool]
    session_timeout_s: float | None = None
    protocol: tuple[int, ...] = (1,)
    client: str = "fustor"


@dataclass(frozen=True, slots=True)
class Grant:
    """A session, as granted. Durations in seconds."""

    session_id: str
    role: str
    epoch: int
    session_timeout_s: float
    heartbeat_interval_s: float
    audit_interval_s: float
    sentinel_interval_s: float
    server_time: int
    next_seq: int = 1
    birth: str = "btime"
    batch_bytes: int = 8 << 20
    rows: int = 100_000
    protocol: int = 1


@dataclass(frozen=True, slots=True)
class Pulse:
    """What a pipe says with each heartbeat. `scan`: {started_us, progress_us, directories}."""

    state: int
    queue: int = 0
    unacked_bytes: int = 0
    scan: dict[str, int] | None = None
    uncovered: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Command:
    """Work that fusion asks of an agent; rides home in a heartbeat reply.

    Attributes:
        kind: ``scan`` (a job), ``look`` (stat names), ``list`` (list directories), ``watch``.
        targets: (key or None, view path).
    """

    id: str
    kind: str
    targets: tuple[tuple[Key | None, bytes], ...]
    recursive: bool = False
    deadline_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Answer:
    """The reply to a heartbeat."""

    role: str
    epoch: int
    server_time: int
    commands: tuple[Command, ...] = ()


@runtime_checkable
class Sink(Protocol):
    """Takes batches.

    `send` returns only when the batch is durable at the other end; it is called for one batch at a
    time, in the order of their numbers. It raises the errors of `fustor_core.errors` and does not
    retry: the pipe does.
    """

    @property
    def Config(self) -> type[BaseModel]: ...  # noqa: N802 - the name is the contract

    def __init__(self, config: Any) -> None: ...

    async def send(self, batch: Batch) -> Ack: ...


@runtime_checkable
class Sessioned(Protocol):
    """A sink with sessions: `open` before the first `send`, `beat` beside it, `close` at the end."""

    async def open(self, hello: Hello) -> Grant: ...

    async def beat(self, pulse: Pulse) -> Answer: ...

    async def close(self) -> None: ...


@runtime_checkable
class Attached(Protocol):
    """A sink that ends in this process: it is given fusion's door once, before anything else."""

    def attach(self, accept: Accept) -> None: ...


# ------------------------------------------------------------------ arbitrator


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a judgement may know beside the claim and what is known.

    Attributes:
        seen: the claim's stamp, mapped to fusion time on arrival.
        arrival_us: fusion time of the arrival.
        storage_ns: the logical clock's watermark, ns since 1970.
        exact: directory keys of this view cannot be reused.
    """

    seen: Seen
    arrival_us: int
    storage_ns: int
    exact: bool = True


class Known(Protocol):
    """One directory as the arbitrator sees it; never changed by it."""

    @property
    def key(self) -> Key: ...

    @property
    def base(self) -> Seen | None: ...  # stamp of the last accepted listing; None = never listed

    @property
    def own(self) -> Mapping[bytes, Any]: ...  # names whose register overrides the base

    @property
    def attrs(self) -> Register | None: ...  # the directory's own attributes, register (key, b"")

    @property
    def silent(self) -> Silence | None: ...

    def get(self, name: bytes) -> Register | None: ...  # None = unknown

    def names(self) -> list[bytes]: ...  # present names, byte-sorted

    def holds(self, names: bytes, rows: bytes) -> bool: ...  # these very blobs, one comparison

    def blobs(self) -> tuple[bytes, bytes]: ...  # names and rows of what is present

    def digest(self) -> bytes: ...  # BLAKE2b-128 of the names and rows blobs

    @property
    def suspects(self) -> Mapping[bytes, int]: ...  # name → fusion µs since when it is suspect


@dataclass(frozen=True, slots=True)
class Write:
    """A register that changed: its value, its stamp, or both."""

    name: bytes
    old: Register | None
    new: Register
    moved: bool = False


@dataclass(frozen=True, slots=True)
class Pack:
    """A whole listing that becomes the base: blobs as claimed, before `Verdict.writes`."""

    names: bytes
    rows: bytes


@dataclass(slots=True)
class Verdict:
    """What one claim does to one directory. A value: applying it is the view's job.

    Attributes:
        rule: the rule that decided: ``first newer older same overlap silent owe incomplete``.
        pack: the new base when it differs from the stored one (see `own`), else None.
        base: the new stamp of the base, None when it does not move.
        own: with a `pack` or a moved base: the registers that go on overriding it, all of them.
            Their values replace those in the pack.
        writes: registers whose value changed, and every edge whose stamp changed.
        attrs: new register of the directory's own attributes, None when it does not change.
        silent: the directory's silence key after this claim; `keep_silent` leaves it as it is.
        settles: stamp of the listing that may close what is owed here.
        owe: (stamp, deep, reason, errno) to open, or None.
        suspects: names that are suspect now → True, or no longer → False.
        scan: the evidence is of scan class (blind spots, guard).
    """

    key: Key
    path: bytes
    rule: str
    seen: Seen
    origin: Origin
    pack: Pack | None = None
    base: Seen | None = None
    own: dict[bytes, Register] | None = None
    writes: list[Write] = field(default_factory=list)
    attrs: Register | None = None
    silent: Silence | None = None
    keep_silent: bool = True
    settles: Seen | None = None
    owe: tuple[Seen, bool, str, int] | None = None
    via: tuple[Key, bytes] | None = None
    suspects: dict[bytes, bool] = field(default_factory=dict)
    scan: bool = False


@runtime_checkable
class Arbitrator(Protocol):
    """Says what a claim does to what is known. Pure: same arguments, same verdict; no I/O, no clock.

    Called once a claim, for one directory. Order, debts and what is owed are core's
    (`fustor_core.arbitration`); the driver says what a value is, when two are equal, which one is
    shown in a debt, and what is suspect.
    """

    @property
    def Config(self) -> type[BaseModel]: ...  # noqa: N802 - the name is the contract

    def __init__(self, config: Any) -> None: ...

    def judge(self, known: Known | None, claim: Claim, facts: Facts) -> Verdict: ...


# ------------------------------------------------------------------ view


@dataclass(frozen=True, slots=True)
class Query:
    """A question to a view; the options are those of interfaces.md §2 (times in ns, sizes in bytes).

    Attributes:
        verb: ``ls tree stat du find stable changes suspects debts blind-spots explain status``.
        size: (sign, bytes) with sign ``+``, ``-`` or ``""``.
    """

    verb: str
    path: bytes = b"/"
    limit: int | None = 1000
    cursor: str | None = None
    depth: int | None = None
    pattern: bytes = b""
    regex: bool = False
    whole_path: bool = False
    ignore_case: bool = False
    size: tuple[str, int] | None = None
    newer_ns: int | None = None
    older_ns: int | None = None
    uid: int | None = None
    gid: int | None = None
    types: frozenset[str] = frozenset()
    suspect: bool = False
    blind: bool = False
    quiet_s: float = 30.0
    since: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """A part of an answer.

    Attributes:
        items: entries, matches or changes, ready for JSON.
        list_name: the key under which the items stand in the whole document, "" when there are none.
        document: the rest of the document; only on the last page, else None.
    """

    items: list[dict[str, Any]]
    list_name: str = ""
    document: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Moment:
    """When a question is asked, and how well the view is fed just then.

    Attributes:
        now_us: fusion time. wall_ns: wall time, shown only. storage_ns: the logical clock.
        heard_us: fusion time of the last proof of life of a session that feeds the view; None =
            never. stale: no session feeds it now. epoch: current leadership.
        watched_since_us: since when a watching session has fed it without a gap, None = not now.
    """

    now_us: int
    wall_ns: int
    storage_ns: int
    heard_us: int | None
    stale: bool
    epoch: int
    watched_since_us: int | None = None
    uncovered: tuple[bytes, ...] = ()


@dataclass(slots=True)
class Applied:
    """What a verdict did: for the feed, the reply and the hooks."""

    changes: int = 0
    owed: list[Owed] = field(default_factory=list)
    alarms: list[str] = field(default_factory=list)


@runtime_checkable
class View(Protocol):
    """Holds the state and answers.

    `begin` opens a batch and says when it came; `apply` is called for one verdict at a time, by one
    task. A verdict of rule ``root`` names the root directory; with `scan` a whole scan begins. Reads
    run between applies on the same thread, never inside one. `read` yields pages and may be left at any page; between two pages
    the view may have changed, and the answer's quality says as of when it was. `commit` ends a
    batch: half moves that found no other half become what they are. `flush` writes back what is
    dirty, working for at most about `limit_s` seconds a call.
    """

    @property
    def Config(self) -> type[BaseModel]: ...  # noqa: N802 - the name is the contract

    def begin(self, moment: Moment) -> None: ...

    def known(self, key: Key) -> Known | None: ...

    def apply(self, verdict: Verdict) -> Applied: ...

    def commit(self) -> Applied: ...

    def read(self, query: Query, moment: Moment) -> Iterator[Page]: ...

    def flush(self, limit_s: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """A look that the view owes: ``look`` at a name or ``list`` a directory, at a view path."""

    kind: str
    path: bytes
    recursive: bool = False


@runtime_checkable
class Durable(Protocol):
    """A view whose state survives. `folder` is its own in the state directory.

    `open` reads the last checkpoint: (its journal position, the meta data given to it), or (0, b"").
    `checkpoint` copies what changed, between two batches, and returns the work that makes the copy
    durable: to be run once, in a worker thread; it may raise `DiskFull`, then `flush` retries all.
    `damage` says what could not be read back, as sentences.
    """

    def open(self, folder: Path, name: str) -> tuple[int, bytes]: ...

    def checkpoint(self, lsn: int, meta: bytes) -> Callable[[], None]: ...

    def dirty(self) -> int: ...

    def damage(self) -> list[str]: ...

    def close(self) -> None: ...


@runtime_checkable
class Seeking(Protocol):
    """A view that knows which looks it owes (arbitration.md §7) and what it may forget."""

    def looks(self, moment: Moment, limit: int) -> list[Wanted]: ...

    def owe(self, path: bytes, stamp: Seen, *, deep: bool) -> bool: ...

    def pending(self, path: bytes) -> tuple[int, int]: ...  # (listings owed, entries) below

    def forgettable(self, before_us: int, limit: int) -> list[Key]: ...

    def forget(self, keys: Sequence[Key]) -> None: ...

    def confirm(self, path: bytes, *, reject: bool) -> list[dict[str, Any]]: ...

    def alarms(self) -> list[str]: ...


# ------------------------------------------------------------------ receiver


class Accept(Protocol):
    """The way in: what a receiver hands to fusion. Raises the errors of `fustor_core.errors`."""

    async def open(self, hello: Hello) -> Grant: ...

    async def beat(self, session_id: str, pulse: Pulse) -> Answer: ...

    async def push(self, session_id: str, batch: Batch, body: bytes) -> Ack: ...

    async def close(self, session_id: str) -> None: ...


class Ask(Protocol):
    """The way to the answers. Documents are those of interfaces.md §2, ready for JSON.

    Raises `NoSuchView`, `QueryError`, `CursorTooOld`, `IllegalTransition`.
    """

    def query(self, view: str, query: Query) -> AsyncIterator[Page]: ...

    def follow(
        self, view: str, path: bytes, since: str | None
    ) -> AsyncIterator[list[dict[str, Any]]]: ...

    def views(self) -> list[dict[str, Any]]: ...

    def status(self) -> dict[str, Any]: ...

    async def command(self, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]: ...


@runtime_checkable
class Receiver(Protocol):
    """Serves requests until it is cancelled. `serve` decodes at the border, once, and no policy."""

    @property
    def Config(self) -> type[BaseModel]: ...  # noqa: N802 - the name is the contract

    def __init__(self, config: Any) -> None: ...

    async def serve(self, accept: Accept, ask: Ask) -> None: ...
