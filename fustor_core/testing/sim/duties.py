"""What fusion must do about what it was told (reliability.md §2.4, 13, 16, 24, 26): owe looks until
they were made, fence scans, depose who hangs, forget nothing, know when a look was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from fustor_core import leadership
from fustor_core.admission import usable
from fustor_core.claims import LEADER_ONLY, Batch, Key, Many, Origin, Root
from fustor_core.frames import BatchHead, unpack_stamps
from fustor_core.registers import NO_LINE, Seen
from fustor_core.testing.sim.times import Times

if TYPE_CHECKING:
    from fustor_core.testing.sim.world import World

ROUNDED_US = 20
"""What clocks, and the constant of fusion's own, may be rounded by."""
SAMPLES, CLOCK_OFF_NS = 8, 60_000_000_000
"""So many fresh ctimes tell the storage's clock, about: they come late at times."""
Fail = Callable[[str, str], None]


class Duties:
    """Of one world.

    Args:
        fail: told a promise that was broken, and how.
    """

    def __init__(self, world: World, fail: Fail) -> None:
        self._world, self._fail = world, fail
        self._owed: dict[Key, Seen] = {}
        self._below: dict[Key, Seen] = {}  # of what was owed deep: what sat below it then
        self._led: dict[int, int] = {}
        self._hung: dict[str, int] = {}
        self._directories = 0

    def __repr__(self) -> str:
        return f"<Duties {len(self._owed)} owed>"

    def begun(self) -> None:
        """A process of fusion begins: what was not durable was never told."""
        self._owed.clear()
        self._below.clear()
        self._hung.clear()
        self._directories = 0

    def opened(self, key: Key, seen: Seen, *, deep: bool = False) -> None:
        """A listing is owed that looks later than this, and of all directories below if `deep`."""
        _keep(self._owed, key, seen)
        tree = self._tree()
        at = tree.dirs.get(key) if tree is not None and deep else None
        stack = [at] if at is not None else []
        while stack:
            for child in tree.children(stack.pop()):
                _keep(self._below, child.key, seen)
                stack.append(child)

    def listed(self, key: Key, seen: Seen) -> None:
        """A whole listing of a directory was judged."""
        for owed in (self._owed, self._below):
            held = owed.get(key)
            if held is not None and _later(held, seen):
                del owed[key]

    def forgot(self, keys: Sequence[Key]) -> None:
        """Directories were forgotten."""
        self._directories -= len(keys)
        for key in keys:
            self._owed.pop(key, None)
            self._below.pop(key, None)

    def leads(self, epoch: int) -> None:
        """An agent was told that it leads under this epoch."""
        self._led.setdefault(epoch, self._world.clock.now_us)

    def folded(self, head: BatchHead, batch: Batch, times: Times) -> None:
        """A batch is folded."""
        arrived_us = times.earliest(head.arrival_us)
        self._mapped(head, batch, times)
        if LEADER_ONLY.intersection(claim.origin for claim in batch.claims):
            newer = [e for e, at in self._led.items() if e > batch.epoch and at < arrived_us]
            if newer:
                self._fail("fence", f"scans of epoch {batch.epoch} taken in epoch {max(newer)}")
        tree = self._tree()
        for i in head.skipped:
            claim = batch.claims[i]
            if isinstance(claim, Root | Many) or not usable(claim.dir):
                continue
            if claim.origin is Origin.REALTIME or (tree and claim.dir in tree.dirs):
                now = head.arrival_us
                self.opened(claim.dir, Seen(now, now, NO_LINE, 0, 0, 0, "m"))

    def _mapped(self, head: BatchHead, batch: Batch, times: Times) -> None:
        """What a look's interval was mapped to holds the look."""
        peer = self._peer(head.session)
        machines = {agent.machine.boot_id: agent.machine for agent in self._world.agents}
        machine = machines.get(peer.line.name.boot) if peer is not None else None
        if machine is None or peer.line.number != head.line:
            return
        stamps = unpack_stamps(head.stamps)
        for i, claim in enumerate(batch.claims):
            f, t = machine.true_us(claim.stamp.f), machine.true_us(claim.stamp.t)
            lo, hi = times.earliest(stamps[2 * i]), times.latest(stamps[2 * i + 1])
            if lo > f + ROUNDED_US or hi < min(t, times.earliest(head.arrival_us)) - ROUNDED_US:
                self._fail("clock", f"a look in [{f}, {t}] is taken for one in [{lo}, {hi}]")

    def storage_clock(self, samples: int, watermark_ns: int) -> None:
        """The storage's time, as it is estimated from so many samples, is about right."""
        world = self._world
        jumps = any(map(world.options.has, ("wall", "reboot")))
        off_ns = abs(watermark_ns - (world.clock.now_us + world.storage.skew_us) * 1000)
        if not jumps and samples >= SAMPLES and off_ns > CLOCK_OFF_NS:
            self._fail("storage_clock", f"the storage's clock is told wrong by {off_ns} ns")

    def check(self) -> None:
        """After a step."""
        tree = self._tree()
        if tree is None:
            return
        if len(tree.dirs) < self._directories:
            self._fail("loss", f"{self._directories - len(tree.dirs)} directories are gone")
        self._directories = len(tree.dirs)
        pipeline = self._world.server.pipeline
        assert pipeline is not None
        lag = pipeline.fold.lag
        self.storage_clock(len(lag.samples()), lag.watermark(self._world.server.wall_ns()))
        for owed in (self._owed, self._below):
            for key, seen in list(owed.items()):
                at = tree.dirs.get(key)
                if at is None or at.left_out or (at.base is not None and _later(seen, at.base)):
                    del owed[key]
                elif at.owed is None and not (owed is self._below and _awaits(at)):
                    self._fail("owed", f"nobody has looked at {at!r} since {seen}")
        self._lease()

    def _lease(self) -> None:
        """A leader whose storage hangs is deposed, if there is another to lead."""
        world = self._world
        pipeline, options = world.server.pipeline, world.options
        led = pipeline.standing.leadership if pipeline is not None else None
        hanging = {f"agent-{a.number}" for a in world.agents if a.mount.hangs}
        now = world.clock.now_us
        self._hung = {name: self._hung.get(name, now) for name in sorted(hanging)}
        if pipeline is None or led is None or led.leader is None or len(world.agents) < 2:
            return
        peer = self._peer(led.leader)
        since = self._hung.get(peer.agent) if peer is not None else None
        able = [s for s in pipeline.standing.sessions if s.scan and s.agent_id not in hanging]
        lease_us = leadership.lease_us(int(options.session_timeout_s * 1e6))
        wait_s = options.audit_s + 2 * options.session_timeout_s + 3 * options.heartbeat_s
        if since is not None and able and now - since > lease_us + int(wait_s * 1e6):
            self._fail("lease", f"{led.leader} hangs since {since} and leads at {now}")

    def _peer(self, session: str) -> Any:
        pipeline = self._world.server.pipeline
        return pipeline.standing.peers.get(session) if pipeline is not None else None

    def _tree(self) -> Any:
        pipeline = self._world.server.pipeline
        view: Any = pipeline.view if pipeline is not None else None
        return view.registers.tree if view is not None else None


def _keep(owed: dict[Key, Seen], key: Key, seen: Seen) -> None:
    held = owed.get(key)
    if held is None or seen.hi > held.hi:
        owed[key] = seen


def _awaits(directory: Any) -> bool:
    """Whether one above it is owed with all below, which has yet to come down to it."""
    at = directory.parent
    while at is not None and not (at.owed is not None and at.deep):
        at = at.parent
    return at is not None


def _later(k: Seen, c: Seen) -> bool:
    if k.line != NO_LINE and k.line == c.line:
        return c.f >= k.t
    return c.lo >= k.hi
