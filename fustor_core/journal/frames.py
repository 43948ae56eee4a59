"""The form of a journal on disk: segment header, frames, and how whole frames are found.

    segment = header, frame*            file name: first lsn, 20 digits, ``.journal``
    header  = magic 8, version u32, first lsn u64, follows lsn u64, crc32 u32
    frame   = length u32, crc32 u32, kind u8, lsn u64, payload[length]

The CRC of a frame covers length, kind, lsn and payload. Log sequence numbers (lsn) are dense
inside a segment. ``follows`` is the lsn that comes before the segment's first one: ``first - 1``,
or less when damage was set aside in between, so that no lsn is ever given twice.
"""

from __future__ import annotations

import errno
import os
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from fustor_core.errors import StateError

MAGIC = b"FUSTORJL"
VERSION = 1
HEADER = struct.Struct("<8sIQQI")
FRAME = struct.Struct("<IIBQ")
_SUMMED = struct.Struct("<IBQ")
_NAME = re.compile(r"(\d{20})\.journal")
_LSN_AT = FRAME.size - 8


class Frame(NamedTuple):
    """One whole frame; `end` is the offset just behind it."""

    end: int
    lsn: int
    kind: int
    payload: bytes


class Run(NamedTuple):
    """Unbroken frames of one file: bytes ``[start, end)``, numbers ``first … last``."""

    start: int
    end: int
    first: int
    last: int


@dataclass(slots=True)
class Segment:
    """One segment file in use: frames ``first … last`` in bytes ``[start, end)``.

    An empty segment has ``last == first - 1``. Nothing is appended to a `closed` one.
    """

    path: Path
    first: int
    last: int
    start: int
    end: int
    closed: bool = False


@dataclass(slots=True)
class Survey:
    """What one segment file holds.

    Attributes:
        path: the file.
        named: first lsn by its name.
        size: bytes in the file.
        follows: the header's ``follows``; None when the header cannot be read.
        runs: unbroken runs of whole frames, in file order.
        fault: why the first bytes that are no whole frame are none; "" when there are none.
    """

    path: Path
    named: int
    size: int
    follows: int | None
    runs: list[Run]
    fault: str = ""

    @property
    def end(self) -> int:
        """Offset behind the last whole frame."""
        if self.runs:
            return self.runs[-1].end
        return HEADER.size if self.follows is not None else 0


def segment_name(first_lsn: int) -> str:
    return f"{first_lsn:020d}.journal"


def segment_paths(folder: Path) -> list[tuple[int, Path]]:
    """(first lsn by name, path) of every segment in `folder`, in order."""
    found = []
    for path in folder.iterdir():
        match = _NAME.fullmatch(path.name)
        if match:
            found.append((int(match[1]), path))
    return sorted(found)


def pack_header(first_lsn: int, follows_lsn: int) -> bytes:
    body = HEADER.pack(MAGIC, VERSION, first_lsn, follows_lsn, 0)[:-4]
    return body + struct.pack("<I", zlib.crc32(body))


def read_header(data: bytes, path: Path) -> int | None:
    """The header's ``follows``, or None when it is no whole header.

    Raises:
        StateError: a sound header of a newer format; nothing may be touched then.
    """
    if len(data) < HEADER.size:
        return None
    magic, version, _first, follows, crc = HEADER.unpack_from(data)
    if magic != MAGIC or crc != zlib.crc32(data[: HEADER.size - 4]):
        return None
    if version > VERSION:
        raise StateError(
            f"{path}: journal format {version} is newer than this version reads ({VERSION})",
            remedy="use the newer Fustor that wrote it, or another --home",
        )
    return int(follows)


def create_segment(
    folder: Path, first_lsn: int, follows_lsn: int, fdatasync: Callable[[int], None]
) -> tuple[Segment, int]:
    """Make a segment file and its directory entry durable.

    Returns:
        the empty segment and its open descriptor, which the caller closes.

    Raises:
        OSError: it could not be made, and nothing is left of it.
    """
    path = folder / segment_name(first_lsn)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        if os.write(fd, pack_header(first_lsn, follows_lsn)) < HEADER.size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fdatasync(fd)
        listing = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(listing)
        finally:
            os.close(listing)
    except OSError:
        os.close(fd)
        path.unlink(missing_ok=True)
        raise
    return Segment(path, first_lsn, first_lsn - 1, HEADER.size, HEADER.size), fd


def frame_head(kind: int, lsn: int, payload: Sequence[bytes | bytearray | memoryview]) -> bytes:
    """The bytes that stand before a payload, which may have several parts."""
    length = sum(map(len, payload))
    crc = zlib.crc32(_SUMMED.pack(length, kind, lsn))
    for part in payload:
        crc = zlib.crc32(part, crc)
    return FRAME.pack(length, crc, kind, lsn)


def read_frames(stream: BinaryIO, start: int, limit: int) -> Iterator[Frame]:
    """Whole frames from offset `start` on; ends at the first that is not, or at `limit`."""
    stream.seek(start)
    at = start
    while at + FRAME.size <= limit:
        head = stream.read(FRAME.size)
        if len(head) < FRAME.size:
            return
        length, crc, kind, lsn = FRAME.unpack(head)
        end = at + FRAME.size + length
        if end > limit:
            return
        payload = stream.read(length)
        summed = zlib.crc32(payload, zlib.crc32(_SUMMED.pack(length, kind, lsn)))
        if len(payload) < length or summed != crc:
            return
        yield Frame(end, lsn, kind, payload)
        at = end


def survey_segment(named: int, path: Path) -> Survey:
    """Read the whole file and find every run of whole frames in it.

    A file that cannot be read to its end (EIO) is like one whose rest is broken.

    Raises:
        StateError: written by a newer format.
    """
    survey = Survey(path, named, 0, None, [])
    try:
        with open(path, "rb", buffering=1 << 20) as stream:
            survey.size = os.fstat(stream.fileno()).st_size
            survey.follows = read_header(stream.read(HEADER.size), path)
            if survey.follows is None:
                survey.fault = "the segment header is broken"
            _survey_frames(stream, survey)
    except OSError as error:
        survey.fault = survey.fault or (error.strerror or str(error))
    return survey


def _survey_frames(stream: BinaryIO, survey: Survey) -> None:
    at, lsn = HEADER.size, survey.named
    while at < survey.size:
        # The run is stored frame by frame: a read error must not lose what was whole before it.
        index = len(survey.runs)
        start = first = -1
        for frame in read_frames(stream, at, survey.size):
            if frame.lsn < lsn or (first >= 0 and frame.lsn != lsn):
                break
            if first < 0:
                start, first = at, frame.lsn
                survey.runs.append(Run(start, frame.end, first, first))
            survey.runs[index] = Run(start, frame.end, first, frame.lsn)
            at, lsn = frame.end, frame.lsn + 1
        if at >= survey.size:
            return
        survey.fault = survey.fault or f"no whole frame at byte {at}"
        found = _next_whole(stream, at + 1, lsn, survey.size)
        if found is None:
            return
        at = found


def _next_whole(stream: BinaryIO, start: int, lsn: int, size: int) -> int | None:
    """Offset >= `start` of the next whole frame numbered `lsn` or up to 2**16 more."""
    stream.seek(start)
    rest = stream.read(size - start).rstrip(b"\0")
    rest += bytes(FRAME.size)  # the zeros of a last frame's head may have gone with the strip
    best: int | None = None
    for high in {lsn >> 16, (lsn >> 16) + 1}:
        tail = struct.pack("<Q", high << 16)[2:]
        hit = rest.find(tail, _LSN_AT + 2)
        while hit >= 0 and (best is None or hit < best):
            at = start + hit - 2 - _LSN_AT
            length, _crc, _kind, number = FRAME.unpack_from(rest, hit - 2 - _LSN_AT)
            fits = lsn <= number and at + FRAME.size + length <= size
            if fits and next(read_frames(stream, at, size), None) is not None:
                best = hit
            hit = rest.find(tail, hit + 1)
    return None if best is None else start + best - 2 - _LSN_AT
