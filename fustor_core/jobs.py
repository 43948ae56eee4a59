"""Scans on demand: jobs of one view, from the request to the result.

A job owes a fresh look at its path; it is done when nothing in its scope is owed any more that a
listing could settle. The state is derived, so a job survives the agent that was asked first.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

ASK_AGAIN_US = 30_000_000
KEPT = 1000


@dataclass(frozen=True, slots=True)
class Job:
    """One scan on demand. Times in fusion µs.

    `total` and `left` count listings that are owed; `head` numbers the view's newest change when it
    began, `changed` the changes since.
    """

    id: str
    path: bytes
    recursive: bool
    created_us: int
    state: str = "pending"
    agent: str | None = None
    asked_us: int = 0
    total: int = 0
    left: int = 0
    entries: int = 0
    head: int = 0
    changed: int = 0
    finished_us: int | None = None
    error: str | None = None

    @property
    def open(self) -> bool:
        """Whether it is still to be done."""
        return self.state in ("pending", "running")


class Jobs:
    """The jobs of one view, newest `KEPT`."""

    def __init__(self, view: str) -> None:
        self.view = view
        self._jobs: dict[str, Job] = {}

    def __iter__(self) -> Any:
        return iter(self._jobs.values())

    def get(self, job_id: str) -> Job | None:
        """The job of that id."""
        return self._jobs.get(job_id)

    def add(self, path: bytes, *, recursive: bool, now_us: int, head: int) -> Job:
        """A new job, pending; `head` numbers the newest change of the view."""
        job = Job(uuid.uuid4().hex, path, recursive, now_us, head=head)
        self._jobs[job.id] = job
        for old in [j.id for j in self._jobs.values() if not j.open][: len(self._jobs) - KEPT]:
            del self._jobs[old]
        return job

    def to_send(self, agent: str, now_us: int) -> list[Job]:
        """The jobs to ask this agent for now; they run from here on."""
        out = []
        for job in list(self._jobs.values()):
            if job.open and now_us - job.asked_us >= ASK_AGAIN_US:
                job = replace(job, state="running", agent=agent, asked_us=now_us)
                self._jobs[job.id] = job
                out.append(job)
        return out

    def cancel(self, job_id: str, now_us: int) -> Job | None:
        """Give a job up; what was looked at stays."""
        job = self._jobs.get(job_id)
        if job is not None and job.open:
            job = self._jobs[job_id] = replace(job, state="cancelled", finished_us=now_us)
        return job

    def settle(self, pending: Callable[[bytes], tuple[int, int]], now_us: int, head: int) -> None:
        """After a batch: which jobs are done?

        Args:
            pending: (listings still owed, entries) in the scope of a path.
            head: number of the view's newest change.
        """
        for job in list(self._jobs.values()):
            if not job.open:
                continue
            left, entries = pending(job.path)
            done = replace(job, left=left, total=max(job.total, left), entries=entries)
            done = replace(done, changed=head - job.head)
            if not left:
                done = replace(done, state="completed", finished_us=now_us)
            self._jobs[job.id] = done
