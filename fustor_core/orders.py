"""What fusion wants looked at, as a pipe keeps it until its sentinel gets to it. Pure.

The same wish counts once, however often it comes. Instants are µs of a clock of the caller's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

from fustor_core.claims import Key, Owed
from fustor_core.contracts import Command, view_names

FIRST_US = 50_000  # before an owed directory is listed: others of the same burst come along
AGAIN_US_MAX = 5_000_000  # one that comes again and again is listed ever more rarely, to this
KEPT = 10_000  # commands and directories that are remembered
KINDS = ("scan", "look", "list", "watch")

Name = TypeVar("Name", str, bytes)
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Listable:
    """A directory to list.

    Attributes:
        due_us: not before. key: which directory is expected there, if that was said.
        deep: everything below, too.
    """

    path: bytes
    due_us: int
    key: Key | None = None
    deep: bool = False


class Orders:
    """What is to be done, by kind."""

    def __init__(self) -> None:
        self._looks: dict[bytes, None] = {}
        self._covers: dict[bytes, None] = {}
        self._scans: dict[str, Command] = {}
        self._lists: dict[bytes, Listable] = {}
        self._listed: dict[bytes, tuple[int, int]] = {}  # path → when, and the pause after it
        self._known: dict[str, None] = {}

    def __repr__(self) -> str:
        return f"<Orders {self.waiting} waiting>"

    @property
    def waiting(self) -> int:
        """How many things are to be done."""
        return len(self._looks) + len(self._covers) + len(self._scans) + len(self._lists)

    def take_command(self, command: Command, now_us: int, *, seeks: bool = True) -> str | None:
        """An order that came with a heartbeat; one that came before is not taken twice.

        What leads out of the root is not done, and neither is what cannot be kept.

        Args:
            seeks: whether looks and lists are done at all (`sentinel_interval_sec` is not 0).

        Returns:
            What of it is not done, for people; None when all of it is.
        """
        if command.id in self._known:
            return None
        _keep(self._known, command.id, None)
        if command.kind not in KINDS:
            return f"fusion asks for {command.kind!r}, which is not known here"
        targets: list[tuple[Key | None, bytes]] = []
        told: str | None = None
        for key, path in command.targets[: max(0, KEPT - self.waiting)]:
            try:
                view_names(path)
            except ValueError as error:
                told = f"fusion asks for a {command.kind} that is refused: {error}"
            else:
                targets.append((key, path))
        if len(command.targets) > KEPT - self.waiting:
            told = f"fusion asks for more than {KEPT} things at once: the rest is left out"
        if command.kind == "scan" and targets:
            self._scans[command.id] = replace(command, targets=tuple(targets))
        for key, path in targets:
            if command.kind == "watch":
                self._covers[path] = None
            elif command.kind == "look" and seeks:
                self._looks[path] = None
            elif command.kind == "list" and seeks:
                self._want(path, key, now_us, deep=command.recursive)
        return told

    def take_owed(self, directories: Iterable[Owed], now_us: int) -> None:
        """Directories that an acknowledgement has named; not what leads out of the root."""
        for one in directories:
            try:
                view_names(one.path)
            except ValueError:
                continue
            self._want(one.path, one.key, now_us, deep=one.deep)

    def clear(self) -> None:
        """The session is over: the next one says anew what is wanted."""
        self._looks.clear()
        self._covers.clear()
        self._scans.clear()
        self._lists.clear()
        self._known.clear()

    def _want(self, path: bytes, key: Key | None, now_us: int, *, deep: bool) -> None:
        last_us, pause_us = self._listed.get(path, (0, 0))
        due_us = max(now_us + FIRST_US, last_us + pause_us)
        old = self._lists.get(path)
        if old is not None:
            due_us, deep = min(old.due_us, due_us), deep or old.deep
        self._lists[path] = Listable(path, due_us, key, deep)

    def due_us(self) -> int | None:
        """When the next thing is to be done; 0 = at once, None = nothing is."""
        if self._looks or self._covers or self._scans:
            return 0
        return min((one.due_us for one in self._lists.values()), default=None)

    def looks(self) -> list[bytes]:
        """Takes out the names to look at."""
        return _drained(self._looks)

    def covers(self) -> list[bytes]:
        """Takes out the directories to watch, too."""
        return _drained(self._covers)

    def scans(self) -> list[Command]:
        """Takes out the scans on demand."""
        scans = list(self._scans.values())
        self._scans.clear()
        return scans

    def lists(self, now_us: int) -> list[Listable]:
        """Takes out the directories to list that are due, by path.

        One whose parent is listed deeply in the same breath is not listed again.
        """
        due = sorted((one for one in self._lists.values() if one.due_us <= now_us), key=_by_path)
        chosen: list[Listable] = []
        tops: list[bytes] = []
        for one in due:
            del self._lists[one.path]
            if any(one.path.startswith(top) for top in tops):
                continue
            if one.deep:
                tops.append(one.path.rstrip(b"/") + b"/")
            chosen.append(one)
            last_us, pause_us = self._listed.get(one.path, (0, 0))
            calm = now_us - last_us > 4 * AGAIN_US_MAX
            grown = FIRST_US if calm else min(AGAIN_US_MAX, max(FIRST_US, 2 * pause_us))
            _keep(self._listed, one.path, (now_us, grown))
        return chosen


def _by_path(one: Listable) -> bytes:
    return one.path


def _drained(wishes: dict[bytes, None]) -> list[bytes]:
    paths = list(wishes)
    wishes.clear()
    return paths


def _keep(kept: dict[Name, Value], key: Name, value: Value) -> None:
    """Remember at the end; the oldest is forgotten beyond `KEPT`."""
    kept.pop(key, None)
    kept[key] = value
    if len(kept) > KEPT:
        del kept[next(iter(kept))]
