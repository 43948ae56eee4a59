"""Content behind its checksum, and packs as they lie in the cold store and folded in memory."""

from __future__ import annotations

import zlib

import zstandard

from fustor_view_file.pack import Pack

LEVEL = 1  # of zstd: higher ones cost several times as much and save little on rows


class Damaged(Exception):
    """A record's checksum does not match its content."""


def pack_record(pack: Pack, compress: zstandard.ZstdCompressor) -> bytes:
    """The sealed, compressed blobs of a pack."""
    names, rows = pack.blobs()
    return seal(compress.compress(len(names).to_bytes(4, "little") + names + rows))


def read_pack(sealed: bytes) -> Pack:
    """The pack in sealed bytes; raises `Damaged`."""
    try:
        raw = zstandard.ZstdDecompressor().decompress(unseal(sealed))
    except zstandard.ZstdError as err:
        raise Damaged(str(err)) from err
    size = int.from_bytes(raw[:4], "little")
    return Pack(raw[4 : 4 + size], raw[4 + size :])


def seal(content: bytes) -> bytes:
    """Content behind its CRC-32."""
    return zlib.crc32(content).to_bytes(4, "little") + content


def unseal(sealed: bytes) -> bytes:
    """Content whose CRC-32 holds; raises `Damaged`."""
    content = sealed[4:]
    if len(sealed) < 4 or zlib.crc32(content) != int.from_bytes(sealed[:4], "little"):
        raise Damaged("checksum does not match")
    return content
