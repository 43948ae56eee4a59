"""Where a pipe observes from: its source, its outbox, and what is under way between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field

import anyio

from fustor_core.claims import Root
from fustor_core.contracts import Covering, Looking, Overlapping, Rooted, Source
from fustor_core.orders import Orders
from fustor_core.outbox import Outbox
from fustor_core.recall import Recall
from fustor_core.tallies import Tallies
from fustor_core.tempo import Tempo
from fustor_core.waiting import Sleep

HANGS_S = 5.0  # a scan that has not moved for so long hangs


@dataclass(slots=True, eq=False)
class Progress:
    """How far a piece of work with the source has come; goes out with heartbeats.

    Attributes:
        started_us, progress_us: raw clock, of the beginning and of the last directory.
        path: where it was last. sends: it waits for the outbox, not for the source.
    """

    started_us: int
    progress_us: int
    directories: int = 0
    entries: int = 0
    path: bytes = b"/"
    sends: bool = False

    def document(self) -> dict[str, int]:
        """As `Pulse.scan` carries it."""
        return {
            "started_us": self.started_us,
            "progress_us": self.progress_us,
            "directories": self.directories,
        }


@dataclass(slots=True)
class Post:
    """What the phases of a pipe share.

    Attributes:
        turn: held while a whole scan runs; see `beside`.
        works: scans and looks that are under way.
        stuck: where a scan stood still when the lead was lost; None once one went through again.
        proof: the last proof that a root was there.
        rootless_us: since when looks at the root fail; None = the last one has not.
        news: set when an order has come in.
        recall: what was sent of each directory in this session and role. tempo: of audits.
        tallies: what was counted.
        rooted, covering, looking: the source, when it can do that. overlapping: it can do two
            scans at once.
    """

    source: Source
    outbox: Outbox
    now_us: Callable[[], int]
    sleep: Sleep
    orders: Orders = field(default_factory=Orders)
    turn: anyio.Lock = field(default_factory=anyio.Lock)
    works: list[Progress] = field(default_factory=list)
    stuck: bytes | None = None
    proof: Root | None = None
    rootless_us: int | None = None
    news: anyio.Event = field(default_factory=anyio.Event)
    recall: Recall = field(default_factory=Recall)
    tempo: Tempo = field(default_factory=Tempo)
    tallies: Tallies = field(default_factory=Tallies)
    rooted: Rooted | None = field(init=False)
    covering: Covering | None = field(init=False)
    looking: Looking | None = field(init=False)
    overlapping: bool = field(init=False)

    def __post_init__(self) -> None:
        source = self.source
        self.rooted = source if isinstance(source, Rooted) else None
        self.covering = source if isinstance(source, Covering) else None
        self.looking = source if isinstance(source, Looking) else None
        self.overlapping = isinstance(source, Overlapping)

    @contextmanager
    def at_work(self) -> Iterator[Progress]:
        """Something is asked of the source inside; it may hang there."""
        now = self.now_us()
        work = Progress(now, now)
        self.works.append(work)
        try:
            yield work
        finally:
            self.works.remove(work)

    @property
    def progress(self) -> Progress | None:
        """Of the work that has stood still the longest; None when nothing is under way."""
        return min(self.works, key=lambda work: work.progress_us, default=None)

    def give_up(self) -> str | None:
        """The lead is lost: what people should know if the storage has not answered; else None."""
        work = self.progress
        seconds = (self.now_us() - work.progress_us) / 1e6 if work is not None else 0.0
        if work is None or work.sends or seconds < HANGS_S:
            return None
        self.stuck = work.path
        where = work.path.decode(errors="backslashreplace")
        return f"the storage has not answered for {seconds:.0f} s; the last answer was {where}"

    def beside(self) -> AbstractAsyncContextManager[object]:
        """Held for a scan on demand: a source that cannot do two scans at once does them in turn.

        Claims keep their order either way: two listings of one line are ordered by the start of
        the look (arbitration.md §3), whichever is sent first.
        """
        return nullcontext() if self.overlapping else self.turn
