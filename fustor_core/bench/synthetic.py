"""A tree that exists nowhere, of any size, as the batches of an agent that scans it."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence

import msgspec

from fustor_core.claims import (
    ROW_BYTES,
    Claim,
    Key,
    Listing,
    Origin,
    Root,
    Row,
    Stamp,
    Still,
    edge_row,
    pack_rows,
)
from fustor_core.contracts import boottime_us
from fustor_core.outbox import Limits
from fustor_core.stills import Stills

BATCH_ROWS = Limits().rows  # as agents do
GROUP = 1000  # directories in a directory
IDENTITY = "bench"
VERSIONS = 2
NEWEST_NS = 1_717_200_000 * 10**9  # 2024-06-01: the same for all processes


class Tree:
    """A root, directories of directories, and in these the files.

    Every directory of files has the same names and rows: for the other end they are as good as any,
    and here they cost nothing.

    Args:
        files: how many. per_folder: of them in each directory; the last one has what is left.
    """

    def __init__(self, files: int, per_folder: int) -> None:
        self.files, self.per_folder = files, per_folder
        self.folders = -(-files // per_folder)
        self.groups = -(-self.folders // GROUP)
        self.root = Key(1, 1, 1)
        self._blobs: dict[tuple[int, int], tuple[bytes, bytes]] = {}

    def __repr__(self) -> str:
        return f"<Tree of {self.files} files, {self.per_folder} a directory>"

    @property
    def directories(self) -> int:
        """Below the root."""
        return self.groups + self.folders

    def batches(self, number: int, *, digests: bool = False) -> Iterator[list[Claim]]:
        """One scan of it.

        Args:
            number: of the scan; every second one has other times.
            digests: as an audit of a tree that is as the scan before this one found it.
        """
        number = number % VERSIONS
        if digests:
            yield from self._audit()
            return
        origin = Origin.SNAPSHOT
        edges = {b"group-%06d" % n: edge_row(self._group(n)) for n in range(self.groups)}
        proof = Root(key=self.root, identity=IDENTITY, stamp=_stamp(), origin=origin)
        top = self._listing(self.root, *pack_rows(edges), origin)
        claims: list[Claim] = [proof, top]
        rows = len(edges)
        for group in range(self.groups):
            folders = range(group * GROUP, min((group + 1) * GROUP, self.folders))
            edges = {b"folder-%08d" % n: edge_row(self._folder(n)) for n in folders}
            blobs = pack_rows(edges)
            claims.append(self._listing(self._group(group), *blobs, origin))
            rows += len(edges)
            for folder in folders:
                count = min(self.per_folder, self.files - folder * self.per_folder)
                if rows + count > BATCH_ROWS and claims:
                    yield claims
                    claims, rows = [], 0
                names, cells = self._of(count, number)
                key = self._folder(folder)
                claims.append(self._listing(key, names, cells, origin))
                rows += count
        if claims:
            yield claims

    def _audit(self) -> Iterator[list[Claim]]:
        """All listings as `Still`, as an agent gathers them."""
        stills = Stills()
        claims: list[Claim] = [
            Root(key=self.root, identity=IDENTITY, stamp=_stamp(), origin=Origin.AUDIT)
        ]
        count = 0
        for batch in self.batches(0):
            for claim in batch:
                if not isinstance(claim, Listing):
                    continue
                one = msgspec.structs.replace(claim, origin=Origin.AUDIT)
                if not stills.takes(one):
                    claims.append(_ended(stills))
                stills.add(one)
                count += 1
            if count >= BATCH_ROWS:
                claims.append(_ended(stills))
                yield claims
                claims, count = [], 0
        if count:
            claims.append(_ended(stills))
            yield claims

    def some_file(self) -> tuple[str, Row]:
        """View path of a file in the middle, and what the last whole scan said of it."""
        folder = self.folders // 2
        return self.file(min((folder + 1) * self.per_folder, self.files) - 1)

    def file(self, number: int) -> tuple[str, Row]:
        """View path of one of its files, and what the last whole scan said of it."""
        folder, at = divmod(number, self.per_folder)
        path = f"/group-{folder // GROUP:06}/folder-{folder:08}/file-{at:06}.dat"
        return path, self._row(at, 0)

    def _of(self, count: int, number: int) -> tuple[bytes, bytes]:
        held = self._blobs.get((count, number))
        if held is None:
            rows = {b"file-%06d.dat" % n: self._row(n, number) for n in range(count)}
            held = self._blobs[count, number] = pack_rows(rows)
        return held

    def _row(self, at: int, number: int) -> Row:
        stamp_ns = NEWEST_NS + number * 10**9
        return Row(1000 + at, stamp_ns, stamp_ns, 10**6 + at)

    def _group(self, number: int) -> Key:
        return Key(1, number + 2, 1)

    def _folder(self, number: int) -> Key:
        return Key(1, number + 2 + self.groups, 1)

    def _listing(self, key: Key, names: bytes, rows: bytes, origin: Origin) -> Listing:
        return Listing(
            dir=key, names=names, rows=rows, stamp=_stamp(), origin=origin, own=self._own(key)
        )

    def _own(self, key: Key) -> bytes:
        return Row(4096, NEWEST_NS, NEWEST_NS, key.ino, stat.S_IFDIR | 0o755, nlink=2).pack()


def rows_of(claims: Sequence[Claim], per_listing: int = 0) -> int:
    """Rows that these claims bring; one of a run stands for as many as a directory of files has."""
    whole = sum(len(claim.rows) // ROW_BYTES for claim in claims if isinstance(claim, Listing))
    return whole + per_listing * sum(c.count for c in claims if isinstance(c, Still))


def _ended(stills: Stills) -> Still:
    still = stills.end()
    assert still is not None, "a run is ended when something is in it"
    return still


def _stamp() -> Stamp:
    now_us = boottime_us()
    return Stamp(now_us, now_us, now_us, "l")
