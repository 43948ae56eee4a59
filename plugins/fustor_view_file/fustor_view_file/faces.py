"""What most directories have in common, in 98 or 114 bytes: stamp, own attributes, silence key.

A listing gives all three at once: the attributes were seen when it was, and the silence key
repeats some of their columns. As objects they take four times as much. When an audit asked for it,
the digest of the entries stands behind them: what follows the stamp is then what a run of unchanged
directories says of one (`Still.sums`), and the next audit compares it as it is.
"""

from __future__ import annotations

import struct

from fustor_core.claims import ROW_BYTES, Silence, Stamp
from fustor_core.registers import Register, Seen

_FACE = struct.Struct("<qqqqqqc?48s")
_STAMP = struct.Struct("<qqqqqqc")
_SEEN = _STAMP.unpack_from
_SILENT_AT = STAMP_BYTES = _STAMP.size
_ROW_AT = 50
FACE_BYTES = _FACE.size
"""Without a digest."""
_SILENCE = struct.Struct("<8xqqQ12xI")  # of a row: mtime, ctime, ino, nlink


def face_of(base: Seen, attrs: Register, silent: Silence | None) -> bytes | None:
    """The face, None when the three say more than it holds.

    Args:
        attrs: undisputed, and not seen to happen. The caller knows of which origin.
    """
    row = attrs.value
    if row is None or len(row) != ROW_BYTES:
        return None
    if attrs.debt or attrs.rt or attrs.seen != base or silent not in (None, _silence(row)):
        return None
    lo, hi, line, f, t, at = base.lo, base.hi, base.line, base.f, base.t, base.at
    try:
        return _FACE.pack(lo, hi, line, f, t, at, base.kind.encode(), silent is not None, row)
    except struct.error:  # an agent's own figures may be too large
        return None


def stamp_of(base: Seen) -> bytes | None:
    """With what a face of this stamp begins; None when it is too large for one."""
    lo, hi, line, f, t, at = base.lo, base.hi, base.line, base.f, base.t, base.at
    try:
        return _STAMP.pack(lo, hi, line, f, t, at, base.kind.encode())
    except struct.error:
        return None


def face_with(stamp: Stamp, lo: int, hi: int, line: int, silent: bool, own: bytes) -> bytes | None:
    """The face of a listing with these own attributes; None when its stamp is too large for one.

    Args:
        lo, hi: when that was, in fusion µs. silent: whether `own` makes its membership key.
    """
    try:
        return _FACE.pack(
            lo, hi, line, stamp.f, stamp.t, stamp.at, stamp.kind.encode(), silent, own
        )
    except struct.error:
        return None


def base_in(face: bytes) -> Seen:
    """The stamp."""
    lo, hi, line, f, t, at, kind = _SEEN(face)
    return Seen(lo, hi, line, f, t, at, kind.decode())


def row_in(face: bytes) -> bytes:
    """The attributes as 48 bytes."""
    return face[_ROW_AT:FACE_BYTES]


def silent_in(face: bytes) -> Silence | None:
    """The silence key."""
    return _silence(row_in(face)) if face[_SILENT_AT] else None


def _silence(row: bytes) -> Silence:
    mtime_ns, ctime_ns, ino, nlink = _SILENCE.unpack(row)
    return Silence(ctime_ns, mtime_ns, ino, nlink)
