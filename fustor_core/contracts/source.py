"""What a source promises: it says what is there."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from pydantic import BaseModel

from fustor_core.claims import (
    Calm,
    Cell,
    Key,
    Listing,
    Origin,
    Owe,
    Root,
    Row,
    Same,
    Stamp,
    edge_row,
    is_dir,
    pack_rows,
    path_key,
    unpack_row,
)
from fustor_core.recall import Recall


def boottime_us() -> int:
    """CLOCK_BOOTTIME in µs: the raw clock of every line (MONOTONIC stops in suspend)."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


def view_names(path: bytes) -> list[bytes]:
    """The names of a view path, from the root downward; none for ``/``.

    Whatever comes from the other end of a wire is split here before anything is opened.

    Raises:
        ValueError: it is no view path: not absolute, or with ``.``, ``..`` or a NUL in it.
    """
    names = [name for name in path.split(b"/") if name]
    if not path.startswith(b"/") or b"\0" in path or b"." in names or b".." in names:
        raise ValueError(f"{path!r} is no path below the root")
    return names


def walk_order(path: bytes) -> bytes:
    """Sorts view paths as a walk goes: a directory, all that is below it, then its next sibling."""
    return path.rstrip(b"/").replace(b"/", b"\0")


def leads_to(path: bytes, end: bytes) -> bool:
    """Whether one view path is another, or above it."""
    return path == end or end.startswith(path.rstrip(b"/") + b"/")


def unhurried(operations: int, seconds: float) -> float:
    """The pace of a scan that leaves nobody any room: it never pauses."""
    return 0.0


@dataclass(slots=True)
class Scope:
    """What a source is asked to scan, and the maker of its listings.

    Attributes:
        path: view path where the scan begins. recursive: everything below too.
        origin: stamped on every claim. tier: see `Tiered`; ``full`` for all others.
        now_us: the raw clock.
        recall: what was sent last of each directory; None: nothing is known of that.
        deep: (which, of how many) shares of the directories are read whole in a cheap tier.
        after: view path; in a whole scan it and all that comes before it in the order of a walk
            (a directory, what is below it, then its next sibling by the bytes of its name) was told
            already. A source that does not go in this order begins anew.
        pace: told (operations, seconds that they took), says for how many seconds to pause.
    """

    path: bytes = b"/"
    recursive: bool = True
    origin: Origin = Origin.SNAPSHOT
    tier: str = "full"
    now_us: Callable[[], int] = boottime_us
    recall: Recall | None = None
    deep: tuple[int, int] = (0, 0)
    after: bytes = b""
    pace: Callable[[int, float], float] = unhurried
    _since: int = -1

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """The scan begins now: what was before it is no part of its first look."""
        self._since = self.now_us()

    def whole(self, key: Key) -> bool:
        """Whether this directory is read whole, with a stat of every file."""
        which, shares = self.deep
        if self.tier == "full" or self.recall is None:
            return True
        return shares > 0 and hash(key) % shares == which % shares

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

    The engine calls `scan` for the snapshot, each audit and on demand, one scan at a time: a source
    that can do more is `Overlapping`. The source yields each directory once, parents before their
    children; the iterator's end means that the scope was read whole, an exception that it was not.
    What cannot be read is data: an incomplete `Listing` with its reason, never an exception; a
    directory that is gone again is the `Cell` of its edge.
    The engine may stop iterating at any point (`aclose`).
    """

    @property
    def Config(self) -> type[BaseModel]: ...  # noqa: N802 - the name is the contract

    def __init__(self, config: Any) -> None: ...

    def scan(self, scope: Scope) -> AsyncIterator[Listing | Same | Calm | Cell]: ...


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
class Tiered(Protocol):
    """A source whose audits need not look at every file.

    `tiers`: those that it knows beside ``full``: ``directories`` (a stat of each directory) and
    ``names`` (names and inodes, too). There it yields `Same` for a directory that is as
    `Scope.recall` has it, or one `Calm` for many of them, and a whole listing of every other and
    where `Scope.whole` is true.
    """

    @property
    def tiers(self) -> frozenset[str]: ...


@runtime_checkable
class Resumable(Protocol):
    """A source whose whole scans go in the order of a walk, and go on behind `Scope.after`.

    `in_order` says whether this one does. The directories above `after` it passes without a claim.
    """

    @property
    def in_order(self) -> bool: ...


@runtime_checkable
class Overlapping(Protocol):
    """A source that may be scanned on demand beside a snapshot or an audit.

    `scans_at_once`: how many scans may run at the same time, of any scopes, the same one included;
    at least 2. Without it, what a person or fusion asks for waits until the whole scan is over.
    Two listings of one directory are told apart by the start of the look, whichever comes first.
    """

    @property
    def scans_at_once(self) -> int: ...


@runtime_checkable
class Chunked(Protocol):
    """A source that reads faster than its claims can be taken one by one.

    `chunks` yields what `scan` yields, in the same order and as soon, in lists.
    """

    def chunks(self, scope: Scope) -> AsyncIterator[Sequence[Listing | Same | Calm | Cell]]: ...


@runtime_checkable
class Covering(Protocol):
    """A watching source that can be told of directories that other hosts created.

    It watches and lists them; the listings come out of `watch`, on demand: nobody saw that happen.
    """

    async def cover(self, paths: Sequence[bytes]) -> None: ...


@runtime_checkable
class Polling(Protocol):
    """A watching source that looks again and again: a scan arms nothing, so followers need none.

    `polls` says what it polls, in a word or two, for people.
    """

    @property
    def polls(self) -> str: ...


@runtime_checkable
class Looking(Protocol):
    """A source that can look at single names, revalidating, claiming every edge on the way.

    Of a directory at the end of a path it claims the own attributes too (a cell without a name):
    nobody else settles a dispute about those before the directory is listed again.
    """

    async def look(self, paths: Sequence[bytes]) -> Sequence[Cell]: ...


@runtime_checkable
class Rooted(Protocol):
    """A source whose root has an identity, checked before and after each scan."""

    async def identity(self) -> Root: ...


@runtime_checkable
class Bearing(Protocol):
    """A source of inodes, whose keys hold a birth: of one kind for all agents of a view.

    `bear(kind)` is called in each new session with the kind that the view has (``btime``,
    ``handle``, ``none``), before anything is sent in it. From then on keys are made so.

    It returns True when they were made otherwise until now: then all keys that were given out
    mean nothing any more, and the watch is entered anew. It raises `Refused` when the storage
    cannot have that kind, naming the one that it has.
    """

    async def bear(self, kind: str) -> bool: ...


@runtime_checkable
class Reporting(Protocol):
    """A source that can say how well it watches, for `fustor pipe show`.

    `coverage()` returns {watched_dirs, watch_limit, uncovered: [view path], excluded: [view path]},
    and may say by what it watches (`watched_by`: fanotify, inotify or nothing, "") and why not by
    something better (`watched_why`), and what is amiss (`warnings`, with what to do after "; ").
    """

    def coverage(self) -> dict[str, Any]: ...
