"""Scans on demand: jobs of one view, from the request to the result. Pure but for their ids.

A job owes a fresh look at its path; it is done when nothing in its scope is owed any more that a
listing could settle. The state is derived, so a job survives the agent that was asked first. It is
given to the agent that can do it best, passes to another one when nothing comes of it, and fails
when nobody can do it: it never stays pending for ever. It outlives a restart of fusion, after which
it is pending again.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from fustor_core.contracts import Command
from fustor_core.frames import JobRow

ASK_AGAIN_US = 10_000_000  # the same session: a reply may have been lost
STILL_US = 30_000_000  # without progress, it passes to another session
NOBODY_US = 60_000_000  # no session can do it: failed
GIVEN_UP_US = 600_000_000  # nothing came of it, whoever was asked: failed
KEPT = 1000
KEPT_LONG = 100
"""Jobs that are over and that a restart still knows."""
SENT_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class Able:
    """A session that can scan now.

    Attributes:
        idle: it scans nothing of its own. queue: claims that wait to be sent.
        progress: changes as long as its own scan goes forward.
    """

    session: str
    agent: str
    leads: bool
    idle: bool
    queue: int
    progress: object = None


@dataclass(frozen=True, slots=True)
class Job:
    """One scan on demand. Times in fusion µs.

    `total` and `left` count listings that are owed; `head` numbers the view's newest change when it
    began, `changed` the changes since. `session` and `agent`: who does it; `tried`: sessions that
    it was taken from; `times`: how often it was given to one. `asked_us`: when that one was told,
    `moved_us`: of the last progress, or of its being given to this one; `useful_us`: of the last
    progress; `able_us`: when somebody could last do it. `life`: names the process of fusion that
    took it over after a restart, "" before the first.
    """

    id: str
    path: bytes
    recursive: bool
    created_us: int
    state: str = "pending"
    session: str | None = None
    agent: str | None = None
    tried: tuple[str, ...] = ()
    times: int = 0
    asked_us: int | None = None
    moved_us: int = 0
    useful_us: int = 0
    able_us: int = 0
    progress: object = None
    total: int = 0
    left: int = 0
    entries: int = 0
    head: int = 0
    changed: int = 0
    finished_us: int | None = None
    error: str | None = None
    life: str = ""

    @property
    def command(self) -> str:
        """What it is called when it is asked for: agents do not do again what they know."""
        again = [self.life] if self.life else []
        again += [str(self.times)] if self.times > 1 else []
        return "-".join([self.id, *again])

    @property
    def row(self) -> JobRow:
        """As it is kept."""
        return JobRow(
            self.id,
            self.path,
            self.recursive,
            self.created_us,
            self.head,
            self.state,
            self.agent,
            self.total - self.left,
            self.entries,
            self.changed,
            self.finished_us,
            self.error,
        )

    @property
    def open(self) -> bool:
        """Whether it is still to be done."""
        return self.state in ("pending", "running")


class Jobs:
    """The jobs of one view, newest `KEPT`.

    Attributes:
        on_change: told of each job that is another now: as it was, None for a new one, and is.
    """

    def __init__(self, view: str) -> None:
        self.view = view
        self.on_change: Callable[[Job | None, Job], None] = lambda old, new: None
        self._jobs: dict[str, Job] = {}
        self._ended: list[str] = []

    def __repr__(self) -> str:
        return f"<Jobs of {self.view}: {len(self._jobs)}>"

    def __iter__(self) -> Iterator[Job]:
        return iter(self._jobs.values())

    @property
    def waiting(self) -> bool:
        """Whether any is still to be done."""
        return any(job.open for job in self)

    def get(self, job_id: str) -> Job | None:
        """The job of that id."""
        return self._jobs.get(job_id)

    def _put(self, job: Job) -> Job:
        old = self._jobs.get(job.id)
        self._jobs[job.id] = job
        if old != job:
            self.on_change(old, job)
        return job

    def add(self, path: bytes, *, recursive: bool, now_us: int, head: int) -> Job:
        """A new job, pending; `head` numbers the newest change of the view."""
        job = Job(
            uuid.uuid4().hex,
            path,
            recursive,
            now_us,
            moved_us=now_us,
            useful_us=now_us,
            able_us=now_us,
            head=head,
        )
        self._put(job)
        for old in [j.id for j in self._jobs.values() if not j.open][: len(self._jobs) - KEPT]:
            del self._jobs[old]
        return job

    # ---- what a restart finds

    def rows(self) -> list[JobRow]:
        """All that are open, and the last ones that are over."""
        over = [job for job in self if not job.open][-KEPT_LONG:]
        return [job.row for job in (*over, *(job for job in self if job.open))]

    def ended(self) -> list[JobRow]:
        """Those that are over since this was last asked."""
        ended, self._ended = self._ended, []
        return [self._jobs[one].row for one in ended if one in self._jobs]

    def restore(self, rows: Iterable[JobRow]) -> None:
        """Take over what was kept."""
        for row in rows:
            self._jobs[row.id] = Job(
                row.id,
                row.path,
                row.recursive,
                row.created_us,
                state=row.state,
                agent=row.agent,
                head=row.head,
                total=row.directories,
                entries=row.entries,
                changed=row.changed,
                finished_us=row.finished_us,
                error=row.error,
            )

    def resume(self, now_us: int) -> None:
        """After a restart: whoever did it, it is given away anew."""
        life = uuid.uuid4().hex[:8]
        for job in [j for j in self if j.open]:
            again = replace(job, state="pending", agent=None, life=life)
            again = replace(again, moved_us=now_us, useful_us=now_us, able_us=now_us)
            self._put(again)

    def _over(self, job: Job) -> Job:
        self._ended.append(job.id)
        return self._put(job)

    # ---- doing them

    def place(self, able: Sequence[Able], now_us: int) -> set[str]:
        """Give each open job to the session that can do it best, or give it up.

        Args:
            able: the sessions that can scan now.

        Returns:
            Sessions that have something new to do.
        """
        news = set()
        by_id = {one.session: one for one in able}
        for job in [j for j in self if j.open]:
            placed = _placed(job, by_id, now_us)
            if placed.session is not None and placed.times != job.times:
                news.add(placed.session)
            if placed.open:
                self._put(placed)
            else:
                self._over(placed)
        return news

    def commands(self, session: str, now_us: int) -> list[Command]:
        """The scans to ask this session for now; they run from here on."""
        out = []
        for job in [j for j in self if j.open and j.session == session][:SENT_AT_ONCE]:
            if job.asked_us is not None and now_us - job.asked_us < ASK_AGAIN_US:
                continue
            self._put(replace(job, state="running", asked_us=now_us))
            out.append(Command(job.command, "scan", ((None, job.path),), job.recursive))
        return out

    def cancel(self, job_id: str, now_us: int) -> Job | None:
        """Give a job up; what was looked at stays."""
        job = self._jobs.get(job_id)
        if job is not None and job.open:
            return self._over(replace(job, state="cancelled", finished_us=now_us))
        return job

    def settle(self, pending: Callable[[bytes], tuple[int, int]], now_us: int, head: int) -> None:
        """After a batch: which jobs are done?

        Args:
            pending: (listings still owed, entries) in the scope of a path.
            head: number of the view's newest change.
        """
        for job in [j for j in self if j.open]:
            left, entries = pending(job.path)
            done = replace(job, left=left, total=max(job.total, left), entries=entries)
            done = replace(done, changed=max(0, head - job.head))
            if (left, entries) != (job.left, job.entries):
                done = replace(done, moved_us=now_us, useful_us=now_us)
            self._put(done)
            if not left:
                self._over(replace(done, state="completed", finished_us=now_us))


def _placed(job: Job, able: dict[str, Able], now_us: int) -> Job:
    """The job as it shall be."""
    if able:
        job = replace(job, able_us=now_us)
    elif now_us - job.able_us > NOBODY_US:
        return _failed(job, now_us, "no agent that can scan has been there for a minute")
    if now_us - job.useful_us > GIVEN_UP_US:
        return _failed(job, now_us, "no agent has got anywhere with it for ten minutes")
    now = able.get(job.session or "")
    if now is not None:
        if now.progress != job.progress:
            return replace(job, progress=now.progress, moved_us=now_us, useful_us=now_us)
        if now_us - job.moved_us <= STILL_US:
            return job
    tried = job.tried if job.session is None else (*job.tried, job.session)
    fit = [one for one in able.values() if one.session not in tried]
    if not fit:  # all anew, but for the one that has just failed where there is another one
        tried = () if job.session is None or len(able) == 1 else (job.session,)
        fit = [one for one in able.values() if one.session not in tried]
    if not fit:
        return replace(job, session=None)
    best = min(fit, key=_rank)
    return replace(
        job,
        session=best.session,
        agent=best.agent,
        tried=tried,
        times=job.times + 1,
        asked_us=None,
        moved_us=now_us,
        progress=best.progress,
    )


def _rank(one: Able) -> tuple[bool, bool, int, str]:
    """The leader when it is idle, else the follower with the shortest queue, else the leader."""
    return not (one.leads and one.idle), one.leads or not one.idle, one.queue, one.session


def _failed(job: Job, now_us: int, why: str) -> Job:
    return replace(job, state="failed", finished_us=now_us, error=why)
