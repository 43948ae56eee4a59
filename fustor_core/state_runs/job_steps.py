"""From changes of jobs to nodes: a scan on demand finds somebody, who then looks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fustor_core.jobs import Job
from fustor_core.pipe_words import path_item
from fustor_core.state_runs.ledger import Fact
from fustor_core.state_runs.projection import node_name
from fustor_core.states.node import NodeStatus

S = NodeStatus
PLACE, SCAN = "place", "scan"
ID_DIGITS = 12


def facts_of_job(view: str, old: Job | None, job: Job) -> Iterator[Fact]:
    """What a change of a job means for its two nodes.

    Args:
        old: the job before; None for a new one.
    """
    place, scan = (node_name(step, job.id[:ID_DIGITS]) for step in (PLACE, SCAN))
    given = {"job": job.id, "view": view, "path": path_item(job.path), "recursive": job.recursive}
    who = {"agent": job.agent, "session_id": job.session}

    def fact(node: str, status: NodeStatus, event: str, **more: Any) -> Fact:
        return Fact(node, status, event, passing=True, **more)

    if old is None:
        yield fact(place, S.EXECUTING, "asked", given=given)
        yield fact(scan, S.PENDING, "asked", given=given)
        return
    if old.session is not None and job.session != old.session and old.state == "running":
        told = f"agent {old.agent} has made no progress"
        yield fact(scan, S.RETRYING, "passed_on", error=told)
    if job.session is None and old.session is not None and job.open:
        yield fact(place, S.EXECUTING, "passed_on", given=given)
    if job.session is not None and job.times != old.times:
        yield fact(place, S.SUCCEEDED, "placed", made=who)
    if job.asked_us is not None and old.asked_us is None:
        yield fact(scan, S.EXECUTING, "told", given={**given, **who})
    if job.state == old.state or job.open:
        return
    made = {"listings": job.total, "entries": job.entries, "changed": job.changed, **who}
    if job.state == "completed":
        if not job.times:
            yield fact(place, S.SUCCEEDED, "settled", made={"by": "others"})
        yield fact(scan, S.SUCCEEDED, "settled", made=made)
    else:
        if not job.times:
            yield fact(place, S.FAILED, job.state, error=job.error or job.state)
        yield fact(scan, S.FAILED, job.state, made=made, error=job.error or job.state)
