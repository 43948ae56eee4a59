"""Claims as other programs and people read them: lines of JSON, the same in every sink that writes.

One line is one claim, or a part of a listing that is too large for one line. What the fields mean
stands in docs/how-to/send-changes-elsewhere.md. The same batch always makes the same bytes, so that
a receiver knows a repeat from something new.
"""

from __future__ import annotations

import base64
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from fustor_core.claims import (
    CLOSED,
    MOVED,
    ROW_BYTES,
    WRITING,
    Batch,
    Calm,
    Cell,
    Key,
    Listing,
    Owe,
    Quarantined,
    Root,
    Same,
    Stamp,
    Still,
    is_dir,
    split_names,
    unpack_row,
)
from fustor_core.soundness import fault
from fustor_core.stills import listing_at

TYPES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
}
FLAGS = ((MOVED, "moved"), (WRITING, "writing"), (CLOSED, "closed"))
LOOKS = {"e": "event", "w": "word", "l": "listing", "k": "listing", "s": "stat"}
LINE_BYTES = 1 << 20
PART_BYTES = 64  # what a part of a listing has beside its head and its entries


@dataclass(frozen=True, slots=True)
class Teller:
    """Whose claims they are; stands in every line.

    Attributes:
        agent, pipe: as in the configuration. start: another one with each start of the pipe; the
            numbers of batches begin at 1 with it.
        offset_us: what the wall clock was ahead of the raw clock when the pipe started.
    """

    agent: str = ""
    pipe: str = ""
    start: str = ""
    offset_us: int = 0

    @property
    def words(self) -> dict[str, str]:
        """As they stand in a line."""
        return {"agent": self.agent, "pipe": self.pipe, "start": self.start}


def with_path(document: dict[str, Any], path: bytes, field: str = "path") -> dict[str, Any]:
    """The document with a path: text when it is valid UTF-8, else base64 of the bytes."""
    try:
        document[field] = path.decode()
    except UnicodeDecodeError:
        document[f"{field}_b64"] = base64.b64encode(path).decode()
    return document


def row_document(value: bytes | None) -> dict[str, Any] | None:
    """The columns of a row; of an edge its type, inode and mode; None for absent."""
    if value is None:
        return None
    row = unpack_row(value)
    kind = TYPES.get(stat.S_IFMT(row.mode), "file")
    if is_dir(value):
        return {"type": kind, "ino": row.ino, "mode": row.mode}
    return {"type": kind, **row._asdict()}


def quarantined(batch: Batch) -> tuple[Quarantined, ...]:
    """The claims of a batch that are not told, since they are not well formed."""
    found = enumerate(map(fault, batch.claims))
    return tuple(Quarantined(index, reason) for index, reason in found if reason)


def told(batch: Batch, teller: Teller, line_bytes: int = LINE_BYTES) -> Iterator[bytes]:
    """The lines of a batch, without their newlines.

    Args:
        line_bytes: no line is larger, unless one name with its path is.
    """
    for index, claim in enumerate(batch.claims):
        if fault(claim):
            continue
        more = {**teller.words, "seq": batch.seq, "index": index}
        if isinstance(claim, Calm):
            yield from _each(claim.same(), claim.count, teller.offset_us, more)
            continue
        if isinstance(claim, Still):
            listings = (listing_at(claim, at) for at in range(claim.count))
            yield from _each(listings, claim.count, teller.offset_us, more)
            continue
        document = claim_document(claim, teller.offset_us) | more
        head = msgspec.json.encode(document)
        if isinstance(claim, Listing) and claim.digest is None:
            yield from _parts(head, claim, line_bytes)
        else:
            yield head


def claim_document(claim: Cell | Listing | Same | Owe | Root, offset_us: int) -> dict[str, Any]:
    """A claim as a document; a listing without its entries.

    Args:
        offset_us: what the wall clock is ahead of the raw clock.
    """
    stamp = claim.stamp
    return {
        **_fields(claim),
        "origin": str(claim.origin),
        "look": _look(stamp),
        "interval": [stamp.f, stamp.t],
        "order": stamp.at,
        "wall_us": stamp.t + offset_us,
    }


def _each(
    claims: Iterable[Same | Listing], count: int, offset_us: int, more: dict[str, Any]
) -> Iterator[bytes]:
    """A line for each directory; which path it has, its listing has told."""
    for part, claim in enumerate(claims, 1):
        document = claim_document(claim, offset_us) | more
        del document["path"]
        document |= {"part": part, "more": part < count}
        yield msgspec.json.encode(document)


def _look(stamp: Stamp) -> str:
    return LOOKS.get(stamp.kind, stamp.kind)


def _fields(claim: Cell | Listing | Same | Owe | Root) -> dict[str, Any]:
    """What a claim says, apart from when and how it was seen."""
    if isinstance(claim, Root):
        said = {"kind": "root", "path": "/", "dir": _key(claim.key), "present": claim.present}
        said |= {"identity": claim.identity, "reason": claim.reason, "birth": claim.birth}
        if claim.marker:
            said["marker_b64"] = base64.b64encode(claim.marker).decode()
        return said
    if isinstance(claim, Cell):
        return _cell(claim)
    document = with_path({"kind": type(claim).__name__.lower()}, claim.path)
    document["dir"] = _key(claim.dir)
    if isinstance(claim, Owe):
        return {**document, "deep": claim.deep, "reason": claim.reason, "errno": claim.errno}
    if isinstance(claim, Same):
        return {**document, "silence": list(claim.silence)}
    document |= {"complete": claim.complete, "reason": claim.reason, "errno": claim.errno}
    document["own"] = None if claim.own is None else unpack_row(claim.own)._asdict()
    document["silence"] = None if claim.silence is None else list(claim.silence)
    if claim.digest is not None:
        document["unchanged"] = claim.digest.hex()
    return document


def _cell(claim: Cell) -> dict[str, Any]:
    """A name with what is there; a directory's own attributes are those of its whole row."""
    if not claim.name:
        document = with_path({"kind": "directory"}, claim.path)
        row = None if claim.value is None else unpack_row(claim.value)._asdict()
        return {**document, "dir": _key(claim.dir), "row": row}
    path = claim.path.rstrip(b"/") + b"/" + claim.name
    document = with_path({"kind": "entry"}, path)
    document |= {"dir": _key(claim.dir), "row": row_document(claim.value)}
    document["flags"] = [word for bit, word in FLAGS if claim.flags & bit]
    return document


def _key(key: Key) -> dict[str, int]:
    return {"dev": key.dev, "ino": key.ino, "birth": key.birth}


def _parts(head: bytes, claim: Listing, line_bytes: int) -> Iterator[bytes]:
    """A listing in as many lines as it needs; `more` is false in the last one."""
    room = line_bytes - len(head) - PART_BYTES
    group: list[bytes] = []
    size = part = 0
    weak = set(claim.weak)
    rows = memoryview(claim.rows)
    for number, name in enumerate(split_names(claim.names)):
        row = bytes(rows[number * ROW_BYTES : (number + 1) * ROW_BYTES])
        document = with_path({}, name, "name") | (row_document(row) or {})
        if name in weak:
            document["weak"] = True
        entry = msgspec.json.encode(document)
        if group and size + len(entry) >= room:
            part += 1
            yield _part(head, part, b"true", group)
            group, size = [], 0
        group.append(entry)
        size += len(entry) + 1
    yield _part(head, part + 1, b"false", group)


def _part(head: bytes, part: int, more: bytes, entries: list[bytes]) -> bytes:
    return b'%s,"part":%d,"more":%s,"entries":[%s]}' % (head[:-1], part, more, b",".join(entries))
