"""A view that is told claims, with the truth beside it, and the questions to it."""

from __future__ import annotations

import base64
import stat
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from fustor_arbitrator_fs import FSArbitrator
from fustor_view_file.answers import answer
from fustor_view_file.apply import Registers
from fustor_view_file.feed import Feed
from fustor_view_file.guard import Guard

from fustor_core.claims import (
    Cell,
    Claim,
    Key,
    Listing,
    Origin,
    Owe,
    Row,
    Stamp,
    edge_row,
    pack_rows,
)
from fustor_core.contracts import Facts, Moment, Page, Query
from fustor_core.registers import Seen

SECOND_US = 1_000_000
WALL_NS = 1_700_000_000 * 10**9  # storage time and wall time when fusion time is 0
LONG_AGO_NS = 1_500_000_000 * 10**9
DIR_MODE = stat.S_IFDIR | 0o755


class Folder:
    """A directory of the truth: its inode, its own attributes, what stands in it."""

    def __init__(self, ino: int) -> None:
        self.key = Key(0, ino, 0)
        self.own = Row(4096, LONG_AGO_NS, LONG_AGO_NS, ino, DIR_MODE, 0, 0, 2)
        self.names: dict[bytes, Row | Folder] = {}

    def rows(self) -> dict[bytes, Row | bytes]:
        """Its entries as a listing has them."""
        return {
            name: edge_row(at.key, DIR_MODE) if isinstance(at, Folder) else at
            for name, at in self.names.items()
        }


class Grove:
    """The truth, a view of it, and fusion time, which moves a second with each claim."""

    def __init__(self, *, removals: int = 1_000_000) -> None:
        self.top = Folder(1)
        self.inodes = 1
        self.now_us = SECOND_US
        self.registers = Registers(Feed("f1"), Guard(removals, 0.0, 60 * SECOND_US))
        self.registers.tree.set_root(self.top.key)
        self.arbitrator = FSArbitrator(FSArbitrator.Config())
        self.ordinal = 0
        self.fed: dict[str, Any] = {"stale": False, "epoch": 7, "watched_since_us": 0}

    # ---- the truth

    def parts(self, path: bytes) -> list[bytes]:
        return [part for part in path.split(b"/") if part]

    def folder(self, path: bytes) -> Folder:
        at = self.top
        for name in self.parts(path):
            found = at.names.setdefault(name, Folder(self.inode()))
            assert isinstance(found, Folder)
            at = found
        return at

    def inode(self) -> int:
        self.inodes += 1
        return self.inodes

    def file(self, path: bytes, **columns: Any) -> Row:
        """Put an entry into the truth; its times are long ago unless told otherwise."""
        columns = {
            "size": 10,
            "mtime_ns": LONG_AGO_NS,
            "ctime_ns": LONG_AGO_NS,
            "ino": self.inode(),
            **columns,
        }
        row = Row(**columns)
        parent, _, name = path.rpartition(b"/")
        self.folder(parent).names[name] = row
        return row

    def walk(self) -> Iterator[tuple[bytes, Row | Folder]]:
        """(path, what it is) of everything but the root, in the order of `find`."""
        stack: list[tuple[bytes, Folder]] = [(b"", self.top)]
        while stack:
            prefix, at = stack.pop()
            below = []
            for name, entry in sorted(at.names.items()):
                yield prefix + b"/" + name, entry
                if isinstance(entry, Folder):
                    below.append((prefix + b"/" + name, entry))
            stack.extend(reversed(below))

    # ---- claims

    def tell(self, *claims: Claim) -> None:
        """One batch."""
        registers = self.registers
        for claim in claims:
            self.now_us += SECOND_US
            self.ordinal += 1
            kind = claim.stamp.kind
            at = self.ordinal if kind == "e" else self.now_us
            seen = Seen(self.now_us, self.now_us, 1, self.now_us, self.now_us, at, kind)
            self.judged(claim, seen)
        registers.commit()

    def judged(self, claim: Claim, seen: Seen) -> None:
        """One claim that was seen just then."""
        assert isinstance(claim, Cell | Listing | Owe)
        registers = self.registers
        registers.tree.now_us = self.now_us
        registers.teller.begin(self.now_us, WALL_NS + self.now_us * 1000)
        facts = Facts(seen, self.now_us, self.moment().storage_ns)
        known = registers.tree.dirs.get(claim.dir)
        registers.apply(self.arbitrator.judge(known, claim, facts))

    def listing(self, path: bytes, origin: Origin = Origin.SNAPSHOT, **more: Any) -> Listing:
        folder = self.folder(path)
        names, rows = pack_rows(folder.rows())
        return Listing(
            dir=folder.key,
            stamp=Stamp(0, 0, 0, "l"),
            origin=origin,
            path=path,
            **{"names": names, "rows": rows, "own": folder.own.pack(), **more},
        )

    def cell(
        self, path: bytes, origin: Origin = Origin.REALTIME, flags: int = 0, *, gone: bool = False
    ) -> Cell:
        parent, _, name = path.rpartition(b"/")
        folder = self.folder(parent)
        value = None
        if not gone:
            entry = folder.names[name]
            value = edge_row(entry.key) if isinstance(entry, Folder) else entry.pack()
        else:
            folder.names.pop(name, None)
        kind = "e" if origin is Origin.REALTIME else "s"
        stamp = Stamp(0, 0, 0, kind)
        return Cell(dir=folder.key, name=name, value=value, stamp=stamp, origin=origin, flags=flags)

    def owe(self, path: bytes, *, deep: bool = False, reason: str = "overflow") -> Owe:
        return Owe(
            dir=self.folder(path).key,
            deep=deep,
            reason=reason,
            stamp=Stamp(0, 0, 0, "e"),
            origin=Origin.REALTIME,
        )

    def scan(self, origin: Origin = Origin.SNAPSHOT) -> None:
        """List everything, parents first."""
        self.tell(self.listing(b"/", origin))
        for path, entry in list(self.walk()):
            if isinstance(entry, Folder):
                self.tell(self.listing(path, origin))

    # ---- questions

    def moment(self) -> Moment:
        wall_ns = WALL_NS + self.now_us * 1000
        return Moment(
            **{
                "now_us": self.now_us,
                "wall_ns": wall_ns,
                "storage_ns": wall_ns,
                "heard_us": self.now_us - SECOND_US,
                **self.fed,
            }
        )

    def pages(self, verb: str, path: bytes = b"/", **options: Any) -> Iterator[Page]:
        query = Query(verb, path, **options)
        return answer("view", self.registers, query, self.moment())

    def ask(self, verb: str, path: bytes = b"/", **options: Any) -> dict[str, Any]:
        """The whole document."""
        items: list[dict[str, Any]] = []
        last = Page([])
        for page in self.pages(verb, path, **options):
            assert last.document is None
            items += page.items
            last = page
        assert last.document is not None
        assert not items or last.list_name
        lists = {last.list_name: items} if last.list_name else {}
        return {**last.document, **lists}

    def found(self, *patterns: bytes, **options: Any) -> list[bytes]:
        """Paths that `find` tells, all of them."""
        options = {"limit": None, **options}
        pattern = patterns[0] if patterns else b"*"
        return paths(self.ask("find", options.pop("path", b"/"), pattern=pattern, **options))


def raw(document: Mapping[str, Any], key: str = "path") -> bytes:
    """The bytes of a path or name in a document."""
    if f"{key}_b64" in document:
        assert key not in document
        return base64.b64decode(document[f"{key}_b64"])
    return str(document[key]).encode()


def paths(document: Mapping[str, Any], key: str = "") -> list[bytes]:
    """The paths of a document's list."""
    lists = [key] if key else [k for k in ("entries", "matches", "changes") if k in document]
    return [raw(entry) for entry in document[lists[0]]]


class Tools:
    """What the tests of answers share."""

    Grove = Grove
    Folder = Folder
    raw = staticmethod(raw)
    paths = staticmethod(paths)
    SECOND_US = SECOND_US
    WALL_NS = WALL_NS
    LONG_AGO_NS = LONG_AGO_NS


@pytest.fixture(scope="session")
def tools() -> type[Tools]:
    return Tools


@pytest.fixture
def grove() -> Grove:
    return Grove()
