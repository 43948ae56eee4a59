"""Whether a claim is well formed: what cannot be taken, whoever sent it. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from itertools import islice
from operator import lt

from fustor_core.claims import (
    CALM_MOST,
    DIGEST_BYTES,
    KEY,
    NAME_BYTES_MAX,
    ROW_BYTES,
    SILENCE,
    STILL_BYTES,
    Calm,
    Cell,
    Claim,
    Listing,
    Root,
    Still,
    split_names,
)

Stores = Callable[[bytes, bytes], bool]
"""`stores`, or compiled code that says the same."""


def fault(claim: Claim) -> str:
    """Why this claim cannot be taken, or "" when it is well formed."""
    if isinstance(claim, Listing):
        if why := _listing_fault(claim):
            return why
    elif isinstance(claim, Cell):
        if claim.value is not None and len(claim.value) != ROW_BYTES:
            return f"value of {len(claim.value)} bytes, a row has {ROW_BYTES}"
        if len(claim.name) > NAME_BYTES_MAX or b"\0" in claim.name or b"/" in claim.name:
            return "name with NUL or slash, or too long"
        if claim.name in (b".", b".."):
            return "name is . or .."
    elif isinstance(claim, Calm | Still) and (why := _many_fault(claim)):
        return why
    if claim.__class__ is not Root:
        stamp = claim.stamp
        if stamp.f > stamp.t or stamp.kind not in KINDS:
            return "stamp ends before it begins, or is of an unknown kind"
    return ""


KINDS = frozenset("ewlks")
"""Of stamps."""


def _listing_fault(claim: Listing) -> str:
    count = claim.names.count(b"\0") + 1 if claim.names else 0
    if len(claim.rows) != count * ROW_BYTES:
        return f"{count} names but {len(claim.rows)} bytes of rows"
    if claim.own is not None and len(claim.own) != ROW_BYTES:
        return "own attributes are not one row"
    if claim.digest is not None and (count or len(claim.digest) != DIGEST_BYTES):
        return f"a digest has {DIGEST_BYTES} bytes, and stands instead of names and rows"
    if claim.names and b"/" in claim.names:
        return "name with a slash"
    return ""


def _many_fault(claim: Calm | Still) -> str:
    count, keys = claim.count, len(claim.keys)
    if isinstance(claim, Still):
        rest, each = len(claim.sums), STILL_BYTES
        if claim.sums[::STILL_BYTES].strip(b"\0\1"):
            return "a run says neither that a silence key is there nor that there is none"
    else:
        rest, each = len(claim.silences), SILENCE.size
    if not count or (keys, rest) != (count * KEY.size, count * each):
        return f"{keys} bytes of keys and {rest} of what they hold are no pairs"
    return f"{count} directories at once" if count > CALM_MOST else ""


def sorted_fault(names: bytes) -> str:
    """Why a names blob that is about to be stored cannot be: unsorted, repeated or odd names."""
    return _order_fault(names, split_names(names))


def stores(names: bytes, rows: bytes) -> bool:
    """Whether nothing at all is wrong with the blobs of a listing, as with most of them."""
    parts = split_names(names)
    return (
        len(rows) == len(parts) * ROW_BYTES
        and b"/" not in names
        and rows[7::ROW_BYTES].isascii()  # highest byte of each size
        and not _order_fault(names, parts)
    )


def _order_fault(names: bytes, parts: list[bytes]) -> str:
    if not parts:
        return ""
    if not all(map(lt, parts, islice(parts, 1, None))):  # in C
        return "names are not byte-sorted or not unique"
    first = parts[0]
    if not first or (first <= b".." and any(_has(parts, odd) for odd in (b".", b".."))):
        return "empty name, . or .."
    fits = len(names) <= NAME_BYTES_MAX or max(map(len, parts)) <= NAME_BYTES_MAX
    return "" if fits else "name too long"


def _has(parts: list[bytes], name: bytes) -> bool:
    at = bisect_left(parts, name)
    return at < len(parts) and parts[at] == name
