"""The files of one sink: one that is written, and full ones with numbers. Blocks; for threads.

    claims.jsonl                    is written; each append is synced before it is acknowledged
    claims.000000001.jsonl[.gz]     full; the higher the number, the newer
    claims.000000001.parquet        the same as a table
    .lock                           held by the one process that writes here

A crash leaves at most the last line torn, and nothing of it was acknowledged: the next `open` cuts
it off. A full file gets its name by one rename, a packed one takes the place of the plain one only
when it is durable. So whatever stands there after a crash is whole.
"""

from __future__ import annotations

import errno
import fcntl
import gzip
import os
import re
import shutil
import stat
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import msgspec
import zstandard

from fustor_core.errors import Refused, Unreachable
from fustor_core.state.files import FILE_MODE, FOLDER_MODE, sync_folder
from fustor_sink_file.options import Options

CURRENT = "claims.jsonl"
FULL = re.compile(r"claims\.(\d{9,})\.(jsonl|jsonl\.gz|jsonl\.zst|parquet)")
PLAIN = ".jsonl"
UNFINISHED = ".packing"
SUFFIX = {"gzip": ".gz", "zstd": ".zst"}
OPEN = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
BLOCK_BYTES = 1 << 16


class _First(msgspec.Struct):
    """What is read of a first line: when it was seen."""

    wall_us: int


class Book:
    """Appends, and keeps the files in order.

    `append` and `tidy` may run beside each other, in threads of their own; each alone waits for
    itself, and `close` for both.

    Args:
        options: of the sink.

    Attributes:
        untidy: there may be full files to be packed or dropped.
    """

    def __init__(self, options: Options) -> None:
        self.untidy = False
        self._options = options
        self._folder = options.folder
        self._current = options.folder / CURRENT
        self._lock = self._file = -1
        self._good = 0  # bytes that are durable
        self._begun_s = 0.0
        self._last = 0
        self._odd: set[Path] = set()  # full files that are no table
        self._writing, self._tidying = threading.Lock(), threading.Lock()

    def __repr__(self) -> str:
        return f"<Book in {self._folder} {'open' if self._lock >= 0 else 'closed'}>"

    def open(self) -> None:
        """Take the folder, and cut off what a crash has left of a line.

        Raises:
            OSError: it cannot be used. Unreachable: somebody else writes there.
            Refused: something else stands where the file should be.
        """
        with self._writing:
            self._folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
            with suppress(PermissionError):  # who may not read what stands above may not sync it
                sync_folder(self._folder.parent)
            if self._lock < 0:
                self._take()
            self._last = 0
            self._reopen()
            self.untidy = True

    def append(self, number: int, data: bytes) -> None:
        """Append whole lines; they are durable when this returns.

        Args:
            number: of the batch; the same again is one that is there already.

        Raises:
            OSError: they are not, and none of them will be found there.
        """
        with self._writing:
            if number == self._last:
                return
            if not self._in_place():
                self._reopen()
            if self._good and self._is_full(len(data)):
                self._turn()
            if not self._good:
                self._begun_s = time.time()
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(self._file, view) :]
                os.fsync(self._file)
            except OSError:
                # What a failed sync has left in memory is not trusted: the file is opened anew.
                with suppress(OSError):
                    os.ftruncate(self._file, self._good)
                self._drop_file()
                raise
            self._good += len(data)
            self._last = number

    def tidy(self) -> None:
        """Pack full files, and drop those that are too many.

        Raises:
            OSError: that could not be done; a file that should be packed is there unpacked.
        """
        with self._tidying:
            self.untidy = False
            try:
                self._clear_away()
                self._pack()
                self._clear_away()
            except OSError:
                self.untidy = True
                raise

    def close(self) -> None:
        """Let go of the folder, when nothing is under way in it."""
        with self._writing, self._tidying:
            self._drop_file()
            if self._lock >= 0:
                os.close(self._lock)
                self._lock = -1

    # -- the file that is written

    def _take(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        lock = os.open(self._folder / ".lock", flags, FILE_MODE)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            if error.errno in (errno.EAGAIN, errno.EACCES):
                raise Unreachable(
                    f"another pipe writes to {self._folder}; give each pipe a `folder` of its own"
                ) from error
            raise
        self._lock = lock

    def _in_place(self) -> bool:
        """Whether the file that is open is still the one of that name, as it was left."""
        if self._file < 0:
            return False
        try:
            named, held = os.stat(self._current, follow_symlinks=False), os.fstat(self._file)
        except FileNotFoundError:
            return False
        return os.path.samestat(named, held) and held.st_size == self._good

    def _reopen(self) -> None:
        self._drop_file()
        file = os.open(self._current, OPEN, FILE_MODE)
        try:
            found = os.fstat(file)
            if not stat.S_ISREG(found.st_mode):
                raise Refused(f"{self._current} is no regular file; move it out of the way")
            good = _end_of_lines(file, found.st_size)
            if good < found.st_size:
                os.ftruncate(file, good)
            os.fsync(file)
            sync_folder(self._folder)
        except BaseException:
            os.close(file)
            raise
        self._file, self._good = file, good
        self._begun_s = _begun_s(file) if good else 0.0

    def _drop_file(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _is_full(self, more: int) -> bool:
        options = self._options
        age_s = time.time() - self._begun_s
        return self._good + more > options.rotate_size or 0 < options.rotate_age <= age_s

    def _turn(self) -> None:
        """The file gets its number, and the next one begins."""
        number = max((n for n, _ in self._full()), default=0) + 1
        os.rename(self._current, self._folder / f"claims.{number:09d}.jsonl")
        self.untidy = True
        self._reopen()

    # -- full files

    def _full(self) -> list[tuple[int, Path]]:
        """Numbers and paths, oldest first; packed ones before their plain forms."""
        found = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                match = FULL.fullmatch(entry.name)
                if match and entry.is_file(follow_symlinks=False):
                    plain = match[2] == PLAIN[1:]
                    found.append((int(match[1]), plain, self._folder / entry.name))
        return [(number, path) for number, _, path in sorted(found)]

    def _clear_away(self) -> None:
        """Remove what is unfinished, what is there twice, and what is too much."""
        for unfinished in self._folder.glob(f".claims.*{UNFINISHED}"):
            unfinished.unlink(missing_ok=True)
        full: list[Path] = []
        for number, path in self._full():
            if full and full[-1].name.startswith(f"claims.{number:09d}."):
                path.unlink(missing_ok=True)  # its packed form is durable
            else:
                full.append(path)
        options, size = self._options, 0
        for kept, path in enumerate(reversed(full)):
            size += path.stat().st_size
            many = options.keep_files is not None and kept >= options.keep_files
            if many or (options.keep_size is not None and size > options.keep_size):
                path.unlink()

    def _pack(self) -> None:
        for _, path in self._full():
            if path.suffix != PLAIN or path in self._odd:
                continue
            table = self._options.format == "parquet"
            suffix = SUFFIX.get(self._options.compress, "")
            packed = path.with_suffix(".parquet") if table else path.with_name(path.name + suffix)
            if packed == path:
                return
            unfinished = self._folder / f".{path.name}{UNFINISHED}"
            with unfinished.open("xb") as target:
                os.fchmod(target.fileno(), FILE_MODE)
                if table and not self._tabulated(path, target):
                    continue
                if not table:
                    _compress(path, target, suffix)
                target.flush()
                os.fsync(target.fileno())
            os.rename(unfinished, packed)
            sync_folder(self._folder)
            path.unlink()

    def _tabulated(self, path: Path, target: BinaryIO) -> bool:
        """Whether the lines of a full file could be written as a table; else it stays as it is."""
        from fustor_sink_file.table import Strange, write_table

        try:
            write_table(path, target, self._options.compress)
        except Strange:
            self._odd.add(path)
            return False
        return True


def _compress(path: Path, target: BinaryIO, suffix: str) -> None:
    with path.open("rb") as plain:
        if suffix == ".gz":
            with gzip.GzipFile(fileobj=target, mode="wb", filename="", mtime=0) as stream:
                shutil.copyfileobj(plain, stream)
        else:
            zstandard.ZstdCompressor().copy_stream(plain, target)


def _end_of_lines(file: int, size: int) -> int:
    """Where the last whole line ends."""
    while size:
        begin = max(0, size - BLOCK_BYTES)
        found = os.pread(file, size - begin, begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        size = begin
    return 0


def _begun_s(file: int) -> float:
    """Wall time of the first line; of one that is not ours, that of the last change."""
    head = os.pread(file, 2 << 20, 0).partition(b"\n")[0]
    try:
        return msgspec.json.decode(head, type=_First).wall_us / 1e6
    except msgspec.MsgspecError:
        return os.fstat(file).st_mtime
