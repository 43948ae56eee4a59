"""The audit log read: as records, or to see whether it is as it was written."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Container, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fustor_core.acts.chain import Fault, Link, follows, link_of, opened
from fustor_core.errors import StateError

FOLDER = "audit"
HEAD = "head"
_NAME = re.compile(r"acts-([0-9]{12})\.jsonl")
_NUMBER = re.compile(rb'\{"seq":([0-9]{1,18}),')
LOOKS = 20  # at a log that somebody writes to at this moment
LOOK_S = 0.05


@dataclass(frozen=True, slots=True)
class Verified:
    """What a look at the whole log has found.

    Attributes:
        records: how many there are. first: number of the first, 0 = there is none.
        head: the last one. since, until: their times. fault: the first one that is broken.
    """

    records: int
    first: int
    head: Link
    since: str = ""
    until: str = ""
    fault: Fault | None = None

    def document(self) -> dict[str, Any]:
        """As JSON."""
        fault = self.fault
        return {
            "valid": fault is None,
            "records": self.records,
            "first": self.first,
            "last": self.head.seq,
            "head": self.head.hash,
            "since": self.since or None,
            "until": self.until or None,
            "fault": fault and {"seq": fault.seq, "kind": fault.kind, "detail": fault.detail},
        }


def files_in(folder: Path) -> list[Path]:
    """The files of a log, oldest first."""
    try:
        return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))
    except FileNotFoundError:
        return []


def file_name(first: int) -> str:
    """The name of a file by the number of its first record."""
    return f"acts-{first:012}.jsonl"


def first_of(path: Path) -> int:
    """The number of a file's first record, by its name."""
    found = _NAME.fullmatch(path.name)
    return int(found[1]) if found else 0


def records(folder: Path) -> Iterator[dict[str, Any]]:
    """What the log says, oldest first; a line that cannot be read is passed over.

    Raises:
        StateError: it cannot be read.
    """
    for line in _lines(folder):
        with suppress(ValueError):
            record = json.loads(line)
            if isinstance(record, dict):
                yield record


def verify(folder: Path, expect: Link | None = None, start: int = 1) -> Verified:
    """Look whether every record is as it was written, and none is missing.

    Args:
        start: number of the first record that is looked at.
        expect: a head that somebody has remembered: its hash, and its number or 0. Who can write
            the files could write another log; not one in which this record stands.

    Raises:
        StateError: it cannot be read.
    """
    found = _verified(folder, expect, start)
    for _ in range(LOOKS):  # somebody may be writing, or removing what is too old
        if found.fault is None or found.fault.kind == "swapped":
            break
        time.sleep(LOOK_S)
        again = _verified(folder, expect, start)
        if again == found:
            break
        found = again
    return found


def _verified(folder: Path, expect: Link | None, start: int) -> Verified:
    remembered = read_head(folder)  # before the records: it never is ahead of them
    numbers = {int(found[1]) for line in _lines(folder) if (found := _NUMBER.match(line))}
    walk = _Walk(remembered, expect, start)
    for line in _lines(folder):
        number = _NUMBER.match(line)
        if number and int(number[1]) < start:
            continue
        fault = walk.take(line, numbers)
        if fault is not None:
            return walk.verified(fault)
    return walk.verified(walk.end())


class _Walk:
    """From record to record.

    Args:
        remembered: the head beside the log. expect: a head that somebody else has remembered.
        start: number of the first record.
    """

    def __init__(self, remembered: Link | None, expect: Link | None, start: int) -> None:
        self._remembered, self._expect, self._start = remembered, expect, start
        self._head = Link()
        self._records = self._first = 0
        self._since = self._until = ""
        self._begun: Link | None = None  # what stood before the first that is left
        self._pruned: set[Link] = set()
        self._met = False  # the record that was expected
        self._other = False  # another record than was remembered

    def take(self, line: bytes, numbers: Container[int]) -> Fault | None:
        """The next line; `numbers` are those of all records."""
        due = self._head.seq + 1
        record = opened(line.removesuffix(b"\n"))
        if not line.endswith(b"\n"):
            return Fault(due, "cut", f"record {due} is cut short, as by a kill or by a hand")
        if record is None:
            return Fault(due, "changed", f"record {due} was changed")
        if not self._records and record["seq"] > 1:
            self._begun = self._head = Link(record["seq"] - 1, record["prev"])
            self._meet(self._begun)
        fault = follows(record, self._head, numbers.__contains__)
        if fault is not None:
            return fault
        self._head = link_of(record)
        self._meet(self._head)
        self._records += 1
        self._first = self._first or record["seq"]
        self._since, self._until = self._since or str(record.get("at")), str(record.get("at"))
        about = record.get("object") or {}
        if record.get("act") == "audit-prune":
            self._pruned.add(Link(about.get("last", 0), about.get("hash", "")))
        if record.get("act") == "audit-damage":
            told = (
                f"what stood behind record {self._head.seq - 1} was missing or changed at a start"
            )
            return Fault(self._head.seq, "cut", told)
        return None

    def _meet(self, link: Link) -> None:
        self._met = self._met or (self._expect is not None and link.hash == self._expect.hash)
        if self._remembered is not None and link.seq == self._remembered.seq:
            self._other = link.hash != self._remembered.hash

    def end(self) -> Fault | None:
        """What only the whole tells."""
        head, remembered = self._head, self._remembered
        begun = self._begun
        if begun is not None and begun.seq >= self._start and begun not in self._pruned:
            last = begun.seq
            told = f"records 1 to {last} are missing, and no record says that they were pruned"
            return Fault(1, "removed", told)
        if remembered is None and self._records:
            return Fault(head.seq, "cut", f"the file `{HEAD}` is missing: the end may be, too")
        if remembered is not None and remembered.seq > head.seq:
            told = f"the log ends with record {head.seq}; it had {remembered.seq}"
            return Fault(head.seq + 1, "cut", told)
        if remembered is not None and self._other:
            told = f"record {remembered.seq} is another than was remembered in `{HEAD}`"
            return Fault(remembered.seq, "changed", told)
        return self._missing() if self._expect is not None and not self._met else None

    def _missing(self) -> Fault:
        assert self._expect is not None
        seq, digest = self._expect.seq, self._expect.hash
        number = f"record {seq}" if seq else "a record"
        told = f"{number} with the hash {digest[:12]}… does not stand here"
        cut = not seq or seq > self._head.seq
        return Fault(seq or self._head.seq + 1, "cut" if cut else "changed", told)

    def verified(self, fault: Fault | None) -> Verified:
        """What was found."""
        told = (self._records, self._first, self._head, self._since, self._until)
        return Verified(*told, fault)


def read_head(folder: Path) -> Link | None:
    """The head as it was remembered beside the log; None: it was not, or cannot be read."""
    try:
        seq, digest = (folder / HEAD).read_text("ascii").split()
        return Link(int(seq), digest)
    except FileNotFoundError:
        return None
    except ValueError:
        return None
    except OSError as error:
        raise unreadable(folder / HEAD, error) from error


def head_line(head: Link) -> bytes:
    """What stands in the file `HEAD`: always as long, so that it is overwritten in one piece."""
    return f"{head.seq:018} {head.hash}\n".encode()


def unreadable(path: Path, error: OSError) -> StateError:
    """The error for a log that cannot be read."""
    return StateError(
        f"the audit log {path} cannot be read: {error.strerror or error}",
        remedy="ask as the user who runs fustor, or as root",
    )


def _lines(folder: Path) -> Iterator[bytes]:
    """Every line, with its newline where it has one; removed files are passed over."""
    try:
        for path in files_in(folder):
            try:
                with open(path, "rb") as file:
                    yield from file
            except FileNotFoundError:
                continue  # it is too old, and goes at this moment
    except OSError as error:
        raise unreadable(folder, error) from error
