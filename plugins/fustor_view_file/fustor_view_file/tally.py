"""Counts of a subtree, kept exact as it changes and O(1) to read.

A tally is an ``array('q')``, recursive over the directory and everything below it. Sums are pushed
to all ancestors as they change; the two maxima are pushed when they grow and marked stale when
they may have shrunk, to be found again by the next reader.
"""

from __future__ import annotations

import stat
import struct
from array import array

import numpy as np

from fustor_core.claims import ROW, ROW_BYTES
from fustor_view_file.pack import COLUMNS, Pack

FILES = 0  # regular files, one a name
DIRS = 1  # directories below, itself not counted
OTHERS = 2  # symlinks, fifos, sockets, devices
BYTES = 3  # sum of st_size of regular files
SUSPECTS = 4
DEBTS = 5  # disputed registers, those of own attributes too, and hidden ones
BLIND = 6
GAPS = 7  # directories that are owed a listing, itself counted
LEFT_OUT = 8  # directories left out by choice, itself counted
FROZEN = 9  # registers whose removal waits for a second look or a person
SUMS = 10
CHANGED_US = 10  # fusion time of the last applied change
NEWEST_NS = 11  # newest mtime of files and others
TOUCHED_NS = 12  # newest max(mtime, ctime) of anything
WIDTH = 13
NEVER = -(1 << 62)
STALE = NEVER - 1

_TIMES = struct.Struct("<qq").unpack_from
_EMPTY = array("q", [0] * SUMS + [NEVER, NEVER, NEVER])
_UNLISTED = _EMPTY[:]
_UNLISTED[GAPS] = 1
_KINDS = bytes(kind & 0xF0 for kind in range(256))
_SMALL = 24  # below, plain Python beats the overhead of numpy calls


def empty() -> array[int]:
    """A tally of nothing."""
    return _EMPTY[:]


def unlisted() -> array[int]:
    """A tally of a directory that nobody has looked into."""
    return _UNLISTED[:]


def of_row(row: bytes) -> tuple[int, int, int]:
    """(files, others, bytes) that one row counts for; an edge counts for nothing here."""
    mode = row[33] & 0xF0
    if mode == 0x80:
        return 1, 0, int.from_bytes(row[:8], "little", signed=True)
    return (0, 0, 0) if mode == 0x40 else (0, 1, 0)


def newest_of(row: bytes) -> tuple[int, int]:
    """(mtime, max(mtime, ctime)) of a row that is no edge."""
    mtime_ns, ctime_ns = _TIMES(row, 8)
    return mtime_ns, ctime_ns if ctime_ns > mtime_ns else mtime_ns


def of_pack(pack: Pack) -> tuple[int, int, int, int, int]:
    """(files, others, bytes, newest mtime, newest change) of a directory's own entries."""
    files = others = size = 0
    newest = touched = NEVER
    for part in pack.parts:
        if not part.rows:
            continue
        kinds = part.rows[33::ROW_BYTES].translate(_KINDS)
        if not kinds.strip(b"\x80"):
            f, o, b, n, t = _of_files(part.rows)
        elif len(part.rows) < _SMALL * ROW_BYTES:
            f, o, b, n, t = _of_few(part.rows)
        else:
            f, o, b, n, t = _of_many(part.rows)
        files, others, size = files + f, others + o, size + b
        newest, touched = max(newest, n), max(touched, t)
    return files, others, size, newest, touched


def _of_files(rows: bytes | bytearray) -> tuple[int, int, int, int, int]:
    """Of regular files alone, which is what most directories hold."""
    words = memoryview(rows).cast("q")
    newest, changed = max(words[1::6]), max(words[2::6])
    return len(words) // 6, 0, sum(words[::6]), newest, max(newest, changed)


def _of_few(rows: bytes | bytearray) -> tuple[int, int, int, int, int]:
    files = others = size = 0
    newest = touched = NEVER
    for raw in ROW.iter_unpack(rows):
        kind = stat.S_IFMT(raw[4])
        if kind == stat.S_IFDIR:
            continue
        if kind == stat.S_IFREG:
            files += 1
            size += raw[0]
        else:
            others += 1
        newest = max(newest, raw[1])
        touched = max(touched, raw[1], raw[2])
    return files, others, size, newest, touched


def _of_many(rows: bytes | bytearray) -> tuple[int, int, int, int, int]:
    table = np.frombuffer(bytes(rows), COLUMNS)
    kinds = table["mode"] & 0xF000
    regular = kinds == 0x8000
    edges = kinds == 0x4000
    files = int(np.count_nonzero(regular))
    below = int(np.count_nonzero(edges))
    if not below:
        newest = int(table["mtime"].max())
        touched = max(newest, int(table["ctime"].max()))
    elif below < len(table):
        rest = table[~edges]
        newest = int(rest["mtime"].max())
        touched = max(newest, int(rest["ctime"].max()))
    else:
        newest = touched = NEVER
    sizes = table["size"]
    size = int(sizes.sum()) if files == len(table) else int(sizes[regular].sum())
    return files, len(table) - files - below, size, newest, touched
