"""What fusion asks of agents: looks that a view owes, and scans on demand (commands ride home)."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

from fustor_core.claims import Key
from fustor_core.contracts import Command, Moment, Seeking
from fustor_core.jobs import Jobs

LOOKS_AT_ONCE = 2000
LOOK_AGAIN_US = 30_000_000


@dataclass(slots=True)
class Errands:
    """Which looks one session was asked for, and when; a target is asked for again after a while.

    Attributes:
        looked_us: when the view was last asked for the looks that it owes.
    """

    asked: dict[tuple[str, bytes], int] = field(default_factory=dict)
    looked_us: int = 0

    def commands(
        self, view: object, jobs: Jobs, agent: str, moment: Moment, interval_s: float
    ) -> tuple[Command, ...]:
        """The commands for the reply to a heartbeat.

        Args:
            view: asked for its looks when it can say them. jobs: scans on demand.
            agent: who beats. interval_s: `sentinel_interval_sec`, 0 = no looks.
        """
        if not isinstance(view, Seeking):
            return ()
        now = moment.now_us
        out = [
            Command(job.id, "scan", ((None, job.path),), job.recursive)
            for job in jobs.to_send(agent, now)
        ]
        if interval_s > 0 and now - self.looked_us >= interval_s * 1e6:
            looks = self._looks(view, moment)
            out.extend(looks)
            if sum(len(c.targets) for c in looks) < LOOKS_AT_ONCE:
                self.looked_us = now  # else the round goes on with the next heartbeat
        return tuple(out)

    def _looks(self, view: Seeking, moment: Moment) -> list[Command]:
        now = moment.now_us
        self.asked = {k: t for k, t in self.asked.items() if now - t < LOOK_AGAIN_US}
        targets: dict[tuple[str, bool], list[tuple[Key | None, bytes]]] = {}
        for wanted in view.looks(moment, LOOKS_AT_ONCE):
            if (wanted.kind, wanted.path) not in self.asked:
                self.asked[wanted.kind, wanted.path] = now
                target = (None, wanted.path)
                targets.setdefault((wanted.kind, wanted.recursive), []).append(target)
        return [
            Command(uuid.uuid4().hex, kind, tuple(found), recursive)
            for (kind, recursive), found in targets.items()
        ]
