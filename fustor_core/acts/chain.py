"""The chain of the audit log: each record holds the digest of the one before it.

A record is one line of JSON. Its last member is ``hash``: SHA-256, in hex, of the line as it would
be without that member; ``prev`` is the hash of the record before, ``0…0`` in the very first. So a
line can be checked with `sed` and `sha256sum`. Nothing here reads or writes.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

GENESIS = "0" * 64
TEXT_MAX = 256  # of one text; a record is no place for what somebody sends to fill a disk
_LINE = re.compile(rb'(\{"seq":[0-9]{1,18},.*),"hash":"([0-9a-f]{64})"\}', re.DOTALL)

Kind = Literal["changed", "removed", "swapped", "cut"]


@dataclass(frozen=True, slots=True)
class Fault:
    """The first record that is not as it was written.

    Attributes:
        seq: its number. kind: what was done to it, as far as can be told. detail: for people.
    """

    seq: int
    kind: Kind
    detail: str


@dataclass(frozen=True, slots=True)
class Link:
    """A record as the next one needs it: its number and its hash."""

    seq: int = 0
    hash: str = GENESIS


def sealed(fields: Mapping[str, Any], before: Link) -> tuple[bytes, Link]:
    """A record as a line, and the link to it.

    Args:
        fields: what it says; without ``seq``, ``prev`` and ``hash``.
    """
    whole = {"seq": before.seq + 1, **fields, "prev": before.hash}
    # ASCII alone: no name and no text can end a line, or steer a terminal
    body = json.dumps(whole, separators=(",", ":"), ensure_ascii=True).encode()
    digest = hashlib.sha256(body).hexdigest()
    return body[:-1] + f',"hash":"{digest}"}}\n'.encode(), Link(before.seq + 1, digest)


def opened(line: bytes) -> dict[str, Any] | None:
    """What a line says; None when it is not as it was sealed.

    Args:
        line: without the newline at its end.
    """
    found = _LINE.fullmatch(line)
    if found is None or hashlib.sha256(found[1] + b"}").hexdigest() != found[2].decode():
        return None
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record.get("prev"), str) else None


def link_of(record: Mapping[str, Any]) -> Link:
    """The link to a record that was opened."""
    return Link(record["seq"], record["hash"])


def follows(record: Mapping[str, Any], before: Link, stands: Callable[[int], bool]) -> Fault | None:
    """What is wrong with a record that was opened, at its place.

    Args:
        before: the one that stands before it. stands: whether a number stands somewhere in the log.
    """
    seq, due = record["seq"], before.seq + 1
    if seq == due and record["prev"] == before.hash:
        return None
    if seq == due:
        told = f"record {before.seq} was changed: record {seq} was written behind another one"
        return Fault(before.seq, "changed", told)
    if seq < due:
        return Fault(seq, "swapped", f"record {seq} stands behind record {before.seq}")
    if stands(due):
        return Fault(due, "swapped", f"record {due} is not in its place: record {seq} stands there")
    many = f"records {due} to {seq - 1} are" if seq - due > 1 else f"record {due} is"
    return Fault(due, "removed", f"{many} missing before record {seq}")


def bounded(value: Any) -> Any:
    """A value as it may stand in a record: plain, and not longer than needed."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    if isinstance(value, str):
        text = value.encode("utf-8", "backslashreplace").decode()
        return text if len(text) <= TEXT_MAX else text[: TEXT_MAX - 1] + "…"
    if isinstance(value, Mapping):
        return {str(bounded(str(key))): bounded(one) for key, one in list(value.items())[:TEXT_MAX]}
    if isinstance(value, list | tuple | set | frozenset):
        items = sorted(map(str, value)) if isinstance(value, set | frozenset) else list(value)
        return [bounded(one) for one in items[:TEXT_MAX]]
    return value if value is None or isinstance(value, int | float) else bounded(str(value))
