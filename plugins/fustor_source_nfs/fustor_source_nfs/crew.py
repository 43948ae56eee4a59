"""The processes that look, from outside: asked, waited for, and left to die when they hang.

A process that hangs in the kernel may not even die of SIGKILL until the storage answers. So nobody
ever waits for its end: it is killed, forgotten, and reaped when it is over.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable

import anyio

from fustor_core.errors import FustorError, Refused
from fustor_core.files.rooted import RootVanished
from fustor_source_nfs.frames import ANSWERS, HEAD, Alive, Answer, Begin, Failed, Found, Task, frame

LOOKERS_MOST = 4
STUCK_MOST = 8
START_S = 60.0  # a loaded host may need so long to begin a process; the storage has no part in it


class StorageHung(FustorError):
    """The storage did not answer in time.

    Attributes:
        reason: why nothing is known of what lies there.
    """

    reason = "hung"


class Looker:
    """One process; it does one task at a time."""

    def __init__(self, begin: Begin) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "fustor_source_nfs.looker"],
                stdin=theirs.fileno(),
                cwd="/",  # never a folder of a storage that hangs
                stdout=subprocess.DEVNULL,
                pass_fds=[begin.ears] if begin.ears >= 0 else [],
                start_new_session=True,  # an interrupt is for the agent, who ends its lookers
            )
        ours.setblocking(False)
        self._line = ours
        self._fresh = True
        self._first = frame(begin)

    def __repr__(self) -> str:
        return f"<Looker {self.process.pid}>"

    def __del__(self) -> None:
        self._line.close()

    async def do(self, task: Task, limit_s: float) -> Found | Failed:
        """The answer to a task.

        Args:
            limit_s: between two signs of life.

        Raises:
            TimeoutError: there was none. ConnectionError: the process has ended.
        """
        if self._fresh:
            with anyio.fail_after(START_S):
                await self._send(self._first)
                await self._receive()
            self._fresh = False
        with anyio.fail_after(limit_s):
            await self._send(frame(task))
        while True:
            with anyio.fail_after(limit_s):
                answer: Answer = ANSWERS.decode(await self._receive())
            if not isinstance(answer, Alive):
                return answer

    def kill(self) -> None:
        """End it as soon as the kernel lets it; comes back at once."""
        self._line.close()
        self.process.kill()

    @property
    def over(self) -> bool:
        """Whether it has ended; it is reaped then."""
        return self.process.poll() is not None

    async def _send(self, data: bytes) -> None:
        while data:
            try:
                data = data[self._line.send(data) :]
            except BlockingIOError:
                await anyio.wait_writable(self._line)

    async def _receive(self) -> bytes:
        (size,) = HEAD.unpack(await self._exactly(HEAD.size))
        return await self._exactly(size)

    async def _exactly(self, size: int) -> bytes:
        body = bytearray()
        while len(body) < size:
            try:
                part = self._line.recv(min(size - len(body), 1 << 20))
            except BlockingIOError:
                await anyio.wait_readable(self._line)
                continue
            if not part:
                raise ConnectionError("the looking process has ended")
            body += part
        return bytes(body)


class Crew:
    """Processes for one root, begun when they are needed.

    Args:
        begin: makes the first frame of each. hang_after_s: without a sign of life it is given up.
    """

    def __init__(self, begin: Callable[[], Begin], hang_after_s: float) -> None:
        self._begin = begin
        self._hang_after_s = hang_after_s
        self._idle: list[Looker] = []
        self._left: list[Looker] = []
        self._turns = anyio.Semaphore(LOOKERS_MOST)
        self._round = 0

    def __repr__(self) -> str:
        return f"<Crew {len(self._idle)} idle, {len(self._left)} left>"

    @property
    def stuck(self) -> int:
        """Processes that were killed and hang on in the kernel."""
        self._left = [one for one in self._left if not one.over]
        return len(self._left)

    async def ask(self, task: Task) -> Found:
        """What the storage says.

        Raises:
            StorageHung: nothing, for too long.
            RootVanished, Refused, OSError: as found.
        """
        async with self._turns:
            if self.stuck >= STUCK_MOST:
                raise self._hung(f"{self.stuck} processes hang in the kernel")
            answer = await self._done(task)
        if isinstance(answer, Found):
            return answer
        if answer.kind == "vanished":
            raise RootVanished(answer.message, reason=answer.reason, remedy=answer.remedy)
        if answer.kind == "refused":
            raise Refused(answer.message, remedy=answer.remedy)
        raise OSError(answer.code, answer.message)

    def close(self) -> None:
        """End all that are idle, and what is still asked when it is answered; waits for nobody."""
        self._round += 1
        for one in self._idle:
            self._leave(one)
        self._idle = []

    async def _done(self, task: Task) -> Found | Failed:
        at = self._round
        looker = self._idle.pop() if self._idle else Looker(self._begin())
        try:
            answer = await looker.do(task, self._hang_after_s)
        except TimeoutError as err:
            self._leave(looker)
            raise self._hung(f"no answer for {self._hang_after_s:g} s") from err
        except ConnectionError as err:
            self._leave(looker)
            raise OSError(f"{err}, with {looker.process.poll()}") from err
        except BaseException:
            self._leave(looker)
            raise
        if at == self._round:
            self._idle.append(looker)
        else:
            self._leave(looker)
        return answer

    def _leave(self, looker: Looker) -> None:
        looker.kill()
        self._left.append(looker)

    def _hung(self, why: str) -> StorageHung:
        root = self._begin().root.decode(errors="backslashreplace")
        return StorageHung(
            f"the storage at {root!r} hangs: {why}",
            remedy="see why the server does not answer; it is tried again by itself",
        )
