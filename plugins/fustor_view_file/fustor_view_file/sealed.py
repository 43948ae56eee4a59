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


def pack_record(names: bytes, rows: bytes, compress: zstandard.ZstdCompressor) -> bytes:
    """The blobs of a pack, compressed and sealed.

    Rows are turned: all first bytes, all second ones, and so on, for most rows of a directory are
    alike in most bytes. That saves an eighth.
    """
    turned = np.frombuffer(rows, np.uint8).reshape(-1, ROW_BYTES).T.tobytes()
    return seal(compress.compress((len(names) | TURNED).to_bytes(4, "little") + names + turned))


def read_pack(sealed: bytes) -> Pack:
    """The pack in sealed bytes; raises `Damaged`."""
    try:
        raw = zstandard.ZstdDecompressor().decompress(unseal(sealed))
    except zstandard.ZstdError as err:
        raise Damaged(str(err)) from err
    head = int.from_bytes(raw[:4], "little")
    size = head & ~TURNED
    names, rows = raw[4 : 4 + size], raw[4 + size :]
    if head & TURNED:
        if len(rows) % ROW_BYTES:
            raise Damaged("rows end in the middle of one")
        rows = np.frombuffer(rows, np.uint8).reshape(ROW_BYTES, -1).T.tobytes()
    return Pack(names, rows)


def seal(content: bytes) -> bytes:
    """Content behind its CRC-32."""
    return zlib.crc32(content).to_bytes(4, "little") + content


def unseal(sealed: bytes) -> bytes:
    """Content whose CRC-32 holds; raises `Damaged`."""
    content = sealed[4:]
    if len(sealed) < 4 or zlib.crc32(content) != int.from_bytes(sealed[:4], "little"):
        raise Damaged("checksum does not match")
    return content
