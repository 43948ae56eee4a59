"""A pipe's standing with its sink: the session, as the agent knows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import anyio

from fustor_core.claims import Ack, Batch
from fustor_core.contracts import Answer, Grant, Hello, Introduced, Pulse, Rest, Sessioned, Sink
from fustor_core.errors import Unreachable
from fustor_core.pacing import Rhythm, heartbeat_interval_s
from fustor_core.waiting import Sleep, within

SKIPPED_MAX = 2  # role and commands ride on heartbeats: pushes stand in for so many intervals

PUSH_LIMIT_S = 60.0  # at least; a push that takes longer is given up, and sent again
SLOWEST_BYTES_S = 16 << 10  # a line that is slower than this is as good as none
BEAT_LIMIT_S = 1.0  # at least

LEADER = "leader"


@runtime_checkable
class Summoned(Protocol):
    """A sink that hears at once when fusion wants something, long before a heartbeat is due."""

    async def summoned(self) -> None: ...


class Link:
    """One sink, and the session that it has now, if any.

    A sink without sessions is alive, once it was told who sends if it wants to know; its pipe
    always leads.

    Args:
        sink: the driver.
        heartbeat_s: `heartbeat_interval_sec` of the pipe.
        now_us, sleep: the raw clock, and its sleep.

    Attributes:
        grant: the session as granted; None without one.
        role, epoch: as last told. rest: as last told to a leader.
        proven: something was answered in this session beside its opening.
        sessions: how many were granted.
    """

    def __init__(
        self, sink: Sink, heartbeat_s: float, now_us: Callable[[], int], sleep: Sleep
    ) -> None:
        self.sink = sink
        self._sessioned = sink if isinstance(sink, Sessioned) else None
        self.sessioned = self._sessioned is not None
        self.grant: Grant | None = None
        self.role = None if self.sessioned else LEADER
        self.epoch = 0
        self.rest: Rest | None = None
        self._met = not isinstance(sink, Introduced)
        self.proven, self.sessions = False, 0
        self._heartbeat_s = heartbeat_s
        self._now_us, self._sleep = now_us, sleep
        self._rhythm = Rhythm.opened(heartbeat_s, heartbeat_s, 0.0)
        self._proof_s = 0.0
        self._opened = anyio.Event()

    def __repr__(self) -> str:
        return f"<Link {self.session_id or 'no session'} {self.role} epoch={self.epoch}>"

    @property
    def alive(self) -> bool:
        """Whether batches can be sent, as far as is known."""
        return self.grant is not None or (not self.sessioned and self._met)

    @property
    def session_id(self) -> str | None:
        """Id of the session, None without one."""
        return self.grant.session_id if self.grant is not None else None

    @property
    def leads(self) -> bool:
        """Whether this pipe is the leader."""
        return self.role == LEADER

    def audit_interval_s(self, configured_s: float, *, own: bool) -> float:
        """The pipe's own value, if it was given one, else that of the view.

        Args:
            own: the pipe was given one.
        """
        return configured_s if own or self.grant is None else self.grant.audit_interval_s

    def _now_s(self) -> float:
        return self._now_us() / 1e6

    def wait_s(self) -> float:
        """Seconds until the next heartbeat is due."""
        return self._rhythm.wait_s(self._now_s())

    def silent_s(self) -> float:
        """For how long nothing was answered."""
        return self._now_s() - self._proof_s

    async def open(self, hello: Hello) -> None:
        """A new session, in place of any before.

        Raises:
            PipeError: none could be had.
        """
        self.forget()
        if self._sessioned is None:
            if isinstance(self.sink, Introduced):
                await self.sink.begin(hello)
                self._met = True
            return
        grant = await self._sessioned.open(hello)
        self.grant, self.role, self.epoch = grant, grant.role, grant.epoch
        self.rest = grant.rest
        self.sessions += 1
        self._proof_s = self._now_s()
        self._rhythm = self._rhythm_of(grant)
        self._opened.set()

    def beat_every(self, heartbeat_s: float) -> None:
        """Beat in this interval, or the server's if that is smaller; the first beat from now on."""
        self._heartbeat_s = heartbeat_s
        if self.grant is not None:
            self._rhythm = self._rhythm_of(self.grant)

    def _rhythm_of(self, grant: Grant) -> Rhythm:
        interval = heartbeat_interval_s(
            self._heartbeat_s, grant.heartbeat_interval_s, grant.session_timeout_s
        )
        longest = min(SKIPPED_MAX * interval, grant.session_timeout_s)
        return Rhythm.opened(interval, longest, self._proof_s)

    async def opened(self) -> None:
        """Wait until there is a session."""
        while self.grant is None:
            await self._opened.wait()

    def forget(self) -> None:
        """The session is gone."""
        if self.grant is not None:
            self._opened = anyio.Event()
        self.grant, self.proven = None, False
        if self.sessioned:
            self.role, self.epoch = None, 0

    async def push(self, batch: Batch, size: int) -> Ack:
        """Send a batch; one that hangs is given up, long after its session may have ended.

        Args:
            size: in bytes, about.

        Raises:
            PipeError: it is not known to be durable at the other end.
        """
        timeout_s = self.grant.session_timeout_s if self.grant is not None else 0.0
        limit_s = max(PUSH_LIMIT_S, timeout_s) + size / SLOWEST_BYTES_S
        late = Unreachable(f"no answer to batch {batch.seq} within {limit_s:.0f} s")
        ack = await within(limit_s, lambda: self.sink.send(batch), self._sleep, late)
        self.proven = True
        self._proof_s = self._now_s()
        self._rhythm = self._rhythm.pushed(self._proof_s)
        return ack

    async def beat(self, pulse: Pulse) -> Answer | None:
        """Send a heartbeat; None from a sink without sessions.

        Raises:
            PipeError: there was no answer, or a bad one.
        """
        sink = self._sessioned
        if sink is None:
            return None
        timeout_s = self.grant.session_timeout_s if self.grant is not None else 0.0
        limit_s = max(BEAT_LIMIT_S, timeout_s / 3)
        late = Unreachable(f"no answer to a heartbeat within {limit_s:g} s")
        answer = await within(limit_s, lambda: sink.beat(pulse), self._sleep, late)
        self.proven, self.rest = True, answer.rest
        self._proof_s = self._now_s()
        self._rhythm = self._rhythm.beaten(self._proof_s)
        return answer

    async def close(self) -> None:
        """End the session, if there is one; a sink without sessions is told the end.

        Raises:
            PipeError: the other end could not be told; it finds out by itself.
        """
        if self.grant is not None and self._sessioned is not None:
            self.forget()
            await self._sessioned.close()
        elif self._met and not self.sessioned and isinstance(self.sink, Introduced):
            self._met = False
            await self.sink.end()
