"""The sink: lines to a file descriptor, by a thread that nobody has to wait for."""

from __future__ import annotations

import base64
import errno
import os
import secrets
import select
import stat
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from fustor_core.apart import Apart
from fustor_core.claims import Ack, Batch
from fustor_core.contracts import Hello, boottime_us
from fustor_core.errors import Refused, Unreachable
from fustor_core.state import is_inside
from fustor_core.telling import Teller, quarantined, told

NUMBERS = {"stdout": 1, "stderr": 2}
LINE_BYTES = select.PIPE_BUF  # what a pipe takes in one piece; with the newline
EVENT = b'{"event":"claim",'  # the program's own events may stand on the same stdout
GONE = (errno.EPIPE, errno.EBADF, errno.ENXIO)

# Several pipes may write to one descriptor; a write that is cut in two keeps the others waiting.
_turns: defaultdict[int, threading.Lock] = defaultdict(threading.Lock)


class EchoSink:
    """Writes claims as lines of JSON."""

    class Config(BaseModel):
        """Options of the driver."""

        model_config = ConfigDict(extra="forbid", frozen=True)
        to: Literal["stdout", "stderr"] | Annotated[int, Field(ge=1)] = Field(
            "stdout", description="stdout, stderr, or the number of an open file descriptor"
        )

    def __init__(self, config: Config) -> None:
        self.config = config
        to = config.to
        self._fd = to if isinstance(to, int) else NUMBERS[to]
        self._name = {1: "stdout", 2: "stderr"}.get(self._fd, f"file descriptor {self._fd}")
        self._teller: Teller | None = None
        self._work: Apart[None] | None = None

    def __repr__(self) -> str:
        return f"<EchoSink to {self._name}>"

    async def begin(self, hello: Hello) -> None:
        """Look at the descriptor.

        Raises:
            Refused: it is none to write to.
        """
        self._check(hello)
        offset_us = time.time_ns() // 1000 - boottime_us()
        self._teller = Teller(hello.agent_id, hello.pipe, secrets.token_hex(8), offset_us)

    async def send(self, batch: Batch) -> Ack:
        """Write the claims of a batch; all of it is written when this returns.

        Raises:
            Refused: nobody reads any more. Unreachable: it cannot be written now.
        """
        teller = self._teller
        if teller is None:
            raise Unreachable(f"{self._name} is not in use by this pipe")
        if self._work is not None and not self._work.over:
            raise Unreachable(f"{self._name}: nobody reads; the last batch still waits")
        self._work = Apart(lambda: self._write(batch, teller))
        try:
            await self._work.result()
        except OSError as error:
            reason = error.strerror or str(error)
            if error.errno in GONE:
                raise Refused(f"{self._name}: {reason}; who read it is gone") from error
            raise Unreachable(f"{self._name} cannot be written: {reason}") from error
        return Ack(batch.seq, quarantined=quarantined(batch))

    async def end(self) -> None:
        """Nothing more is written; the descriptor belongs to who opened it."""
        self._teller = None

    def _write(self, batch: Batch, teller: Teller) -> None:
        with _turns[self._fd]:
            for piece in _pieces(told(batch, teller, LINE_BYTES - len(EVENT))):
                view = memoryview(piece)
                while view:
                    try:
                        view = view[os.write(self._fd, view) :]
                    except BlockingIOError:  # whoever opened it wants it so
                        ready = select.poll()
                        ready.register(self._fd, select.POLLOUT)
                        ready.poll()

    def _check(self, hello: Hello) -> None:
        """The descriptor was given to the program, and what is written is no change of the tree.

        Raises:
            Refused: it is not so.
        """
        fd, name = self._fd, self._name
        remedy = f"start the program with: {fd}>FILE"
        try:
            given, mode = os.get_inheritable(fd), os.fstat(fd).st_mode
        except OSError as error:
            raise Refused(f"{name}: {error.strerror}; {remedy}") from error
        if not given:  # the program's own files never are
            raise Refused(f"{name} is a file of the program itself; {remedy}")
        root = base64.b64decode(hello.source.get("root_b64", ""))
        if not root or not stat.S_ISREG(mode):
            return
        file = Path(os.path.realpath(f"/proc/self/fd/{fd}"))
        if is_inside(Path(os.path.realpath(os.fsdecode(root))), file):
            raise Refused(
                f"{name} is {file}, in the tree that is watched: each line would make another;"
                " redirect it to a place elsewhere"
            )


def _pieces(claims: Iterator[bytes]) -> Iterator[bytes]:
    """Whole lines, as many as are written at once without being torn."""
    piece = b""
    for claim in claims:
        line = EVENT + claim[1:]
        if piece and len(piece) + len(line) + 1 > LINE_BYTES:
            yield piece
            piece = b""
        piece += line + b"\n"
    if piece:
        yield piece
