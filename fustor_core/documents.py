"""Forms of interfaces.md §2 that fusion itself fills: sessions, jobs, evidence, paths, times."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from fustor_core.claims import Key
from fustor_core.contracts import Moment
from fustor_core.evidence import Evidence
from fustor_core.jobs import Job
from fustor_core.leadership import Leadership
from fustor_core.peers import Peer
from fustor_core.session import Session
from fustor_core.states.pipeline import PipelineState
from fustor_core.telling import row_document, with_path

__all__ = [
    "evidence_document",
    "job_document",
    "row_document",
    "session_document",
    "stamp_text",
    "view_status",
    "wall_at",
    "with_path",
]


def stamp_text(wall_ns: int) -> str:
    """RFC 3339, UTC, microseconds."""
    seconds, rest = divmod(wall_ns, 1_000_000_000)
    return f"{_second_text(seconds)}.{rest // 1000:06d}Z"


@lru_cache(4096)  # as many sessions tell their times again and again
def _second_text(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def wall_at(at_us: int, moment: Moment) -> str:
    """The wall time of a fusion instant, as text."""
    return stamp_text(moment.wall_ns - (moment.now_us - at_us) * 1000)


def session_document(
    session: Session, peer: Peer, led: Leadership, moment: Moment
) -> dict[str, Any]:
    """Session of interfaces.md §2; a bound of `offset_us` is null while it is not known."""
    return {
        "session_id": session.session_id,
        "agent_id": session.agent_id,
        "pipe": session.pipe,
        "view": session.view,
        "role": led.role(session.session_id),
        "epoch": led.epoch,
        "state": session.state.name,
        "created_at": wall_at(session.created_at, moment),
        "last_active_at": wall_at(session.last_active_at, moment),
        "timeout_s": session.timeout_us / 1e6,
        "acked": session.batches.acked,
        "key_id": session.key_id,
        "client_ip": session.client_ip,
        "can": {"realtime": session.realtime, "scan": session.scan},
        "offset_us": list(peer.line.offsets()),
    }


def view_status(
    view: str,
    moment: Moment,
    led: Leadership,
    leader: Session | None,
    root: bytes | None,
    audits: tuple[int, tuple[int, float] | None],
) -> dict[str, Any]:
    """What fusion adds to the view's own part of ViewStatus (interfaces.md §2)."""
    since = wall_at(led.since_us, moment)
    count, last = audits
    document = {
        "view": view,
        "fusion_time_us": moment.now_us,
        "logical_time": stamp_text(moment.storage_ns),
        "leader": leader
        and {"session_id": leader.session_id, "agent": leader.agent_id, "since": since},
        "last_audit": last and {"at": wall_at(last[0], moment), "seconds": last[1]},
        "audits": count,
        "leadership": led.state.name,
        "hot_file_threshold_s": moment.hot_us / 1e6,
    }
    return {**document, "root": None} if root is None else with_path(document, root, "root")


def trouble_of(
    state: PipelineState, aside: dict[str, Any] | None, story: str | None
) -> dict[str, Any]:
    """State of a view, for ViewStatus.

    Args:
        aside: what was set aside. story: what is wrong with it now.
    """
    flags = [bit.name for bit in PipelineState if state & bit]
    told: dict[str, Any] = {"state": int(state), "flags": flags}
    told |= {"quarantine": aside} if aside is not None else {}
    return told | ({"last_error": story} if story is not None else {})


def job_document(job: Job, view: str, moment: Moment) -> dict[str, Any]:
    """Job of interfaces.md §2."""
    finished = None if job.finished_us is None else wall_at(job.finished_us, moment)
    done = job.state == "completed"
    document = {
        "id": job.id,
        "view": view,
        "state": job.state,
        "progress": {"directories": job.total - job.left, "entries": job.entries},
        "agent": job.agent,
        "created_at": wall_at(job.created_us, moment),
        "finished_at": finished,
        "result": {"entries": job.entries, "changed": job.changed} if done else None,
        "error": job.error,
    }
    return with_path(document, job.path)


def history_of(
    evidence: Sequence[Evidence], place: tuple[Key, bytes] | None, limit: int | None
) -> list[dict[str, Any]]:
    """The judgements about one register, newest first; none where there is no such place."""
    if place is None:
        return []
    key, name = place
    found = [e for e in evidence if e.key == key and e.name in (name, None)]
    return [evidence_document(e) for e in reversed(found)][:limit]


def evidence_document(evidence: Evidence) -> dict[str, Any]:
    """One judged claim, for `view explain`."""
    return {
        "at_us": evidence.at_us,
        "agent": evidence.agent,
        "session": evidence.session,
        "seq": evidence.seq,
        "origin": evidence.origin,
        "interval": [evidence.seen.lo, evidence.seen.hi],
        "value": row_document(evidence.value),
        "verdict": evidence.verdict,
        "rule": evidence.rule,
        "by": "listing" if evidence.seen.kind in "lk" else "event",
    }
