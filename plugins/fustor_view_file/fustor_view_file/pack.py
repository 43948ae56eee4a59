"""One directory's entries as two blobs: byte-sorted names joined by NUL, and 48-byte rows.

The blobs are those of the wire, so an unchanged listing costs one comparison. Above `SPLIT_ROWS`
rows a pack is kept in parts of at most that many, so that an event in a huge directory copies one
part and not the whole.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np
from numpy.typing import NDArray

from fustor_core.claims import ROW_BYTES, digest_of, split_names

SPLIT_ROWS = 512
COLUMNS = np.dtype(
    [
        ("size", "<u8"),
        ("mtime", "<i8"),
        ("ctime", "<i8"),
        ("ino", "<u8"),
        ("mode", "<u4"),
        ("uid", "<u4"),
        ("gid", "<u4"),
        ("nlink", "<u4"),
    ]
)


class Part(msgspec.Struct, eq=False, gc=False):
    """At most `SPLIT_ROWS` entries (until `Pack` splits it)."""

    names: bytes
    rows: bytes | bytearray

    def __len__(self) -> int:
        return len(self.rows) // ROW_BYTES

    def offset(self, name: bytes) -> int:
        """Where in the blob the name begins, −1 when it is not there."""
        names = self.names
        if not self.rows:
            return -1
        found = names.find(b"\0" + name + b"\0")
        if found >= 0:
            return found + 1
        if names.startswith(name) and names[len(name) : len(name) + 1] in (b"", b"\0"):
            return 0
        if names.endswith(b"\0" + name):
            return len(names) - len(name)
        return -1

    def index(self, name: bytes) -> int:
        """Which row the name has, −1 when it is not there."""
        at = self.offset(name)
        return -1 if at < 0 else self.names.count(b"\0", 0, at)

    def get(self, name: bytes) -> bytes | None:
        i = self.index(name)
        return None if i < 0 else bytes(self.rows[i * ROW_BYTES : (i + 1) * ROW_BYTES])

    def put(self, name: bytes, row: bytes) -> None:
        i = self.index(name)
        if i < 0:
            self.insert(name, row)
            return
        if not isinstance(self.rows, bytearray):
            self.rows = bytearray(self.rows)
        self.rows[i * ROW_BYTES : (i + 1) * ROW_BYTES] = row

    def insert(self, name: bytes, row: bytes) -> None:
        """Put in a name that is not there."""
        names, rows = self.names, self.rows
        if not rows:
            self.names, self.rows = name, bytearray(row)
            return
        if not isinstance(rows, bytearray):
            rows = self.rows = bytearray(rows)
        if names[names.rfind(b"\0") + 1 :] < name:  # most names that come are the newest
            self.names = b"%b\0%b" % (names, name)
            rows += row
            return
        at = self._place(name)
        self.names = b"%b%b\0%b" % (names[:at], name, names[at:])
        i = names.count(b"\0", 0, at)
        rows[i * ROW_BYTES : i * ROW_BYTES] = row

    def _place(self, name: bytes) -> int:
        """Where in the blob a name that is not there would begin; not behind the last one."""
        names = self.names
        low, high = 0, len(names)  # beginnings of names; all before `low` are smaller
        while low < high:
            middle = names.rfind(b"\0", low, (low + high) // 2) + 1 or low
            end = names.find(b"\0", middle)
            if names[middle : end if end >= 0 else None] < name:
                low = end + 1
            else:
                high = middle
        return low

    def remove(self, name: bytes) -> None:
        at = self.offset(name)
        if at < 0:
            return
        i = self.names.count(b"\0", 0, at)
        rows = self.rows if isinstance(self.rows, bytearray) else bytearray(self.rows)
        del rows[i * ROW_BYTES : (i + 1) * ROW_BYTES]
        self.rows = rows
        if at == 0:
            self.names = self.names[len(name) + 1 :]
        else:
            self.names = self.names[: at - 1] + self.names[at + len(name) :]


class Pack(Part, eq=False, gc=False):
    """The entries of one directory, sorted by name in byte order.

    There is one for each directory, so it is small: a pack of one part is that part itself.

    Attributes:
        more: the parts of a pack that was split; its own blobs are empty then.
    """

    names: bytes = b""
    rows: bytes | bytearray = b""
    more: list[Part] | None = None

    def __post_init__(self) -> None:
        names, rows = self.names, self.rows
        count = len(rows) // ROW_BYTES
        if count <= SPLIT_ROWS:
            return
        listed = split_names(names)
        step = SPLIT_ROWS // 2
        self.names = self.rows = b""
        self.more = [
            Part(
                b"\0".join(listed[i : i + step]),
                bytes(rows[i * ROW_BYTES : (i + step) * ROW_BYTES]),
            )
            for i in range(0, count, step)
        ]

    @property
    def parts(self) -> list[Part]:
        """What it is made of, in order; the list is not to be changed."""
        return self.more if self.more is not None else [self]

    def __len__(self) -> int:
        return sum(len(part.rows) for part in self.parts) // ROW_BYTES

    def _part(self, name: bytes) -> Part:
        parts = self.more
        if parts is None:
            return self
        lo, hi, behind = 0, len(parts), name + b"\1"  # no name that is larger begins before it
        while hi - lo > 1:
            mid = (lo + hi) // 2
            if parts[mid].names < behind:
                lo = mid
            else:
                hi = mid
        return parts[lo]

    def get(self, name: bytes) -> bytes | None:
        """The row of a name, None when it is not there."""
        return Part.get(self._part(name), name)

    def insert(self, name: bytes, row: bytes) -> None:
        """Put in a name that is not there."""
        part = self._part(name)
        Part.insert(part, name, row)
        if len(part.rows) > SPLIT_ROWS * ROW_BYTES:
            self._split(part)

    def put(self, name: bytes, row: bytes) -> None:
        """Set the row of a name."""
        part = self._part(name)
        Part.put(part, name, row)
        if len(part.rows) > SPLIT_ROWS * ROW_BYTES:
            self._split(part)

    def remove(self, name: bytes) -> None:
        """Take a name out; nothing happens when it is not there."""
        part = self._part(name)
        Part.remove(part, name)
        if self.more is not None and not part.rows and len(self.more) > 1:
            at = next(i for i, p in enumerate(self.more) if p is part)
            del self.more[at]

    def _split(self, part: Part) -> None:
        names = split_names(part.names)
        half = len(names) // 2
        left = Part(b"\0".join(names[:half]), bytes(part.rows[: half * ROW_BYTES]))
        right = Part(b"\0".join(names[half:]), bytes(part.rows[half * ROW_BYTES :]))
        if self.more is None:
            self.names, self.rows, self.more = b"", b"", [left, right]
        else:
            at = next(i for i, p in enumerate(self.more) if p is part)
            self.more[at : at + 1] = [left, right]

    def blobs(self) -> tuple[bytes, bytes]:
        """Names and rows as on the wire."""
        parts = self.more
        if parts is None:
            return self.names, bytes(self.rows)
        return b"\0".join(p.names for p in parts), b"".join(p.rows for p in parts)

    def holds(self, names: bytes, rows: bytes) -> bool:
        """Whether these are the very blobs."""
        if self.more is None:
            return self.rows == rows and self.names == names
        if len(rows) != len(self) * ROW_BYTES:
            return False
        view, at = memoryview(rows), 0
        for part in self.more:
            if view[at : at + len(part.rows)] != memoryview(part.rows):
                return False
            at += len(part.rows)
        return names == b"\0".join(p.names for p in self.more)

    def digest(self) -> bytes:
        """What an agent sends for an unchanged directory."""
        return digest_of(*self.blobs())

    def all_names(self) -> list[bytes]:
        """All names, in byte order."""
        return [n for part in self.parts if part.rows for n in split_names(part.names)]

    def items(self, after: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """(name, row) in byte order of the names, beginning behind `after`."""
        for part in self.parts:
            if not part.rows:
                continue
            rows = bytes(part.rows)
            for i, name in enumerate(split_names(part.names)):
                if after is None or name > after:
                    yield name, rows[i * ROW_BYTES : (i + 1) * ROW_BYTES]

    def edges(self) -> Iterator[tuple[bytes, bytes]]:
        """(name, edge row) of the child directories."""
        for part in self.parts:
            rows = part.rows
            kinds = rows[33::ROW_BYTES]
            names: list[bytes] | None = None
            for i, kind in enumerate(kinds):
                if kind & 0xF0 == 0x40:
                    names = names if names is not None else split_names(part.names)
                    yield names[i], bytes(rows[i * ROW_BYTES : (i + 1) * ROW_BYTES])

    def columns(self) -> Iterator[NDArray[np.void]]:
        """The rows of each part as a numpy array; not to be kept over a change."""
        for part in self.parts:
            if part.rows:
                yield np.frombuffer(bytes(part.rows), COLUMNS)

    def nbytes(self) -> int:
        """Bytes of names and rows."""
        return sum(len(p.names) + len(p.rows) for p in self.parts)
