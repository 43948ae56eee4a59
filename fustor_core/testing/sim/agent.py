"""An agent of a simulated world: a host, its mount, and one process after the other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anyio

from fustor_core.claims import Ack, Batch
from fustor_core.config.model import Pipe
from fustor_core.outbox import Limits
from fustor_core.pipe_words import Host
from fustor_core.pipeline import AgentPipeline
from fustor_core.spool import Spool
from fustor_core.testing.sim.bounds import Patience
from fustor_core.testing.sim.host import Machine, Sleep
from fustor_core.testing.sim.mount import Mount
from fustor_core.testing.sim.network import Door, Line, Promised, SimSink
from fustor_core.testing.sim.options import Options
from fustor_core.testing.sim.reading import Eyes
from fustor_core.testing.sim.server import VIEW
from fustor_core.testing.sim.source import SimSource
from fustor_core.testing.sim.storage import Storage, Told

SMALL = Limits(rows=200, wire_bytes=8 << 10, scan_batches=2, spool_bytes=12 << 10)
USUAL = Limits()
SKEW_US = 400_000  # by which the wall clocks of hosts and storage differ, at most


class Heard(SimSink):
    """A sink that hears what was taken."""

    patience: Patience

    async def send(self, batch: Batch) -> Ack:
        """As `SimSink.send`."""
        ack = await super().send(batch)
        if batch.claims:
            self.patience.acknowledged()
        return ack


class Agent:
    """One agent.

    Args:
        number: which one. point, count: see `Server`. promised: told what fusion has promised.
        fail: told a promise that was broken.

    Attributes:
        pipe: of the running process, None while there is none. over: its process has ended; whoever
            starts the next one, makes a new event of it.
    """

    def __init__(
        self,
        number: int,
        machine: Machine,
        storage: Storage,
        options: Options,
        folder: Path,
        *,
        door: Door,
        point: Callable[[str], None],
        count: Callable[..., None],
        promised: Promised,
        fail: Callable[[str, str], None],
    ) -> None:
        self._fail, self._stops = fail, False
        self._promised = promised
        self.number, self.machine, self.options, self.folder = number, machine, options, folder
        self.line = Line()
        bound_us = int(options.bound_s * 1e6)
        self.mount = Mount(storage, int(bound_us * 0.999), machine.rng, "disk-1")
        self.eyes = Eyes(
            machine,
            self.mount,
            granularity_us=options.tick_us + abs(storage.skew_us) + SKEW_US,
            slow_s=0.05 if options.has("slow") else 0.0,
            births=options.births,
        )
        self.eyes.claimed_bound_us = int(bound_us * options.understated)
        self._door, self._point, self._count = door, point, count
        self.pipe: AgentPipeline | None = None
        self.source: SimSource | None = None
        self.starts = 0
        self._scope: anyio.CancelScope | None = None
        self.over = anyio.Event()
        self.states: set[int] = set()

    def __repr__(self) -> str:
        return f"<Agent {self.number} {self.pipe!r}>"

    def tell(self, told: list[Told]) -> None:
        """Something was done on this host."""
        inotify = self.source.inotify if self.source is not None else None
        for one in told:
            for inode in (one.folder, one.child):
                self.mount.written(inode)
            if inotify is not None:
                inotify.tell(one)

    def _config(self) -> Pipe:
        options = self.options
        standby = options.has("standby") and self.number % 2 == 1
        audits, files = options.scans != "none", options.scans == "full"
        return Pipe.model_validate(
            {
                "source": {"driver": "sim", "root": "/tree"},
                "sink": {"driver": "sim", "view": VIEW},
                "follower": "standby" if standby else "realtime",
                "session_timeout_seconds": options.session_timeout_s,
                "heartbeat_interval_sec": options.heartbeat_s,
                "audit_interval_sec": options.audit_s if audits else 0,
                "audit": {"directories": options.audit_s / 2 if audits else 0,
                          "full": options.full_s if files else 0,
                          "deep_every": 3 if files else 1 << 30, "rate": "auto"},
                "sentinel_interval_sec": options.sentinel_s,
                "error_retry_interval": options.retry_s,
                "max_backoff_seconds": options.backoff_s,
            }
        )  # fmt: skip

    async def run(self) -> None:
        """One process, until it is killed or stopped."""
        options, rng = self.options, self.machine.rng
        self.starts += 1
        self.eyes.begun()
        self.source = source = SimSource(
            self.eyes,
            watches=True,
            queue=12 if options.has("overflow") else 16384,
            limit=4 if options.has("limit") else 1 << 20,
            at_once=5 if options.has("late") else 1 << 20,
            doubtful=0.1 if options.has("doubtful") else 0.0,
        )
        self._stops = False
        patience = Patience(
            lambda: rng.uniform(0.5, 1.0), self._fail,
            first_s=options.retry_s, most_s=options.backoff_s,
        )  # fmt: skip
        sink = Heard(
            self.machine, self.line, self._door, rng, point=self._point, count=self._count,
            timeout_s=options.timeout_s, promised=self._promised,
        )  # fmt: skip
        sink.patience = patience
        self.pipe = AgentPipeline(
            f"pipe-{self.number}",
            self._config(),
            self.source,
            sink,
            Host(f"agent-{self.number}", self.machine.boot_id, str(self.starts)),
            limits=SMALL if options.has("overflow") else USUAL,
            drain_timeout_s=2.0,
            spool=Spool(self.folder / f"spool-{self.number}"),
            generation=self.starts,
            on_move=lambda move: self.states.add(int(move.new)),
            now_us=self.machine.raw_us,
            sleep=Sleep(self.machine.gate, patience.sleeps),
            jitter=patience.jitter,
        )
        try:
            with anyio.CancelScope() as self._scope:
                await self.pipe.run()
            if not (self._stops or self._scope.cancel_called):
                self._fail("exit", f"{self!r} has ended by itself")
        finally:
            self._tally(source)
            self.pipe = self.source = self._scope = None
            self.over.set()

    def _tally(self, source: SimSource) -> None:
        self._count("seen.overflow", source.lost)
        self._count("seen.uncovered", source.refused)
        self._count("seen.stale_read", self.mount.stale)
        self.mount.stale = 0

    def kill(self) -> None:
        """kill -9."""
        if self._scope is not None:
            self._scope.cancel()

    def stop(self) -> None:
        """A clean stop."""
        if self.pipe is not None:
            self._stops = True
            self.pipe.stop()
