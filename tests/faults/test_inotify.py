"""The kernel's queue runs over, watches run out: it is said, and found all the same."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.hosts.conftest import place as place  # noqa: PLC0414
from tests.hosts.world import Site, Times, until
from tests.hosts.writers import many_files

from .machine import Machine

QUEUES = [Path(f"/proc/sys/fs/{way}/max_queued_events") for way in ("inotify", "fanotify")]
QUEUE_MOST = 200_000  # a longer one takes too long to fill
WATCHES = 20
SAID_S = 60.0
# What counts watches and instances of a user is counted in his namespace, too.
LIMITED = ("unshare", "--user", "--map-root-user", "sh", "-c")

pytestmark = pytest.mark.faults


@pytest.fixture
def times() -> Times:
    """Audits, for what nobody watches."""
    return Times(audit_s=2.0, timeout_s=20.0)


def longest() -> int:
    """Events that the queue holds, of whichever kind."""
    return max(int(queue.read_text("ascii")) for queue in QUEUES if queue.exists())


def flood(folder: Path) -> None:
    """More events than the queue holds: no two of them about one name."""
    for i in range(longest() + 1):
        os.mknod(folder / f"flood{i}")


@pytest.mark.parametrize("which", ["leader", "follower"])
def test_a_queue_that_runs_over(place: Site, machine: Machine, which: str) -> None:
    if longest() > QUEUE_MOST:
        machine.cannot(f"a queue holds {longest()} events")
    (place.tree / "goes" / "below").mkdir(parents=True)
    for name in ("alpha", "beta"):
        place.agent(name, mounted=False)
    place.start()
    leader = place.leader()
    assert leader is not None, place.tails()
    agent = next(a for a in place.agents.values() if (a is leader) == (which == "leader"))
    with place.polled():
        agent.signal(signal.SIGSTOP)
        flood(place.tree)
        (place.tree / "unheard" / "of").mkdir(parents=True)
        (place.tree / "unheard" / "of" / "file").write_text("1")
        (place.tree / "goes").rename(place.outside / "gone")
        agent.signal(signal.SIGCONT)
        place.settles()


@pytest.mark.parametrize("limit", ["max_inotify_watches", "max_inotify_instances"])
def test_a_host_without_enough_watches(place: Site, machine: Machine, limit: str) -> None:
    most = WATCHES if limit.endswith("watches") else 0
    set_limit = f"echo {most} > /proc/sys/user/{limit}"
    machine.does(*LIMITED, set_limit)
    alpha = place.agent("alpha", mounted=False)
    alpha.command = (*LIMITED, f'{set_limit} && exec "$0" "$@"', *alpha.command)
    many_files(place.tree / "many", 3 * WATCHES, 2)
    place.start()
    with place.polled():
        until(lambda: bool(alpha.pipe().get("uncovered")), SAID_S, place.tails)
        (place.tree / "many" / "d0" / f"d{3 * WATCHES - 1}" / "new").write_text("found by an audit")
        (place.tree / "many" / "d0" / "d0").rename(place.tree / "many" / "moved")
        place.settles()
