"""A directory as a record of the cold store, and back."""

from __future__ import annotations

from array import array
from typing import NamedTuple

import msgspec

from fustor_core.claims import Key, Origin, Silence
from fustor_core.registers import Register, Seen
from fustor_view_file.directory import Directory
from fustor_view_file.odds import Mark
from fustor_view_file.sealed import Damaged, seal, unseal
from fustor_view_file.unseen import Unseen

Places = list[tuple[Key, bytes]]


class Record(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What the index keeps of a directory; the pack is a record of its own.

    Attributes:
        face: base, attrs and silent, when they agree; these are None then.
        blind, unseen: the names that only scans have seen; `unseen` when one scan found them all.
        claims: the registers that name it, only when they are not just its seat.
        looks: number of the last run of which it knows; what later ones say is not in it yet.
        waiting: it does not sit where its newest register says.
    """

    key: Key
    parent: Key | None
    name: bytes
    base: Seen | None
    origin: Origin
    owed: Seen | None
    deep: bool
    reason: str
    errno: int
    silent: Silence | None
    left_out: bool
    gap: int
    left: int
    own: dict[bytes, Mark] | None
    suspects: dict[bytes, int]
    blind: dict[bytes, int] | None
    frozen: dict[bytes, int] | None
    attrs: Register | None
    count: bytes
    claims: Places | None
    waiting: bool
    face: bytes | None = None
    unseen: tuple[bytes, int] | None = None
    looks: int = 0

    @property
    def listed(self) -> bool:
        """Whether there may be a pack of it."""
        return self.face is not None or self.base is not None or bool(self.own)


class Short(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What the index keeps of most directories: a `Record` of fewer fields.

    Attributes:
        count: that of a `Directory` as numbers, most of which are small.
    """

    key: Key
    parent: Key | None
    name: bytes
    origin: Origin
    gap: int
    count: list[int]
    face: bytes
    unseen: tuple[bytes, int] | None
    looks: int


class Look(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Directories that one run has found as they were (`fustor_view_file.stills`).

    Attributes:
        stamp: with what their faces begin. origin: of the run.
        keys, sums: of each directory, as in a `Still`; in the cold store the digests alone.
    """

    stamp: bytes
    origin: Origin
    keys: bytes
    sums: bytes


class Kept(NamedTuple):
    """What is read of a directory, which is not yet seated and without its pack.

    Attributes:
        listed: there may be a pack of it. looks, claims, waiting: as in a `Record`.
    """

    directory: Directory
    parent: Key | None
    listed: bool = True
    looks: int = 0
    claims: Places | None = None
    waiting: bool = False


_NONE: dict[bytes, int] = {}
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Record).decode
_decode_short = msgspec.msgpack.Decoder(Short).decode
_LONG = b"\xdc"  # with which a list of more than 15 begins


def record_of(
    directory: Directory, claims: Places | None, waiting: bool, looks: int = 0
) -> Record | bytes:
    """The record of a directory as it is now, a short one as it is kept: that takes less memory.

    Args:
        looks: number of the last run.
    """
    d = directory
    if claims is None and not waiting and d.plain:
        return _short(d, looks)
    face, blind, parent, own, suspects = d.face, d.blind, d.parent, d.own, d.suspects
    whole = (blind.names, blind.number) if isinstance(blind, Unseen) else None
    return Record(
        d.key,
        parent.key if parent is not None else None,
        d.name,
        d.base if face is None else None,
        d.origin,
        d.owed,
        d.deep,
        d.reason,
        d.errno,
        d.silent if face is None else None,
        d.left_out,
        d.gap,
        d.left,
        dict(own) if own else None,
        dict(suspects) if suspects else _NONE,
        dict(blind) if blind and whole is None else None,
        dict(d.frozen) if d.frozen is not None else None,
        d.attrs if face is None else None,
        d.count.tobytes(),
        claims,
        waiting,
        face,
        whole,
        looks,
    )


def _short(d: Directory, looks: int) -> bytes:
    parent, face, blind = d.parent, d.face, d.blind
    assert face is not None
    whole = None
    if blind is not None:
        assert isinstance(blind, Unseen)
        whole = blind.names, blind.number
    above = parent.key if parent is not None else None
    count = d.count.tolist()
    return _encode(Short(d.key, above, d.name, d.origin, d.gap, count, face, whole, looks))


def sealed_record(record: Record | bytes, place: int) -> bytes:
    """A record as it lies in the cold store."""
    return seal(record if isinstance(record, bytes) else _encode(record), place)


def read_record(sealed: bytes, place: int) -> Kept:
    """What sealed bytes say; raises `Damaged`."""
    raw = unseal(sealed, place)
    try:
        if raw[:1] < _LONG:
            return _plain(_decode_short(raw))
        record = _decode(raw)
    except msgspec.DecodeError as err:
        raise Damaged(str(err)) from err
    return Kept(
        _directory_of(record),
        record.parent,
        record.listed,
        record.looks,
        record.claims,
        record.waiting,
    )


def _plain(short: Short) -> Kept:
    key, parent, name, origin, gap, count, face, whole, looks = msgspec.structs.astuple(short)
    directory = Directory(key, None, name, array("q", count), origin=origin, face=face)
    if not gap:
        directory.gap = 0
    if whole is not None:
        directory.blind = Unseen(*whole)
    return Kept(directory, parent, True, looks)


def _directory_of(record: Record) -> Directory:
    count = array("q", record.count)
    d = Directory(record.key, None, record.name, count, origin=record.origin, face=record.face)
    if record.face is None:
        d.look(record.base, record.origin)
        d.set_silent(record.silent)
        d.set_attrs(record.attrs)
    d.owed = record.owed
    d.because(record.reason, record.errno, deep=record.deep)
    d.left_out, d.gap, d.left = record.left_out, record.gap, record.left
    for name, since in record.suspects.items():
        d.set_suspect(name, since)
    for name, mark in (record.own or {}).items():
        d.set_mark(name, Register(None, mark.seen, mark.debt, mark.rt, mark.origin))
    d.blind = Unseen(*record.unseen) if record.unseen is not None else record.blind or None
    d.frozen = record.frozen
    return d
