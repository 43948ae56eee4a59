"""What jobs and heartbeats mean for nodes: scans on demand, and views that agents fill."""

from __future__ import annotations

import random
from collections.abc import Iterable
from itertools import product

from fustor_core.jobs import Able, Job, Jobs
from fustor_core.state_runs.hearsay import Hearsay
from fustor_core.state_runs.job_steps import facts_of_job
from fustor_core.state_runs.ledger import Fact
from fustor_core.state_runs.projection import path
from fustor_core.state_runs.transactions import event_between
from fustor_core.states.node import NodeStatus

S = NodeStatus
SNAPSHOT, MESSAGES, AUDIT, BACKING_OFF = 34, 66, 194, 258


class Nodes:
    """Nodes as facts lead them; each step is checked against the table."""

    def __init__(self) -> None:
        self.status: dict[str, NodeStatus] = {}
        self.last: dict[str, Fact] = {}

    def take(self, facts: Iterable[Fact]) -> None:
        for fact in facts:
            for status in path(self.status.get(fact.node), fact.status, fact.event):
                if fact.node in self.status:
                    event_between(self.status[fact.node], status)
                self.status[fact.node] = status
            self.last[fact.node] = fact

    def told(self) -> dict[str, str]:
        return {name.partition("_")[0]: str(status) for name, status in self.status.items()}


class Board:
    """The jobs of a view, and their nodes."""

    def __init__(self) -> None:
        self.nodes, self.jobs, self.now = Nodes(), Jobs("data"), 0
        self.jobs.on_change = self.changed

    def changed(self, old: Job | None, job: Job) -> None:
        self.nodes.take(facts_of_job("data", old, job))

    def after(self, seconds: float, *sessions: str) -> dict[str, str]:
        self.now += int(seconds * 1e6)
        able = [Able(name, f"agent-{name}", leads=False, idle=True, queue=0) for name in sessions]
        self.jobs.place(able, self.now)
        for name in sessions:
            self.jobs.commands(name, self.now)
        return self.nodes.told()

    def begin(self) -> str:
        return self.jobs.add(b"/in/box", recursive=True, now_us=self.now, head=3).id


def test_a_scan_that_goes_well() -> None:
    board = Board()
    job = board.begin()
    assert board.nodes.told() == {"place": "executing", "scan": "pending"}
    assert board.after(1, "a") == {"place": "succeeded", "scan": "executing"}
    assert board.nodes.last[f"scan_{job[:12]}"].given == {
        "job": job,
        "view": "data",
        "path": "/in/box",
        "recursive": True,
        "agent": "agent-a",
        "session_id": "a",
    }
    board.jobs.settle(lambda _path: (2, 5), board.now, 3)
    assert board.nodes.told()["scan"] == "executing"
    board.jobs.settle(lambda _path: (0, 7), board.now, 4)
    assert board.nodes.told() == {"place": "succeeded", "scan": "succeeded"}
    made = board.nodes.last[f"scan_{job[:12]}"].made
    assert made is not None
    assert (made["listings"], made["entries"], made["changed"]) == (2, 7, 1)


def test_a_scan_that_nobody_can_do_fails_with_what_waits_for_it() -> None:
    board = Board()
    job = board.begin()
    assert board.after(120) == {"place": "failed", "scan": "failed"}
    error = board.nodes.last[f"scan_{job[:12]}"].error
    assert error is not None
    assert "no agent that can scan" in error


def test_a_scan_that_is_passed_on_is_tried_again() -> None:
    board = Board()
    board.begin()
    board.after(1, "a")
    assert board.after(40, "a", "b") == {"place": "succeeded", "scan": "executing"}
    assert board.after(40) == {"place": "executing", "scan": "retrying"}
    assert board.after(1, "c") == {"place": "succeeded", "scan": "executing"}


def test_a_scan_that_is_cancelled_before_it_began() -> None:
    board = Board()
    job = board.begin()
    board.jobs.cancel(job, board.now)
    assert board.nodes.told() == {"place": "failed", "scan": "failed"}


def test_a_scan_that_others_have_done_meanwhile() -> None:
    board = Board()
    board.begin()
    board.jobs.settle(lambda _path: (0, 7), board.now, 4)
    assert board.nodes.told() == {"place": "succeeded", "scan": "succeeded"}


def test_whatever_happens_to_jobs_their_nodes_follow_the_table() -> None:
    for seed in range(200):
        draw, board = random.Random(seed), Board()
        ids = [board.begin() for _ in range(3)]
        for _ in range(30):
            board.after(draw.choice([1, 15, 35, 70]), *draw.sample("abc", draw.randrange(4)))
            if draw.random() < 0.1:
                left = draw.randrange(3)
                board.jobs.settle(lambda _path, left=left: (left, 5), board.now, 4)  # type: ignore[misc]
            if draw.random() < 0.05:
                board.jobs.cancel(draw.choice(ids), board.now)
            board.jobs.resume(board.now) if draw.random() < 0.03 else None
        for job in board.jobs:
            scan = board.nodes.status[f"scan_{job.id[:12]}"]
            ends = {"completed": S.SUCCEEDED, "failed": S.FAILED, "cancelled": S.FAILED}
            if not job.open:
                assert scan is ends[job.state], seed
            else:
                assert scan not in (S.SUCCEEDED, S.FAILED), seed


# ---------------------------------------------------------------- heartbeats


def test_a_view_is_filled_and_checked_by_who_leads_it() -> None:
    nodes, told = Nodes(), Hearsay("data")
    told.granted("a", 1)
    for clock, state in enumerate((SNAPSHOT, SNAPSHOT, MESSAGES, AUDIT, MESSAGES)):
        nodes.take(told.heard("a", "agent-a", state, clock))
    assert nodes.told() == {"fill": "succeeded", "check": "succeeded"}
    given = nodes.last["fill_data"].given
    assert given == {"view": "data", "agent": "agent-a", "session_id": "a", "epoch": 1}


def test_a_follower_tells_nothing_of_the_view() -> None:
    told = Hearsay("data")
    told.granted("a", 0)
    assert list(told.heard("a", "agent-a", 70, 1)) == []
    assert list(told.heard("never met", "agent-b", SNAPSHOT, 1)) == []


def test_an_error_in_between_is_a_retry() -> None:
    nodes, told = Nodes(), Hearsay("data")
    told.granted("a", 1)
    for clock, state in enumerate((SNAPSHOT, BACKING_OFF)):
        nodes.take(told.heard("a", "agent-a", state, clock))
    assert nodes.told() == {"fill": "retrying"}
    nodes.take(told.heard("a", "agent-a", SNAPSHOT, 3))
    assert nodes.told() == {"fill": "executing"}


def test_the_old_leader_s_last_words_come_too_late() -> None:
    """It was killed in its snapshot; the new one is through with its own when the word arrives."""
    nodes, told = Nodes(), Hearsay("data")
    told.granted("old", 1)
    nodes.take(told.heard("old", "agent-old", SNAPSHOT, 1))
    told.granted("new", 2)
    nodes.take(told.heard("new", "agent-new", SNAPSHOT, 2))
    assert nodes.status["fill_data"] is S.EXECUTING
    nodes.take(told.heard("new", "agent-new", MESSAGES, 3))
    nodes.take(told.heard("old", "agent-old", BACKING_OFF, 4))
    assert nodes.status["fill_data"] is S.SUCCEEDED
    assert (nodes.last["fill_data"].made or {})["agent"] == "agent-new"


def test_words_in_any_order_end_in_the_same_state() -> None:
    """The words of two leaders, mixed as a network mixes them; each one's keep their order."""
    old, new = [SNAPSHOT, MESSAGES, AUDIT], [SNAPSHOT, BACKING_OFF, SNAPSHOT, MESSAGES]
    ends = set()
    for mixed in product([True, False], repeat=len(old) + len(new)):
        if sum(mixed) != len(old):
            continue
        nodes, told = Nodes(), Hearsay("data")
        told.granted("old", 1)
        told.granted("new", 2)
        left = {"old": iter(old), "new": iter(new)}
        for clock, first in enumerate(mixed):
            who = "old" if first else "new"
            nodes.take(told.heard(who, f"agent-{who}", next(left[who]), clock))
        ends.add(nodes.status["fill_data"])
    assert ends == {S.SUCCEEDED}


def test_a_snapshot_that_no_heartbeat_has_seen_is_told_all_the_same() -> None:
    nodes, told = Nodes(), Hearsay("data")
    told.granted("a", 1)
    nodes.take(told.heard("a", "agent-a", MESSAGES, 1))
    nodes.take(told.heard("a", "agent-a", MESSAGES, 2))
    assert nodes.told() == {"fill": "succeeded"}


def test_what_an_agent_was_at_when_it_went_away_is_to_be_done_again() -> None:
    nodes, told = Nodes(), Hearsay("data")
    told.granted("a", 1)
    nodes.take(told.heard("a", "agent-a", MESSAGES, 1))
    nodes.take(told.heard("a", "agent-a", AUDIT, 2))
    nodes.take(told.gone("a", 3))
    assert nodes.told() == {"fill": "succeeded", "check": "retrying"}
    assert list(told.gone("a", 4)) == []
    told.granted("b", 2)
    nodes.take(told.heard("b", "agent-b", AUDIT, 5))
    assert nodes.told()["check"] == "executing"
