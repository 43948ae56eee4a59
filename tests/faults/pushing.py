"""Clients that push batches until the server dies, and know what was acknowledged to them."""

from __future__ import annotations

import math
import random
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx

from fustor_core.claims import Cell, Claim, Key, Listing, Origin, Row, Stamp, edge_row, pack_rows
from fustor_core.contracts import boottime_us
from tests.hosts.stranger import Stranger, root

ROOT = Key(0, 2, 1)
HOT = 6
GONE = None
REFUSALS = (500, 503, 507)  # the disk failed, or is full


@dataclass
class Batch:
    """What is on its way: its number, its body, and what it changes (view path → size)."""

    seq: int
    body: bytes
    changes: dict[str, int | None] = field(default_factory=dict)


class Pusher:
    """One session; a batch that was not answered is sent again after a restart.

    Args:
        name: prefix of all names that it pushes, and its pipe.

    Attributes:
        lists_root: its first batch has a listing of the root, which is empty.
        sure: what was acknowledged, view path → size. under_way: what was not answered yet.
        told_at: each acknowledged batch, and when that was known, in seconds of the wall clock.
    """

    def __init__(self, port: int, key: str, name: str) -> None:
        self.name = name
        self.lists_root = False
        self.stranger = Stranger(port, key, name)
        self.sure: dict[str, int | None] = {}
        self.under_way: Batch | None = None
        self.acked = 0
        self.told_at: list[tuple[float, Batch]] = []
        self.told: Counter[str] = Counter()
        """How often: sessions, cut off, sent again, refused with a status."""
        self._rng = random.Random(name)
        self._seq = 0
        self._made = 0
        self._ordinal = 0

    def close(self) -> None:
        """Hang up."""
        self.stranger.http.close()

    def push(self, batches: int) -> None:
        """Push until so many were acknowledged, or the server is gone."""
        try:
            if not self.stranger.session_id:
                self._open()
            for _ in range(batches):
                self._send()
        except httpx.TransportError:
            self.told["cut off"] += 1

    def _open(self) -> None:
        line = {"boot": "another", "process": self.name, "mount": "m", "cache_bound_s": 0}
        self.stranger.opened(session_timeout_s=120.0, pipe=self.name, line=line)
        self._seq, self.under_way = 0, None
        self.told["sessions"] += 1

    def _send(self) -> None:
        if self.under_way is None:
            self.under_way = self._batch()
        else:
            self.told["sent again"] += 1
        reply = self.stranger.push(self.under_way.body)
        if reply.status_code in REFUSALS:  # not acknowledged; it is sent again, as an agent would
            self.told[f"refused {reply.status_code}"] += 1
            return
        assert reply.status_code == 200, f"{self.name}: {reply.status_code} {reply.text[:500]}"
        assert not reply.json()["quarantined"], reply.text
        self.acked += 1
        self.told_at.append((time.time(), self.under_way))
        self.sure.update(self.under_way.changes)
        self.under_way = None

    def _batch(self) -> Batch:
        self._seq += 1
        batch = Batch(self._seq, b"")
        claims: list[Claim] = [root("stranger", ROOT)] if self._seq == 1 else []
        if self._seq == 1 and self.lists_root:
            claims.append(_listing(ROOT, {}))
        for _ in range(self._rng.randint(1, 4)):
            claims.extend(self._claims(batch.changes))
        batch.body = self.stranger.batch(self._seq, claims, 0)
        return batch

    def _claims(self, changes: dict[str, int | None]) -> list[Claim]:
        """A new file, a changed one, a removed one, or a new directory with files."""
        what = self._rng.choice(("new", "hot", "hot", "hot", "hot", "gone", "folder"))
        size = self._made = self._made + 1
        if what == "folder" and not size % 3:
            return self._folder(changes, size)
        name = f"{self.name}-{size}" if what == "new" else f"{self.name}-hot{size % HOT}"
        if what == "gone":
            changes[f"/{name}"] = GONE
            return [self._cell(name, None)]
        changes[f"/{name}"] = size
        return [self._cell(name, Row(size=size, ino=size).pack())]

    def _folder(self, changes: dict[str, int | None], number: int) -> list[Claim]:
        key = Key(0, 1000 + number, sum(self.name.encode()))
        name = f"{self.name}-dir{number}"
        files = {f"f{i}".encode(): Row(size=number + i, ino=i) for i in range(3)}
        for i in range(3):
            changes[f"/{name}/f{i}"] = number + i
        return [self._cell(name, edge_row(key)), _listing(key, files)]

    def _cell(self, name: str, value: bytes | None) -> Cell:
        self._ordinal += 1
        now = boottime_us()
        stamp = Stamp(now, now, self._ordinal, "e")
        return Cell(dir=ROOT, name=name.encode(), value=value, stamp=stamp, origin=Origin.REALTIME)

    # ---- what must be there

    def known(self, at: float) -> tuple[dict[str, int | None], dict[str, int | None]]:
        """What was acknowledged by then, and what may have been under way."""
        sure: dict[str, int | None] = {}
        for when, batch in self.told_at:
            if when >= at:
                return sure, batch.changes
            sure.update(batch.changes)
        return sure, self.under_way.changes if self.under_way else {}

    def faults(self, view: dict[str, int], at: float = math.inf) -> list[str]:
        """What of its batches the view lacks that were acknowledged, by then; [] when nothing.

        The batch that was under way is there whole, or not at all.
        """
        sure, new = self.known(at)
        found = [
            f"{path}: acknowledged {size}, the view has {view.get(path)}"
            for path, size in sure.items()
            if path not in new and view.get(path) != size
        ]
        differ = {path for path, size in new.items() if sure.get(path) != size}
        there = {path for path in differ if view.get(path) == new[path]}
        was = {path for path in differ if view.get(path) == sure.get(path)}
        if (there and was) or there | was != differ:
            found.append(f"half a batch is there: {sorted(there)} of {sorted(differ)}")
        return found


def _listing(key: Key, files: Mapping[bytes, Row]) -> Listing:
    """A directory, read whole just now."""
    names, rows = pack_rows(files)
    now = boottime_us()
    stamp = Stamp(now, now, now, "l")
    return Listing(dir=key, names=names, rows=rows, stamp=stamp, origin=Origin.ON_DEMAND)
