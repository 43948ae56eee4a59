"""The files of the audit log: records are appended and durable before anybody is told of the act.

    audit/acts-000000000001.jsonl    records, one a line; the name is the number of the first
    audit/head                       number and hash of the last one

Who was killed in the middle of a line leaves a piece of it: that is cut off at the next start, and
a record says so. A log that cannot be written ends nothing: what is lost is counted, said aloud,
and stands in the next record that can be written.
"""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from fustor_core.acts.chain import Link, link_of, opened, sealed
from fustor_core.acts.reading import (
    FOLDER,
    HEAD,
    file_name,
    files_in,
    first_of,
    head_line,
    read_head,
    unreadable,
)
from fustor_core.contracts.asking import Asker
from fustor_core.documents import stamp_text
from fustor_core.state.files import FILE_MODE, FOLDER_MODE, sync_folder

ROTATE_BYTES = 16 << 20
KEEP_S = 730 * 86400.0
TAIL_BYTES = 1 << 16  # more than a record can have
Fields = Mapping[str, Any]
log = logging.getLogger("fustor.audit")


def of_program(act: str, **about: Any) -> dict[str, Any]:
    """A record of what the program does by itself."""
    actor = Asker().document()
    return {"actor": actor, "act": act, "object": about, "outcome": "done"}


class Book:
    """The log of one state directory. One process at a time: the owner holds the lock.

    Args:
        part: the folder in which that of the log lies; it exists.
        rotate_bytes: a file that is larger is followed by another.
        keep_s: files whose last record is older are removed; 0 = never.
        warn: told sentences. now_ns: wall time.

    Attributes:
        head: the last record.
        written, lost: how many records this process has written, and how many it could not.
    """

    def __init__(
        self,
        part: Path,
        *,
        rotate_bytes: int = ROTATE_BYTES,
        keep_s: float = KEEP_S,
        warn: Callable[[str], None] = lambda told: None,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.folder = part / FOLDER
        self.head = Link()
        self.written = self.lost = 0
        self._rotate_bytes, self._keep_s = rotate_bytes, keep_s
        self._warn, self._now_ns = warn, now_ns
        self._file = self._head_file = -1
        self._size = 0  # of the file, up to the end of its last whole record
        self._untold = 0  # records that could not be written
        self._due: deque[Fields] = deque()  # filled by one thread, emptied by others
        self._writing = anyio.Lock()
        self._news = anyio.Event()

    def __repr__(self) -> str:
        return f"<Book {self.folder} at {self.head.seq}>"

    # ---- opening

    def open(self) -> None:
        """Go on where the log ends; repair what a kill has left there.

        Raises:
            StateError: it cannot be read or written.
        """
        try:
            if not self.folder.is_dir():
                self.folder.mkdir(mode=FOLDER_MODE)
                sync_folder(self.folder.parent)
            remembered = read_head(self.folder)
            repairs = self._find_end(remembered)
            self._open_head(fresh=remembered is None)
            for told, fields in repairs:
                self._warn(told)
                self._due.append({"at": stamp_text(self._now_ns()), **fields})
            self.write()
        except OSError as error:
            raise unreadable(self.folder, error) from error

    def close(self) -> None:
        """Write what is due, and let go of the files."""
        if self._file >= 0:
            self.write()
            os.close(self._file)
            os.close(self._head_file)
            self._file = self._head_file = -1

    def _find_end(self, remembered: Link | None) -> list[tuple[str, Fields]]:
        """Open the last file; what was wrong with its end, for people and for the log."""
        files = files_in(self.folder)
        repairs: list[tuple[str, Fields]] = []
        if not files:
            self._begin_file()
        else:
            self._file = _private(files[-1])
            self._size, broken, torn = self._last_record(first_of(files[-1]))
            if torn:
                os.ftruncate(self._file, self._size)
                os.fsync(self._file)
                told = f"audit log: its last record was cut short, as by a kill: {torn} bytes away"
                repairs.append((told, of_program("audit-repair", bytes=torn)))
            if broken:
                told = f"audit log: its last record, {self.head.seq}, was changed"
                repairs.append((told, of_program("audit-damage", last=self.head.seq)))
        if remembered is None and self.head.seq:
            told = f"audit log: the file `{HEAD}` is missing; the last records may be, too"
            repairs.append((told, of_program("audit-damage", last=self.head.seq)))
        elif remembered is not None and remembered.seq > self.head.seq:
            gone = {"first": self.head.seq + 1, "last": remembered.seq, "hash": remembered.hash}
            told = f"audit log: records {gone['first']} to {gone['last']} are missing"
            repairs.append((told, of_program("audit-damage", **gone)))
        return repairs

    def _last_record(self, first: int) -> tuple[int, bool, int]:
        """Finds the end of the open file, and the head.

        Returns:
            Where its last whole line ends; whether that is no good record; bytes of a torn one.
        """
        size = os.fstat(self._file).st_size
        tail = os.pread(self._file, TAIL_BYTES, max(0, size - TAIL_BYTES))
        whole = tail.rfind(b"\n") + 1
        end = size - len(tail) + whole
        lines = tail[:whole].splitlines()
        if not lines:
            self.head = self._before(first)
            return end, False, size - end
        record = opened(lines[-1])
        if record is None:
            self.head = Link(max(first, read_number(lines[-1])), "0" * 64)
            return end, True, size - end
        self.head = link_of(record)
        return end, False, size - end

    def _before(self, first: int) -> Link:
        """The head when the last file has no whole record yet: a kill came early in its life."""
        for path in reversed(files_in(self.folder)[:-1]):
            lines = path.read_bytes().splitlines()
            record = opened(lines[-1]) if lines else None
            if record is not None:
                return link_of(record)
        return Link(first - 1) if first > 1 else Link()

    def _begin_file(self) -> None:
        path = self.folder / file_name(self.head.seq + 1)
        fresh = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        if self._file >= 0:
            os.close(self._file)
        self._file, self._size = fresh, os.fstat(fresh).st_size
        sync_folder(self.folder)

    def _open_head(self, *, fresh: bool) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._head_file = os.open(self.folder / HEAD, flags, FILE_MODE)
        os.fchmod(self._head_file, FILE_MODE)
        if fresh:
            os.pwrite(self._head_file, head_line(self.head), 0)
            os.fsync(self._head_file)
            sync_folder(self.folder)

    # ---- writing

    def note(self, fields: Fields) -> None:
        """A record that is written soon, while `live` runs, or with the next `put`."""
        self._due.append({"at": stamp_text(self._now_ns()), **fields})
        self._news.set()

    async def put(self, fields: Fields) -> None:
        """A record; durable when this returns, or counted as lost."""
        self.note(fields)
        with anyio.CancelScope(shield=True):
            async with self._writing:
                await anyio.to_thread.run_sync(self.write)

    async def live(self) -> None:
        """Write what was noted, until cancelled."""
        while True:
            await self._news.wait()
            self._news = anyio.Event()
            with anyio.CancelScope(shield=True):
                async with self._writing:
                    await anyio.to_thread.run_sync(self.write)

    def write(self) -> None:
        """Write what is due; one thread at a time. A disk that refuses is told of, once."""
        due = []
        while self._due:
            due.append(self._due.popleft())
        if not due:
            return
        try:
            self._append([*self._lost_fields(), *due])
        except OSError as error:
            if not self._untold:
                self._warn(
                    f"the audit log {self.folder} cannot be written: {error.strerror or error};"
                    " what is done from now on stands in no record"
                )
            self._untold += len(due)
            self.lost += len(due)
            return
        if self._untold:
            self._warn(f"the audit log is written again; {self._untold} records are lost")
            self._untold = 0

    def _lost_fields(self) -> list[Fields]:
        if not self._untold:
            return []
        return [{"at": stamp_text(self._now_ns()), **of_program("audit-loss", lost=self._untold)}]

    def _append(self, due: Sequence[Fields]) -> None:
        """All of them, or none.

        Raises:
            OSError: the disk refuses.
        """
        lines, link = [], self.head
        for fields in due:
            line, link = sealed(fields, link)
            lines.append(line)
        data = b"".join(lines)
        os.ftruncate(self._file, self._size)  # what a write that failed may have left
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._file, rest) :]
        os.fsync(self._file)
        self.head, self._size = link, self._size + len(data)
        for fields in due:
            log.info("%s", fields["act"], extra={"fields": _told(fields)})
        self.written += len(due)
        os.pwrite(self._head_file, head_line(link), 0)
        if self._size >= self._rotate_bytes:
            self._begin_file()
            self._prune()

    def _prune(self) -> None:
        """Files that are too old go; the record that says so is durable before they do."""
        if not self._keep_s:
            return
        old = []
        for path in files_in(self.folder)[:-1]:
            lines = path.read_bytes().splitlines()
            record = opened(lines[-1]) if lines else None
            if record is None or self._age_s(record) < self._keep_s:
                break
            old.append((path, link_of(record)))
        if old:
            last = old[-1][1]
            about = of_program("audit-prune", last=last.seq, hash=last.hash)
            self._append([{"at": stamp_text(self._now_ns()), **about}])
            for path, _ in old:
                path.unlink()
            sync_folder(self.folder)

    def _age_s(self, record: Mapping[str, Any]) -> float:
        try:
            at_s = datetime.fromisoformat(str(record.get("at"))).timestamp()
        except ValueError:
            return 0.0
        return self._now_ns() / 1e9 - at_s


def _told(fields: Fields) -> dict[str, Any]:
    """A record as a log line has it."""
    actor = dict(fields["actor"])
    return {
        "by": " ".join(str(one) for one in actor.values()),
        **{key: fields[key] for key in ("object", "outcome", "why") if fields.get(key)},
    }


def read_number(line: bytes) -> int:
    """The number that a damaged line seems to have; 0 where none can be read."""
    digits = line.removeprefix(b'{"seq":').partition(b",")[0]
    return int(digits) if digits.isdigit() and len(digits) < 18 else 0


def _private(path: Path) -> int:
    """A file of the log, to be appended to; from then on nobody else may read it."""
    found = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
    os.fchmod(found, FILE_MODE)
    return found
