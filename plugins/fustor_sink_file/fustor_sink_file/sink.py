"""The sink: batches into a book, in threads that nobody has to wait for."""

from __future__ import annotations

import base64
import errno
import os
import secrets
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from fustor_core.apart import Apart
from fustor_core.claims import Ack, Batch
from fustor_core.contracts import Hello, boottime_us
from fustor_core.errors import DiskFull, PipeError, Refused, Unreachable
from fustor_core.state import is_inside
from fustor_core.telling import Teller, quarantined, told
from fustor_sink_file.book import Book
from fustor_sink_file.options import Options

FULL = (errno.ENOSPC, errno.EDQUOT)


class FileSink:
    """Appends claims to files of its own folder; durable when `send` returns."""

    Config = Options

    def __init__(self, config: Options) -> None:
        self.config = config
        self._book = Book(config)
        self._teller: Teller | None = None
        self._work: Apart[None] | None = None
        self._tidying: Apart[None] | None = None

    def __repr__(self) -> str:
        return f"<FileSink {self._book!r}>"

    async def begin(self, hello: Hello) -> None:
        """Open the files.

        Raises:
            PipeError: they cannot be written.
        """
        self._refuse_own_tree(hello)
        await self._do(self._book.open)
        offset_us = time.time_ns() // 1000 - boottime_us()
        self._teller = Teller(hello.agent_id, hello.pipe, secrets.token_hex(8), offset_us)

    async def send(self, batch: Batch) -> Ack:
        """Append the claims of a batch; durable when this returns.

        Raises:
            PipeError: they are not.
        """
        teller = self._teller
        if teller is None:
            raise Unreachable(f"{self.config.folder} is not open")
        await self._tidied()

        def append() -> None:
            data = b"".join(line + b"\n" for line in told(batch, teller))
            self._book.append(batch.seq, data)

        await self._do(append)
        self._tidy()
        return Ack(batch.seq, quarantined=quarantined(batch))

    async def end(self) -> None:
        """Close the files; a thread that is still busy there closes them when it is done."""
        self._teller = None
        await Apart(self._book.close).result()

    def _refuse_own_tree(self, hello: Hello) -> None:
        """Each line would be a change, and each change a line.

        Raises:
            Refused: the folder lies in the tree that is watched.
        """
        root = base64.b64decode(hello.source.get("root_b64", ""))
        folder = self.config.folder
        if not root or self.config.inside_root:
            return
        place = Path(os.path.realpath(os.fsdecode(root)))
        if is_inside(place, Path(os.path.realpath(folder))):
            raise Refused(
                f"{folder} lies in the tree that is watched, so each line would make another;"
                " choose a `folder` elsewhere, or leave it out of the source and set `inside_root`"
            )

    async def _do(self, act: Callable[[], None]) -> None:
        """Something with the file, when what was begun before is over.

        Raises:
            PipeError: it failed, or an earlier one hangs.
        """
        if self._work is not None and not self._work.over:
            raise Unreachable(f"{self.config.folder} does not answer: the last write still waits")
        self._work = Apart(act)
        await self._told(self._work.result())

    def _tidy(self) -> None:
        """See to full files, beside what is written."""
        if self._tidying is None and self._book.untidy:
            self._tidying = Apart(self._book.tidy)

    async def _tidied(self) -> None:
        """What has become of that, if it is over.

        Raises:
            PipeError: it has failed; it is tried again.
        """
        work = self._tidying
        if work is not None and work.over:
            self._tidying = None
            await self._told(work.result())

    async def _told(self, result: Awaitable[None]) -> None:
        try:
            await result
        except OSError as error:
            raise _meaning(error, self.config.folder) from error


def _meaning(error: OSError, folder: Path) -> PipeError:
    """What an error of the file system means to a pipe."""
    reason = error.strerror or str(error)
    if error.errno in FULL:
        return DiskFull(
            f"{folder}: {reason}; make room, or let `keep_files` or `keep_size` drop what is old"
        )
    remedy = "does its parent exist, and may this user write there?"
    return Unreachable(f"{error.filename or folder} cannot be written: {reason}; {remedy}")
