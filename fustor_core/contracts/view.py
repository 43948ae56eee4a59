"""What a view promises: it holds the state and answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from pydantic import BaseModel

from fustor_core.claims import (
    Key,
    Listing,
    Owed,
    Still,
)
from fustor_core.contracts.arbitrator import Known, Verdict
from fustor_core.registers import Seen


@dataclass(frozen=True, slots=True)
class Query:
    """A question to a view; options as in interfaces.md §2, times in ns, sizes in bytes.

    Attributes:
        verb: ``ls tree stat du find stable changes suspects debts blind-spots explain status``,
            and ``blind-directories``: the same by directory.
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
        list_name: the key of the items in the whole document, "" when there are none.
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
        hot_us: how long after a look a suspect is looked at again.
        watched_since_us: since when a watching session has fed it without a gap, None = not now.
        by: agent whose batch is applied, "" for a question. audit: number of the audit that runs
            or comes next.
    """

    now_us: int
    wall_ns: int
    storage_ns: int
    heard_us: int | None
    stale: bool
    epoch: int
    watched_since_us: int | None = None
    hot_us: int = 30_000_000
    uncovered: tuple[bytes, ...] = ()
    by: str = ""
    audit: int = 0


@dataclass(slots=True)
class Applied:
    """What a verdict did: for the feed, the reply and the hooks."""

    changes: int = 0  # number of the view's newest change
    owed: list[Owed] = field(default_factory=list)
    alarms: list[str] = field(default_factory=list)


@runtime_checkable
class View(Protocol):
    """Holds the state and answers.

    `begin` opens a batch and says when it came; `apply` is called for one verdict at a time, by one
    task. A verdict of rule ``root`` names the root directory; with `scan` a whole scan begins, with
    `settles` one is over.
    `commit` ends a batch: half moves that found no other half become what they are.
    Reads run between applies on the same thread, never inside one. `read` yields pages and may be
    left at any page; between two pages the view may have changed, and the answer's quality says as
    of when it was. `flush` works off housekeeping for at most about `limit_s` seconds a call.
    """

    @property
    def Config(self) -> type[BaseModel]: ...  # noqa: N802 - the name is the contract

    def begin(self, moment: Moment) -> None: ...

    def known(self, key: Key) -> Known | None: ...

    def apply(self, verdict: Verdict) -> Applied: ...

    def commit(self) -> Applied: ...

    def read(self, query: Query, moment: Moment) -> Iterator[Page]: ...

    def flush(self, limit_s: float) -> None: ...


@runtime_checkable
class Settling(Protocol):
    """The end of a batch may take long; reads run between two steps of `settling`, changes never.

    It is gone through before `commit`, which does by itself what was not.
    """

    def settling(self) -> Iterator[None]: ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """A look that the view owes: ``look`` at a name or ``list`` a directory, at a view path."""

    kind: str
    path: bytes
    recursive: bool = False


@runtime_checkable
class Durable(Protocol):
    """A view whose state survives. `folder` is its own in the state directory.

    `open` reads the last checkpoint: its journal position and the meta data given to it, (0, b"")
    at a first start. Called again, never while a checkpoint is written, it forgets what came since
    then; cursors that were given out are too old from there on.
    `checkpoint` copies what changed, between two batches, in small steps, between which questions
    are answered. What its last step gives is the work that makes the copy durable, to be run once,
    in a worker thread; it may raise `DiskFull`, then the next checkpoint holds all of it again.
    `damage` says what could not be read back, as sentences.
    """

    def open(self, folder: Path, name: str) -> tuple[int, bytes]: ...

    def checkpoint(self, lsn: int, meta: bytes) -> Iterator[Callable[[], None]]: ...

    def dirty(self) -> int: ...

    def damage(self) -> list[str]: ...

    def close(self) -> None: ...


@runtime_checkable
class Seeking(Protocol):
    """A view that knows which looks it owes (arbitration.md §7) and what it may forget.

    `looks` gives all of them; `ripe` those at suspects whose hot window is over, and the fusion
    time at which that of the next one is, None when there is none.
    """

    def looks(self, moment: Moment, limit: int) -> list[Wanted]: ...

    def ripe(self, moment: Moment, limit: int) -> tuple[list[Wanted], int | None]: ...

    def owe(self, path: bytes, stamp: Seen, *, deep: bool) -> bool: ...

    def place(self, path: bytes) -> tuple[Key, bytes] | None: ...  # the register at a path

    def pending(self, path: bytes) -> tuple[int, int]: ...  # (listings owed, entries) below

    def forgettable(self, before_us: int, limit: int) -> list[Key]: ...

    def forget(self, keys: Sequence[Key]) -> None: ...

    def confirm(self, path: bytes, *, reject: bool) -> list[dict[str, Any]]: ...

    def alarms(self) -> list[str]: ...


@runtime_checkable
class Recognising(Protocol):
    """A view that takes many unchanged listings at once, where an arbitrator is `Sparing`.

    `still` notes of the directories from `at` on (until before `end`) that they were looked at, up
    to the first of which more is to be decided, and gives the place of that one, or `end`. It does
    to the state what the judgements of as many listings do.

    `plain` says of each listing what its rows add up to, None where they are more than entries that
    count and are older than `before_ns`. `first` takes the first listings of directories up to one
    of which more is to be decided, and says how many it has taken. It is given each with what
    `plain` said of it and the fusion interval of its stamp, all of one line. What directories above
    count is right when `summed` was called.
    """

    def still(self, claim: Still, at: int, end: int, seen: Seen) -> int: ...

    def plain(self, listings: Sequence[Listing], before_ns: int) -> Sequence[Any]: ...

    def first(self, run: Iterable[tuple[Listing, Any, int, int]], line: int) -> int: ...

    def summed(self) -> None: ...


@runtime_checkable
class Locating(Protocol):
    """A view that knows where a directory is: its path, None when it has none or is not shown."""

    def where(self, key: Key) -> bytes | None: ...
