"""`FileView`: the view driver that the engine sees."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from fustor_core.claims import Key, Listing, Still
from fustor_core.contracts import Applied, Known, Moment, Page, Query, Verdict, Wanted
from fustor_core.files.compiled import compiled
from fustor_core.registers import Seen
from fustor_core.units import Seconds, Size
from fustor_view_file import looks, tally
from fustor_view_file.answers import answer
from fustor_view_file.apply import Registers
from fustor_view_file.budget import Budget
from fustor_view_file.cold import ColdStore
from fustor_view_file.feed import Feed
from fustor_view_file.firsts import Plain, plain
from fustor_view_file.guard import Guard
from fustor_view_file.holding import WHOLE
from fustor_view_file.keeping import Keeper
from fustor_view_file.stills import take


class GuardConfig(BaseModel):
    """How much one scan may remove before it needs a second look."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    count: int = Field(default=1000, ge=0, description="entries that may always go")
    ratio: float = Field(default=0.10, ge=0, le=1, description="share that may go")
    second_look: Seconds = Field(
        default=60,
        ge=0,
        description="a second whole scan this much later confirms; 0 = only a person does",
    )


class FileView:
    """A view of a file tree in directory packs (DESIGN §6).

    `name` is the view's name, used in answers. Without `open` it lives in memory alone.
    """

    class Config(BaseModel):
        """Options of the driver."""

        model_config = ConfigDict(extra="forbid", frozen=True)
        memory_budget: Size | None = Field(
            default=None,
            description="bytes that the view may take: what was not used for long is compressed, "
            "or left on the disk; its directories stay, 750 bytes each; null = all packs hot",
        )
        mass_delete_guard: GuardConfig = GuardConfig()

    def __init__(self, config: Config) -> None:
        self.config = config
        self.name = ""
        self.registers = self._empty()
        self._keeper: Keeper | None = None
        self._adds_up = compiled().adds_up

    def _empty(self) -> Registers:
        guard = self.config.mass_delete_guard
        guarded = Guard(guard.count, guard.ratio, int(guard.second_look * 1e6))
        budget = Budget(self.config.memory_budget)
        return Registers(Feed(uuid.uuid4().hex[:8]), guarded, budget)

    def adjust(self, config: Config) -> bool:
        """Take another guard; another budget needs a new view."""
        if config.memory_budget != self.config.memory_budget:
            return False
        self.config = config
        limits, guard = config.mass_delete_guard, self.registers.guard
        guard.count, guard.ratio = limits.count, limits.ratio
        guard.second_look_us = int(limits.second_look * 1e6)
        return True

    # ---- View

    def begin(self, moment: Moment) -> None:
        """A batch begins; it came at this moment."""
        self.registers.tree.now_us = moment.now_us
        self.registers.teller.begin(moment.now_us, moment.wall_ns)
        self.registers.sightings.begin(moment.by, moment.audit, moment.now_us, moment.wall_ns)

    def known(self, key: Key) -> Known | None:
        """The directory of a key, None when it was never heard of."""
        return self.registers.tree.dirs.get(key)

    def apply(self, verdict: Verdict) -> Applied:
        """Do what a verdict says."""
        if verdict.rule == "root":
            self.registers.set_root(verdict.key)
            if verdict.scan or verdict.settles is not None:
                self.registers.alarms += self.registers.guard.begin()
            self.registers.whole = self.registers.whole or verdict.settles is not None
        else:
            self.registers.apply(verdict)
        return Applied()

    def settling(self) -> Iterator[None]:
        """What is long in the end of a batch, step by step; `commit` does what is left of it."""
        links = self.registers.links
        return links.settling(scanning=self.registers.scanning)

    def commit(self) -> Applied:
        """End a batch."""
        return self.registers.commit()

    def read(self, query: Query, moment: Moment) -> Iterator[Page]:
        """Answer a question; raises `QueryError` for one that makes no sense."""
        return answer(self.name, self.registers, query, moment)

    def flush(self, limit_s: float) -> None:
        """Put away packs that are too many."""
        self.registers.settle()

    # ---- Recognising

    def still(self, claim: Still, at: int, end: int, seen: Seen) -> int:
        """Note which directories were looked at and are as they were."""
        self.registers.scanning = self.registers.scanning or claim.origin in WHOLE
        taken = take(self.registers.tree, claim, at, end, seen)
        if taken > at:
            self.registers.teller.origin = claim.origin
        return taken

    def plain(self, listings: Sequence[Listing], before_ns: int) -> Sequence[Plain | None]:
        """What each of these listings adds up to, where they are plain."""
        if self.registers.ready:
            return [None] * len(listings)
        return plain(listings, before_ns, self._adds_up)

    def first(self, run: Iterable[tuple[Listing, Plain | None, int, int]], line: int) -> int:
        """Take first listings of directories, of which `plain` has told."""
        registers = self.registers
        if registers.ready:
            return 0
        taken, origins = registers.firsts.take(run, line)
        for origin in origins:
            registers.scanning = registers.scanning or origin in WHOLE
            registers.teller.origin = origin
        return taken

    def summed(self) -> None:
        """Bring what is above them up to date."""
        self.registers.firsts.settle()

    # ---- Durable

    def open(self, folder: Path, name: str) -> tuple[int, bytes]:
        """Read the last checkpoint in `folder`; what was told since then by cursors is void."""
        self.name = name
        again = self._keeper is not None
        registers = self._empty() if again else self.registers
        cold = self._keeper.cold if self._keeper is not None else ColdStore(folder)
        keeper = Keeper(registers, cold)
        incarnation = registers.feed.incarnation
        found = keeper.restore()
        if again:
            registers.feed.incarnation = incarnation
        self.registers, self._keeper = registers, keeper
        return found

    def checkpoint(self, lsn: int, meta: bytes) -> Iterator[Callable[[], None]]:
        """Copy what changed, step by step; the work of the last step makes it durable."""
        assert self._keeper is not None
        return self._keeper.checkpoint(lsn, meta)

    def dirty(self) -> int:
        """How many directories changed since the last checkpoint."""
        return len(self.registers.tree.dirty) + len(self.registers.tree.looks)

    def damage(self) -> list[str]:
        """What could not be read back, as sentences; told once."""
        if self._keeper is None:
            return []
        lost, self._keeper.lost = self._keeper.lost, []
        return lost

    def close(self) -> None:
        """Close the cold store."""
        if self._keeper is not None:
            self._keeper.cold.close()

    # ---- Seeking

    def looks(self, moment: Moment, limit: int) -> list[Wanted]:
        """The looks that are owed below the root."""
        found = looks.wanted(self.registers, moment, limit)
        self.registers.settle()
        return found

    def ripe(self, moment: Moment, limit: int) -> tuple[list[Wanted], int | None]:
        """Looks at suspects whose hot window is over, and when that of the next one is."""
        found = looks.ripe(self.registers.tree, moment, limit)
        self.registers.settle()
        return found

    def owe(self, path: bytes, stamp: Seen, *, deep: bool) -> bool:
        """Owe a listing of the directory at a path, of all below it when `deep`."""
        directory = self.registers.tree.directory_at(path)
        if directory is None:
            return False
        self.registers.tree.owe(directory, stamp, deep=deep, reason="not_yet", quiet=True)
        return True

    def place(self, path: bytes) -> tuple[Key, bytes] | None:
        """The register at a path: its directory's key and its name; None when that is not known."""
        parent, name, _ = self.registers.tree.find(path)
        return (parent.key, name) if parent is not None else None

    def where(self, key: Key) -> bytes | None:
        """The path of a directory that hangs below the root."""
        directory = self.registers.tree.dirs.get(key)
        shown = directory is not None and self.registers.tree.visible(directory)
        return directory.path() if directory is not None and shown else None

    def pending(self, path: bytes) -> tuple[int, int]:
        """(listings that are owed and can be had, entries) at and below a path."""
        directory = self.registers.tree.directory_at(path)
        if directory is None:
            return 0, 0
        count = directory.count
        entries = count[tally.FILES] + count[tally.DIRS] + count[tally.OTHERS]
        return looks.listable(self.registers.tree, directory), entries

    def forgettable(self, before_us: int, limit: int) -> list[Key]:
        """Unseated directories that nothing has named since `before_us`."""
        return looks.forgettable(self.registers.tree, before_us, limit)

    def forget(self, keys: Sequence[Key]) -> None:
        """Drop unseated directories."""
        for key in keys:
            self.registers.forget(key)

    def confirm(self, path: bytes, *, reject: bool) -> list[dict[str, Any]]:
        """Let frozen removals at and below a path happen, or throw them away."""
        return self.registers.confirm(path, reject=reject)

    def alarms(self) -> list[str]:
        """What a person should hear of, told once."""
        told, self.registers.alarms = self.registers.alarms, []
        return told
