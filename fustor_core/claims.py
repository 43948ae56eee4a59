"""What a source says it saw, and how it travels: claims, batches, acknowledgements.

The definition of the data plane (interfaces.md §3, arbitration.md §2). Structs are msgspec
arrays: the order of the fields is the order on the wire; new fields are only ever added at the end.

Names and paths are bytes. A path in a claim is for people and for the first resolution below a
root; truth is addressed by directory key.
"""

from __future__ import annotations

import hashlib
import stat
import struct
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import NamedTuple, cast

import msgspec

from fustor_core.errors import MalformedClaim

PROTOCOL = 1
MEDIA_TYPE = "application/vnd.fustor.batch+msgpack"
ROW = struct.Struct("<QqqQIIII")
ROW_BYTES = ROW.size
KEY = struct.Struct("<qQq")
SILENCE = struct.Struct("<qqQQ")
NAME_BYTES_MAX = 4096
CALM_MOST = 4096  # directories in one claim
STILL_BYTES = 1 + ROW_BYTES + 16  # of `Still.sums`, for each directory
DIGEST_BYTES = 16
_U63 = (1 << 63) - 1
_U64 = (1 << 64) - 1


class Origin(StrEnum):
    """How a claim came about. Only `REALTIME` saw the change happen."""

    REALTIME = "realtime"
    SNAPSHOT = "snapshot"
    AUDIT = "audit"
    SENTINEL = "sentinel"
    ON_DEMAND = "on_demand"

    __hash__ = str.__hash__  # that of Enum is Python, and origins are looked up for every claim


LEADER_ONLY = frozenset({Origin.SNAPSHOT, Origin.AUDIT, Origin.SENTINEL})

BEGINS, WHOLE = "begins", "whole"  # of a whole scan; see `Root.course`
MOVED = 1  # both halves came from one cookie, the source was watched, the target is the same key
WRITING = 2  # modified, and no close-write seen yet: the content may be partial
CLOSED = 4  # a close-write was seen: the writer is done


class Key(NamedTuple):
    """Identity of a directory: file system (0 = the root's), inode, birth (arbitration.md §1)."""

    dev: int
    ino: int
    birth: int


def path_key(path: bytes) -> Key:
    """Key for sources without inodes: a hash of the view path. Such trees have no moves."""
    digest = hashlib.blake2b(path, digest_size=16).digest()
    return Key(0, int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little") & _U63)


class Row(NamedTuple):
    """One stored row, as lstat gives it; times in nanoseconds since 1970, size in bytes."""

    size: int = 0
    mtime_ns: int = 0
    ctime_ns: int = 0
    ino: int = 0
    mode: int = stat.S_IFREG | 0o644
    uid: int = 0
    gid: int = 0
    nlink: int = 1

    def pack(self) -> bytes:
        """The 48 bytes of this row.

        Raises:
            MalformedClaim: a column does not fit.
        """
        try:
            return ROW.pack(*self)
        except struct.error as err:
            raise MalformedClaim(f"row does not fit its columns: {self}: {err}") from err


def unpack_row(row: bytes | bytearray | memoryview) -> Row:
    """The row in 48 bytes."""
    return Row(*ROW.unpack(row))


def is_dir(row: bytes | bytearray | memoryview) -> bool:
    """Whether a 48-byte row is the edge to a child directory."""
    return row[33] & 0xF0 == 0x40


def edge_row(key: Key, mode: int = stat.S_IFDIR) -> bytes:
    """The row of a child directory in its parent: an edge without times (arbitration.md §1)."""
    return ROW.pack(key.birth & _U64, 0, key.dev, key.ino, mode, 0, 0, 0)


def edge_key(row: bytes | bytearray | memoryview) -> Key:
    """The child directory's key in an edge row."""
    birth, _, dev, ino, _, _, _, _ = ROW.unpack(row)
    return Key(dev, ino, birth - (1 << 64) if birth > _U63 else birth)


class Stamp(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """When the source looked, on its own raw clock.

    Attributes:
        f, t: first and last instant of the look, microseconds of CLOCK_BOOTTIME; the bound of a
            cache that may have answered is inside `f`.
        at: ordinal within the line for events, raw start of the look for listings, else 0.
        kind: ``e`` event that was looked at, ``w`` word of the kernel alone, ``l`` listing
            (``k``: of an inexact key), ``s`` stat.
    """

    f: int
    t: int
    at: int
    kind: str


class Silence(NamedTuple):
    """Membership key of a directory whose listing was not racy (arbitration.md §4)."""

    ctime_ns: int
    mtime_ns: int
    ino: int
    nlink: int


class Cell(msgspec.Struct, tag="c", array_like=True, frozen=True, kw_only=True):
    """One name of one directory: an event, a stat, or half of a move.

    Attributes:
        dir: key of the directory.
        name: the name; ``b""`` means the directory's own attributes.
        value: 48-byte row (an edge row for a directory), or None when absent.
        flags: MOVED, WRITING, CLOSED.
        path: view path of the directory when it was looked at.
    """

    dir: Key
    name: bytes
    value: bytes | None
    stamp: Stamp
    origin: Origin
    flags: int = 0
    path: bytes = b""


class Listing(msgspec.Struct, tag="l", array_like=True, frozen=True, kw_only=True):
    """One directory read from beginning to end.

    Attributes:
        names: byte-sorted names joined by NUL; ``b""`` for an empty directory.
        rows: 48 bytes a name, in the order of `names`.
        own: the directory's own attributes by fstat, None when they could not be had.
        weak: names for which an event came while the listing was read; listed all the same.
        complete: read to the end without error, unchanged before and after. An incomplete listing
            proves no absence; `reason` (interfaces.md §1) and `errno` say why.
        silence: membership key, None when the listing is racy.
        via: (parent key, name) under which the directory was opened within this stamp.
        digest: `digest_of` names and rows, sent instead of both when nothing changed.
    """

    dir: Key
    names: bytes
    rows: bytes
    stamp: Stamp
    origin: Origin
    path: bytes = b""
    own: bytes | None = None
    weak: tuple[bytes, ...] = ()
    complete: bool = True
    reason: str = ""
    errno: int = 0
    silence: Silence | None = None
    via: tuple[Key, bytes] | None = None
    digest: bytes | None = None


class Same(msgspec.Struct, tag="s", array_like=True, frozen=True, kw_only=True):
    """The directory's membership is as in the listing that had this silence key."""

    dir: Key
    silence: Silence
    stamp: Stamp
    origin: Origin
    path: bytes = b""


class Many(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """One claim that says of many directories that they are as they were; see `Calm`, `Still`.

    Attributes:
        keys: of each directory, in the order in which a scan came by, as `KEY` packs them.
    """

    keys: bytes

    @property
    def count(self) -> int:
        """How many directories."""
        return len(self.keys) // KEY.size

    @property
    def dir(self) -> Key:
        """Key of the last of them."""
        return Key(*KEY.unpack_from(self.keys, len(self.keys) - KEY.size))


class Calm(Many, tag="q", array_like=True, frozen=True, kw_only=True):
    """`Same` of many directories, with one stamp for all.

    Attributes:
        silences: of each directory, as `SILENCE` packs them.
        stamp: from the first look to the end of the last one.
        path: view path of the last of them.
    """

    silences: bytes
    stamp: Stamp
    origin: Origin
    path: bytes = b""

    def each(self) -> Iterable[tuple[tuple[int, int, int], tuple[int, int, int, int]]]:
        """Key and silence of each directory, as plain tuples."""
        pairs = zip(KEY.iter_unpack(self.keys), SILENCE.iter_unpack(self.silences), strict=True)
        return cast("Iterable[tuple[tuple[int, int, int], tuple[int, int, int, int]]]", pairs)

    def same(self) -> Iterator[Same]:
        """One claim for each directory, without its path."""
        for key, silence in self.each():
            yield Same(
                dir=Key(*key), silence=Silence(*silence), stamp=self.stamp, origin=self.origin
            )


class Still(Many, tag="u", array_like=True, frozen=True, kw_only=True):
    """Listings of many directories that hold what was sent last, with one stamp for all.

    Attributes:
        sums: of each `STILL_BYTES`: 1 if its silence key is that of its own attributes, 0 if it has
            none; these; the digest. stamp, path: as of a `Calm`.
    """

    sums: bytes
    stamp: Stamp
    origin: Origin
    path: bytes = b""


class Owe(msgspec.Struct, tag="o", array_like=True, frozen=True, kw_only=True):
    """Evidence was lost here up to the stamp: a fresh listing is owed (dirty scope).

    Attributes:
        deep: the whole subtree, not only the directory.
        reason: one of the reasons of interfaces.md §1.
    """

    dir: Key
    deep: bool
    reason: str
    stamp: Stamp
    origin: Origin
    path: bytes = b""
    errno: int = 0


class Root(msgspec.Struct, tag="r", array_like=True, frozen=True, kw_only=True):
    """Proof of the root: which file system and inode stand at the watched path just now.

    Attributes:
        key: key of the root directory.
        identity: text that stays the same as long as it is the same storage (fsid, or mount source
            and type, and the root's inode).
        marker: content of an optional marker file.
        present: False when nothing usable stands at the path; `reason` says what.
        birth: how keys of this storage get their birth: ``btime``, ``handle`` or ``none``.
        course: the whole scan of this session ``begins`` with this proof, or it was ``whole``; else
            "". A scan that does not look at every directory is none.
        after: of one that begins, in the order of a walk: the view path behind which it goes on,
            b"" from the root on; None = in another order.
    """

    key: Key
    identity: str
    stamp: Stamp
    origin: Origin = Origin.REALTIME
    marker: bytes = b""
    present: bool = True
    reason: str = ""
    birth: str = "btime"
    course: str = ""
    after: bytes | None = None


Claim = Cell | Listing | Same | Calm | Still | Owe | Root
Looked = Listing | Same | Calm | Still


class Batch(msgspec.Struct, array_like=True, frozen=True):
    """The unit of sending, journalling and acknowledging: claims of one session, numbered densely.

    Attributes:
        seq: 1, 2, 3 … within the session.
        epoch: leadership under which its scan claims were made; 0 for a follower.
    """

    protocol: int
    seq: int
    epoch: int
    claims: list[Claim]


class Quarantined(msgspec.Struct, frozen=True, omit_defaults=True):
    """A claim that was not taken: its place in the batch, the name if it had one, and why."""

    index: int
    reason: str
    name: bytes | None = None


class Owed(msgspec.Struct, frozen=True):
    """A directory that is owed a listing."""

    key: Key
    path: bytes
    deep: bool = False


class Ack(msgspec.Struct, frozen=True):
    """The batch is durable. `owed`: directories of it that are owed a listing (100 at most)."""

    acked: int
    server_time: int = 0
    quarantined: tuple[Quarantined, ...] = ()
    owed: tuple[Owed, ...] = ()


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Batch)


def encode_batch(batch: Batch) -> bytes:
    """The batch as msgpack."""
    return _encoder.encode(batch)


def decode_batch(body: bytes | memoryview) -> Batch:
    """Decode and check a batch; the one place where received bytes become claims.

    Raises:
        MalformedClaim: the body is no batch, or of a protocol that is not spoken here.
    """
    try:
        batch = _decoder.decode(body)
    except (msgspec.DecodeError, ValueError, OverflowError, RecursionError) as err:
        raise MalformedClaim(f"body is not a batch: {err}") from err
    if batch.protocol != PROTOCOL:
        raise MalformedClaim(
            f"protocol {batch.protocol} is not spoken here", remedy=f"use protocol {PROTOCOL}"
        )
    return batch


def join_names(names: Iterable[bytes]) -> bytes:
    """Byte-sorted names as one blob."""
    return b"\0".join(names)


def split_names(blob: bytes) -> list[bytes]:
    """The names in a blob; an empty blob is an empty directory."""
    return blob.split(b"\0") if blob else []


def digest_of(names: bytes, rows: bytes) -> bytes:
    """What stands for these blobs of a listing when the other end holds them already."""
    content = names + b"\0" + rows
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()


def pack_rows(rows: Mapping[bytes, Row | bytes]) -> tuple[bytes, bytes]:
    """(names, rows) blobs of a mapping of names to rows."""
    names = sorted(rows)
    packed = [r.pack() if isinstance(r, Row) else r for r in (rows[n] for n in names)]
    return join_names(names), b"".join(packed)
