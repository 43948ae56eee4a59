"""Content behind its checksum, and packs as they lie in the cold store and folded in memory."""

from __future__ import annotations

import zlib

import numpy as np
import zstandard

from fustor_core.claims import ROW_BYTES
from fustor_view_file.pack import Pack

TURNED = 1 << 31  # in the length of the names: rows lie by their columns' bytes
LEVEL = -1  # of zstd: 1 costs twice as much and saves 4 % of rows at best, 3 five times as much


class Damaged(Exception):
    """A record's checksum does not match its content."""


def pack_record(
    names: bytes, rows: bytes, compress: zstandard.ZstdCompressor, place: int = 0
) -> bytes:
    """The blobs of a pack, compressed and sealed for a place."""
    head = (len(names) | TURNED).to_bytes(4, "little")
    return seal(compress.compress(head + names + turned(rows)), place)


def read_pack(sealed: bytes, place: int = 0) -> Pack:
    """The pack in bytes that were sealed for a place; raises `Damaged`."""
    raw = unpacked(sealed, place)
    head = int.from_bytes(raw[:4], "little")
    size = head & ~TURNED
    names, rows = raw[4 : 4 + size], raw[4 + size :]
    if head & TURNED:
        if len(rows) % ROW_BYTES:
            raise Damaged("rows end in the middle of one")
        rows = np.frombuffer(rows, np.uint8).reshape(ROW_BYTES, -1).T.tobytes()
    return Pack(names, rows)


def turned(rows: bytes) -> bytes:
    """All first bytes of rows, all second ones, and so on.

    Most rows of a directory are alike in most bytes: compressed they are shorter by an eighth.
    """
    return np.frombuffer(rows, np.uint8).reshape(-1, ROW_BYTES).T.tobytes()


def unpacked(sealed: bytes, place: int) -> bytes:
    """What was compressed and sealed; raises `Damaged`."""
    try:
        return zstandard.ZstdDecompressor().decompress(unseal(sealed, place))
    except zstandard.ZstdError as err:
        raise Damaged(str(err)) from err


def seal(content: bytes, place: int = 0) -> bytes:
    """Content behind its CRC-32, which begins with the place: elsewhere it does not hold."""
    return zlib.crc32(content, place).to_bytes(4, "little") + content


def unseal(sealed: bytes, place: int = 0) -> bytes:
    """Content whose CRC-32 holds, with its place or, as it once was, with none.

    Raises:
        Damaged: neither does.
    """
    if not isinstance(sealed, bytes):  # a row that is damaged may hold anything
        raise Damaged("no bytes")
    content, told = sealed[4:], int.from_bytes(sealed[:4], "little")
    if len(sealed) >= 4 and (zlib.crc32(content, place) == told or zlib.crc32(content) == told):
        return content
    raise Damaged("checksum does not match")


def placed(sealed: bytes, place: int) -> bytes:
    """What was sealed for no place, sealed for one; as it is when it is damaged."""
    try:
        return seal(unseal(sealed), place)
    except Damaged:
        return sealed
