"""What happens in this process, as facts for the state of its run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from fustor_core.contracts import Answer, Grant, Pulse, Query
from fustor_core.fusion_pipe import FusionPipeline
from fustor_core.jobs import Job
from fustor_core.machine import Move
from fustor_core.pipeline import AgentPipeline
from fustor_core.state_runs.hearsay import Hearsay
from fustor_core.state_runs.job_steps import facts_of_job
from fustor_core.state_runs.ledger import Fact
from fustor_core.state_runs.projection import LEAD, Turn, turns
from fustor_core.states.node import NodeStatus
from fustor_core.states.pipeline import PipelineState
from fustor_core.states.session import SESSION

S = NodeStatus
FAULTS = frozenset("failed alarm init_failed session_lost".split())
PIPE_GIVEN = ("view", "source", "sink", "role", "session_id", "epoch", "generation")
PIPE_MADE = ("role", "session_id", "epoch", "watched_dirs", "queue")
OPENED = PipelineState.RUNNING | PipelineState.ERROR | PipelineState.STOPPING
LOOKING = ("snapshot_", "audit_", "messages_")  # steps that change what is in a view
VIEW_MADE = ("files", "dirs", "bytes", "suspects", "debts", "blind")


class Witness:
    """Sees what moves and says what that means.

    Args:
        pipes, views: give those of this process, by name.
        tell: takes the facts.
    """

    def __init__(
        self,
        pipes: Callable[[], Mapping[str, AgentPipeline]],
        views: Callable[[], Mapping[str, FusionPipeline]],
        tell: Callable[[Fact], None],
    ) -> None:
        self._pipes, self._views, self._tell = pipes, views, tell
        self._hearsay: dict[str, Hearsay] = {}

    def __repr__(self) -> str:
        return f"<Witness of {len(self._pipes())} pipes, {len(self._views())} views>"

    def watch(self, view: FusionPipeline) -> None:
        """A view was made: its jobs, and what agents tell of it, are seen from now on."""
        name = view.options.view
        view.standing.summons.jobs.on_change = partial(self._job, name)
        view.on_told = partial(self._told, view, self._hearsay.setdefault(name, Hearsay(name)))

    def moved(self, move: Move[Any]) -> None:
        """A machine has moved."""
        if move.machine == SESSION.name and move.new in SESSION.final:
            for view, hearsay in list(self._hearsay.items()):
                found = self._views().get(view)
                if found is not None and found.state & OPENED:
                    for fact in hearsay.gone(move.subject, found.now_us()):
                        self._tell(fact)
        for turn in turns(move):
            self._tell(self._fact(move, turn))

    def _fact(self, move: Move[Any], turn: Turn) -> Fact:
        subject, error = move.subject, None
        if move.machine == "pipeline":
            pipe = self._pipes().get(subject)
            document = pipe.document() if pipe is not None else {}
            given = _some(document, PIPE_GIVEN, pipe=subject)
            made = _some(document, PIPE_MADE)
            if turn.status is S.SUCCEEDED and turn.node.startswith(LOOKING):
                made |= self._figures(document.get("view"))
            if turn.status in (S.FAILED, S.RETRYING):
                known = document.get("last_error") if move.event in FAULTS else None
                error = known or f"cut short: {turn.event}"
        elif turn.node.startswith(f"{LEAD}_"):
            given, made = self._lead(subject), {"ended_by": move.event}
        else:
            given, made = {"view": subject}, self._figures(subject)
            error = f"cut short: {turn.event}"
        return Fact(turn.node, turn.status, turn.event, given=given, made=made, error=error)

    def _lead(self, view: str) -> dict[str, Any]:
        """Who leads a view just now."""
        found = self._views().get(view)
        if found is None:
            return {"view": view}
        led = found.standing.leadership
        peer = found.standing.peers.get(led.holder or "")
        agent = peer.agent if peer is not None else None
        return {"view": view, "agent": agent, "session_id": led.holder, "epoch": led.epoch}

    def _figures(self, view: str | None) -> dict[str, Any]:
        """How much there is in a view of this process; {} when it is elsewhere, or not open."""
        found = self._views().get(view or "")
        if found is None or not found.state & OPENED:
            return {}
        document: dict[str, Any] = {}
        for page in found.view.read(Query("status"), found.moment()):
            document = page.document or document
        return _some({**document.get("quality", {}), **document}, VIEW_MADE)

    def _job(self, view: str, old: Job | None, job: Job) -> None:
        for fact in facts_of_job(view, old, job):
            self._tell(fact)

    def _told(
        self,
        view: FusionPipeline,
        hearsay: Hearsay,
        session_id: str,
        answer: Grant | Answer,
        pulse: Pulse | None,
    ) -> None:
        """A session has said how its pipe is, and was told whether it leads.

        A pipe of this process has nodes of its own: of that one nothing need be heard.
        """
        if any(pipe.link.session_id == session_id for pipe in self._pipes().values()):
            return
        peer = view.standing.peers.get(session_id)
        if pulse is not None and peer is not None:
            for fact in hearsay.heard(session_id, peer.agent, pulse.state, view.now_us()):
                self._tell(fact)
        hearsay.granted(session_id, answer.epoch if answer.role == "leader" else 0)


def _some(document: Mapping[str, Any], keys: tuple[str, ...], **more: Any) -> dict[str, Any]:
    return {**more, **{key: document[key] for key in keys if document.get(key) is not None}}
