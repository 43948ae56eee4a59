"""What agents tell of their phases with each heartbeat, as one story a view.

Who leads a view fills and checks it. Around a change of the lead two agents tell of it, the old
one's last words after the new one's first; an agent that connects again tells twice. What each says
is a delta (replicas.py), under the leadership under which it was said; the join is the story.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from fustor_core.state_runs.ledger import Fact
from fustor_core.state_runs.projection import node_name
from fustor_core.state_runs.replicas import ORDER, Replica, joined, word
from fustor_core.states.node import NodeStatus
from fustor_core.states.pipeline import PipelineState

P = PipelineState
S = NodeStatus
STEPS = {P.SNAPSHOT_PHASE: "fill", P.AUDIT_PHASE: "check"}
SESSIONS_MOST = 1000


@dataclass(slots=True)
class _Teller:
    """One session: what it said last, and under which leadership."""

    epoch: int = 0
    state: PipelineState = P.STOPPED
    rounds: dict[str, int] = field(default_factory=dict)


class Hearsay:
    """The story of one view.

    Args:
        view: its name.
    """

    def __init__(self, view: str) -> None:
        self.view = view
        self._tellers: dict[str, _Teller] = {}
        self._known: dict[str, Replica] = {}

    def __repr__(self) -> str:
        return f"<Hearsay of {self.view}: {len(self._tellers)} sessions>"

    def granted(self, session: str, epoch: int) -> None:
        """A session was told that it leads, or (0) that it does not."""
        teller = self._tellers.setdefault(session, _Teller())
        if epoch != teller.epoch:
            teller.epoch, teller.rounds, teller.state = epoch, {}, P.STOPPED
        while len(self._tellers) > SESSIONS_MOST:
            del self._tellers[next(iter(self._tellers))]

    def heard(self, session: str, agent: str, state: int, clock: int) -> Iterator[Fact]:
        """A heartbeat has come in.

        Args:
            state: the pipe's, as it was when it was sent. clock: of arrival.
        """
        teller = self._tellers.get(session)
        if teller is None or not teller.epoch:
            return  # it does not lead: its phases are not the view's
        old, new = teller.state, P(state & int(sum(bit.value for bit in P)))
        teller.state = new
        who = {"view": self.view, "agent": agent, "session_id": session, "epoch": teller.epoch}
        for bit, step in STEPS.items():
            # A snapshot may be over before the first heartbeat: events come only after one.
            unseen = step == "fill" and bool(new & P.MESSAGE_PHASE) and step not in teller.rounds
            if old & bit == new & bit and not unseen:
                continue
            if new & bit:
                number = teller.rounds[step] = teller.rounds.get(step, 0) + 1
                delta = word(session, clock, teller.epoch, number, S.EXECUTING, input_payload=who)
            else:
                done = S.SUCCEEDED if new & P.MESSAGE_PHASE else S.RETRYING
                number = teller.rounds.setdefault(step, 1)
                said = {"input_payload": who, "output_payload": who}
                delta = word(session, clock, teller.epoch, number, done, **said)
            yield from self.join(step, delta)

    def gone(self, session: str, clock: int) -> Iterator[Fact]:
        """A session is over: what it was doing, somebody has to begin again."""
        teller = self._tellers.pop(session, None)
        if teller is None or not teller.epoch:
            return
        for bit, step in STEPS.items():
            if teller.state & bit:
                number = teller.rounds.get(step, 1)
                yield from self.join(step, word(session, clock, teller.epoch, number, S.RETRYING))

    def join(self, step: str, delta: Replica) -> Iterator[Fact]:
        """What is known now; a fact if that is more than before."""
        before = self._known.get(step, Replica())
        now = self._known[step] = joined(before, delta)
        if now.standing <= before.standing:
            return
        node = now.node("")
        name = node_name(step, self.view)
        if now.standing[:2] > before.standing[:2] and ORDER[before.standing[2]] is S.EXECUTING:
            yield Fact(name, S.RETRYING, "lead_changed", error="another agent leads now")
        yield Fact(
            name,
            node.status,
            "told",
            given=node.input_payload,
            made=node.output_payload,
            error="its agent gave it up, or went away" if node.status is S.RETRYING else None,
        )
