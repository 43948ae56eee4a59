"""Sizes, times, counts and modes as people read them."""

from __future__ import annotations

import stat
import time
from datetime import UTC, datetime

_SIZES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_AGES = ((86400.0, "d"), (3600.0, "h"), (60.0, "m"))
_HALF_YEAR_S = 182 * 86400
_TYPE_MODES = {
    "file": stat.S_IFREG,
    "dir": stat.S_IFDIR,
    "symlink": stat.S_IFLNK,
    "fifo": stat.S_IFIFO,
    "socket": stat.S_IFSOCK,
    "char": stat.S_IFCHR,
    "block": stat.S_IFBLK,
}


def size(count_bytes: int) -> str:
    """``1536`` → ``1.5 KiB``; below 1024 exact."""
    value = float(count_bytes)
    for unit in _SIZES:
        if abs(value) < 1023.95 or unit == _SIZES[-1]:
            break
        value /= 1024
    return f"{count_bytes} B" if unit == "B" else f"{value:.1f} {unit}"


def count(number: int) -> str:
    """``1234567`` → ``1,234,567``."""
    return f"{number:,}"


def counted(number: int, thing: str, plural: str = "") -> str:
    """``1 file``, ``1,204 files``, ``3 directories`` (with `plural` given)."""
    return f"{number:,} {thing if number == 1 else plural or thing + 's'}"


def rate(per_second: float) -> str:
    """``123456.7`` → ``123,457/s``; small rates keep one digit."""
    return f"{per_second:,.1f}/s" if 0 < per_second < 10 else f"{per_second:,.0f}/s"


def span(seconds: float) -> str:
    """``0.25`` → ``250 ms``, ``42`` → ``42 s``, ``131`` → ``2 m 11 s``, ``93784`` → ``1 d 2 h``."""
    if seconds < 0:
        return f"-{span(-seconds)}"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10 and seconds != int(seconds):
        return f"{seconds:.1f} s"
    whole = round(seconds)
    parts = []
    for length_s, unit in _AGES:
        number, whole = divmod(whole, int(length_s))
        if number:
            parts.append(f"{number} {unit}")
    if whole or not parts:
        parts.append(f"{whole} s")
    return " ".join(parts[:2])


def moment(seconds: float, *, now_s: float | None = None) -> str:
    """Local time as ``ls -l`` writes it: with the clock time if within half a year, else the year.

    Args:
        seconds: since the epoch.
        now_s: since the epoch; None: now.
    """
    now_s = time.time() if now_s is None else now_s
    try:
        at = time.localtime(seconds)
    except (OverflowError, ValueError, OSError):
        return "?"
    recent = -_HALF_YEAR_S < seconds - now_s < _HALF_YEAR_S
    return time.strftime("%b %e %H:%M" if recent else "%b %e  %Y", at)


def exact(nanoseconds: int) -> str:
    """Local time to the nanosecond, ``2026-11-21 10:54:03.123456789 +0100``."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    try:
        at = datetime.fromtimestamp(seconds, UTC).astimezone()
    except (OverflowError, ValueError, OSError):
        return f"{seconds}.{rest:09d} s since 1970"
    return f"{at:%Y-%m-%d %H:%M:%S}.{rest:09d} {at:%z}"


def clock_time(rfc3339: str) -> str:
    """A document's time as local ``HH:MM:SS`` if it is of today, else with the date."""
    try:
        at = datetime.fromisoformat(rfc3339).astimezone()
    except ValueError:
        return "".join(mark for mark in rfc3339 if mark.isprintable())
    today = datetime.now(UTC).astimezone().date()
    return f"{at:%H:%M:%S}" if at.date() == today else f"{at:%Y-%m-%d %H:%M:%S}"


def permissions(kind: str, mode: int) -> str:
    """``-rw-r--r--``, from the entry's type when the mode does not carry it."""
    if not stat.S_IFMT(mode):
        mode |= _TYPE_MODES.get(kind, 0)
    return stat.filemode(mode)
