"""How soon watchers of the live state hear of a fact, while everything else changes, too.

The nodes are sessions of a real server: each beats, with other figures each time, and others come
and go. Their coming and going are the facts. The time of a fact runs from the moment at which the
agent asks for it to the moment at which a watcher has the frame, so it holds the request and the
journal's write as well.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path

from fustor_core.bench.children import Child
from fustor_core.bench.crowd import FACTS, VIEW

GOAL_MS = 200.0
SETTLE_S = 2.0  # before the first fact that counts, and after the last one
STEP_S = 0.25
START_S_MAX = 60.0
CONFIG = f"""version: 1
views: {{{VIEW}: {{}}}}
receivers: {{main: {{driver: http, listen: [unix]}}}}
"""
Tell = Callable[[str, float], None]  # what goes on, and how much of it is done, 0 … 1


@dataclass(frozen=True, slots=True)
class Found:
    """What was seen.

    Attributes:
        facts: that came and went. missed: facts that a watcher was not told, for each watcher.
        p50_ms, p99_ms, longest_ms: from a fact to each watcher; None: none was seen.
        frames_per_s, bytes_per_s: for each watcher.
        beats_per_s: heartbeats of all nodes.
        server_cpu_percent, watchers_cpu_percent: of a core.
        longest_pause_ms: for which the watchers' process did not come to run: of the machine, and
            no fault of the server's.
    """

    clients: int
    nodes: int
    seconds: float
    facts: int
    missed: int
    p50_ms: float | None
    p99_ms: float | None
    longest_ms: float | None
    frames_per_s: float
    bytes_per_s: float
    beats_per_s: float
    server_cpu_percent: float
    watchers_cpu_percent: float
    longest_pause_ms: float

    @property
    def whole(self) -> bool:
        """Whether every watcher was told every fact, and there were enough of them."""
        return not self.missed and self.facts >= FACTS * self.seconds / 4

    @property
    def met(self) -> bool:
        """Whether all came in time."""
        return self.whole and self.longest_ms is not None and self.longest_ms < GOAL_MS

    def document(self) -> dict[str, object]:
        """For ``--json``."""
        found = {key: round(v, 3) if isinstance(v, float) else v for key, v in asdict(self).items()}
        return {**found, "goal_ms": GOAL_MS, "whole": self.whole, "met": self.met}


def measure(folder: Path, *, clients: int, nodes: int, seconds: float, tell: Tell) -> Found:
    """Starts a server, nodes and watchers, looks for a while, and ends them.

    Args:
        folder: for the server's state and what they log; its path has to be short (a socket).
        clients: watchers. nodes: sessions. seconds: for how long facts are counted.
        tell: takes the progress.

    Raises:
        ChildFailed: one of them has ended, or did not begin.
    """
    config = folder / "bench.yaml"
    config.write_text(CONFIG, "utf-8")
    home = folder / "home"
    words = ["-m", "fustor_core", "--home", os.fspath(home), "--jsonl", "--no-progress"]
    socket = os.fspath(home / "fusion" / "api.sock")
    crowd = ["-m", "fustor_core.bench.crowd"]
    tell("the server starts", 0.0)
    with Child([*words, "run", "-c", os.fspath(config)], folder / "server.log") as server:
        while server.told(START_S_MAX).get("event") != "ready":
            pass
        tell("nodes come", 0.0)
        with (
            Child([*crowd, "beat", socket, str(nodes)], folder / "beat.log") as beating,
            Child([*crowd, "watch", socket, str(clients)], folder / "watch.log") as watching,
        ):
            beating.told()
            tell("clients come", 0.0)
            watching.told()
            _pass(SETTLE_S, "it settles", tell)
            began, cpu = time.monotonic_ns(), server.cpu_s()
            _pass(seconds, "facts come and go", tell)
            ended, spent = time.monotonic_ns(), server.cpu_s() - cpu
            _pass(SETTLE_S, "the last ones are waited for", tell)
            seen = watching.ended()
            made = beating.ended()
    facts = {fact: at for fact, at in made["facts"].items() if began <= at < ended}
    late = {fact: [(at - facts[fact]) / 1e6 for at in seen["seen"].get(fact, ())] for fact in facts}
    every = sorted(ms for some in late.values() for ms in some)
    lived = max(seen["seconds"], 1e-9)
    return Found(
        clients=clients,
        nodes=nodes,
        seconds=seconds,
        facts=len(facts),
        missed=sum(max(0, clients - len(some)) for some in late.values()),
        p50_ms=_percentile(every, 50.0),
        p99_ms=_percentile(every, 99.0),
        longest_ms=_percentile(every, 100.0),
        frames_per_s=seen["frames"] / clients / lived,
        bytes_per_s=seen["bytes"] / clients / lived,
        beats_per_s=made["beats"] / lived,
        server_cpu_percent=100 * spent * 1e9 / (ended - began),
        watchers_cpu_percent=100 * seen["cpu_s"] / lived,
        longest_pause_ms=seen["longest_pause_ms"],
    )


def _pass(seconds: float, what: str, tell: Tell) -> None:
    began = time.monotonic()
    while (passed := time.monotonic() - began) < seconds:
        tell(what, passed / seconds)
        time.sleep(min(STEP_S, seconds - passed))
    tell(what, 1.0)


def _percentile(values: Sequence[float], share: float) -> float | None:
    """The value that this share of them, in %, does not exceed; they are sorted."""
    return values[max(0, ceil(len(values) * share / 100) - 1)] if values else None
