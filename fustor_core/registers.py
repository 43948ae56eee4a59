"""What is known: a register's value with the interval in which it was seen.

The state of a view is a set of registers ``(directory key, name)`` (arbitration.md §1).
"""

from __future__ import annotations

import msgspec

from fustor_core.claims import Origin, Stamp

NO_LINE = 0


class Seen(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A stamp mapped to fusion time.

    Attributes:
        lo, hi: fusion µs between which the value was true at some instant.
        line: number of the line (one raw clock and one file cache) whose look this is, or
            NO_LINE when evidence of several lines was merged; f, t, at are 0 then.
        f, t: the same interval on the line's raw clock, µs.
        at: ordinal (events) or raw start of the look (listings).
        kind: ``e`` event looked at, ``w`` kernel's word, ``l`` listing (``k``: of an inexact
            key), ``s`` stat, ``m`` merged.
    """

    lo: int
    hi: int
    line: int
    f: int
    t: int
    at: int
    kind: str


def seen_of(stamp: Stamp, lo: int, hi: int, line: int) -> Seen:
    """The stamp of a claim, mapped to the fusion interval [lo, hi]."""
    return Seen(lo, hi, line, stamp.f, stamp.t, stamp.at, stamp.kind)


class Register(msgspec.Struct, frozen=True, gc=False):
    """One name of one directory, as known.

    Attributes:
        value: 48-byte row (an edge row for a directory), or None for absent.
        seen: when it was seen.
        debt: disputed; settled by the first claim that begins after `seen.hi`.
        rt: an agent saw it happen.
        origin: of the evidence that gave the value.
    """

    value: bytes | None
    seen: Seen
    debt: bool = False
    rt: bool = False
    origin: Origin = Origin.SNAPSHOT
