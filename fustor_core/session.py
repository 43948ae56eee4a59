"""One agent pipe's standing with a view, as a value."""

from __future__ import annotations

from dataclasses import dataclass

from fustor_core.sequence import BatchSequence
from fustor_core.states.session import LIVE, SessionState

FIRST_BATCH = BatchSequence()


@dataclass(frozen=True, slots=True)
class Session:
    """One agent pipe's standing with the view.

    Args:
        session_id: unguessable; made by the owner.
        agent_id, pipe: whose session it is.
        view: the view it feeds.
        state: one of `SessionState`; changed by the table `SESSION` alone.
        created_at, last_active_at: fusion µs of the opening and of the last proof of life.
        timeout_us: silence that it survives.
        realtime, scan: what the agent can do.
        key_id: the key that it is bound to, "" on a socket that needs none.
        client_ip: where it was opened from, "" for a socket or this process.
        usurper: it took the place of a live session of the same agent pipe when it was opened.
        batches: how far its sequence has come.
    """

    session_id: str
    agent_id: str
    pipe: str
    view: str
    state: SessionState
    created_at: int
    last_active_at: int
    timeout_us: int
    realtime: bool = True
    scan: bool = True
    key_id: str = ""
    client_ip: str = ""
    usurper: bool = False
    batches: BatchSequence = FIRST_BATCH

    @property
    def agent_pipe(self) -> tuple[str, str]:
        """What may have one live session only."""
        return self.agent_id, self.pipe

    @property
    def live(self) -> bool:
        """Whether it may still push and beat."""
        return self.state in LIVE
