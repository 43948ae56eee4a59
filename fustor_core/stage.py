"""Where an agent's pipe stands: its state, which only the table changes, and waiting for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel

from fustor_core.errors import FustorError
from fustor_core.machine import Move
from fustor_core.states.pipeline import PIPELINE, PipelineState
from fustor_core.waiting import Bell

P = PipelineState
SENDING = P.SNAPSHOT_PHASE | P.MESSAGE_PHASE
_PHASES = {
    P.SNAPSHOT_PHASE: ("lead", "snapshot_end"),
    P.AUDIT_PHASE: ("audit_begin", "audit_end"),
}
_WAY_DOWN = ("drained", "drain", "stop", "init_failed")


class Stage:
    """The state of one pipe.

    Args:
        pipe_id: its name.
        on_move: told of every transition, after it was made.
    """

    def __init__(self, pipe_id: str, on_move: Callable[[Move[PipelineState]], None]) -> None:
        self.state = PIPELINE.initial
        self._pipe_id = pipe_id
        self._on_move = on_move
        self._changed = Bell()

    def __repr__(self) -> str:
        return f"<Stage {PIPELINE.describe(self.state)}>"

    def has(self, bits: PipelineState) -> bool:
        """Whether any of the bits is set."""
        return bool(self.state & bits)

    @property
    def sends(self) -> bool:
        """Whether batches may be sent in this state."""
        return self.has(SENDING)

    def move(self, event: str) -> None:
        """Something has happened.

        Raises:
            IllegalTransition: it cannot, in this state.
        """
        move = PIPELINE.move(self._pipe_id, self.state, event)
        self.state = move.new
        self.signal()
        self._on_move(move)

    def signal(self) -> None:
        """Whoever waits for something looks again."""
        self._changed.ring()

    async def until(self, reached: Callable[[], bool]) -> None:
        """Wait; asked again after each move and each `signal`.

        Whoever was cancelled meanwhile does not pass: what it waited for concerns others now.
        """
        while not reached():
            await self._changed.heard()
        await anyio.lowlevel.checkpoint_if_cancelled()

    def collapse(self) -> None:
        """Nothing runs any more, by cancellation or by a bug: the state says so."""
        while self.state is not P.STOPPED:
            legal = PIPELINE.legal_events(self.state)
            self.move(next(event for event in _WAY_DOWN if event in legal))

    @asynccontextmanager
    async def phase(
        self, bit: PipelineState, fail: Callable[[OSError | FustorError], None]
    ) -> AsyncIterator[anyio.CancelScope]:
        """A phase of a leader: its bit is set by entering and dropped by leaving, however it ends.

        Args:
            bit: SNAPSHOT_PHASE or AUDIT_PHASE.
            fail: makes the move that an error means; the error goes on.

        Yields:
            The scope that cancels the phase alone.
        """
        await anyio.lowlevel.checkpoint_if_cancelled()  # its turn came as its session broke
        begin, end = _PHASES[bit]
        self.move(begin)
        whole = False
        try:
            with anyio.CancelScope() as scope:
                yield scope
            whole = True
        except (OSError, FustorError) as error:
            fail(error)
            raise
        finally:
            if self.has(bit):  # no other move has taken it
                self.move(end if whole else "session_lost")
