"""Faults: drawn beforehand as a list; each begins at a time or in a window, and is healed."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING, NamedTuple

import anyio

from fustor_core.testing.sim.options import Options
from fustor_core.testing.sim.storage import Storage

if TYPE_CHECKING:
    from fustor_core.testing.sim.world import World

POINTS = (
    "agent.sends", "agent.acknowledged", "disk.before", "disk.sync", "disk.after", "fusion.replies",
)  # fmt: skip
EXIT_S = 60.0  # a process whose disk has failed has ended by then, however long it was stopped


class Fault(NamedTuple):
    """One fault.

    Attributes:
        at_us: after the start. kind: see `Faults`. who: number of the host; -1 = fusion.
        for_us: how long. point: it waits for the window of this name; "" = it begins at once.
        number: chooses what is left to choose.
    """

    at_us: int
    kind: str
    who: int
    for_us: int
    point: str
    number: int


KINDS = {
    "cut": "cut", "stop": "stop", "kill": "kill", "restart": "restart", "reboot": "reboot",
    "full": "full", "broken": "broken", "vanish": "vanish", "other": "other",
    "unreadable": "unreadable", "late": "late", "loss": "loss", "twice": "twice",
    "wall": "wall", "hang": "hang",
}  # fmt: skip


def draw_faults(options: Options) -> list[Fault]:
    """The faults of the safety phase of a seed, in order."""
    rng = Random(f"faults {options.seed}")
    kinds = [kind for feature, kind in KINDS.items() if options.has(feature)]
    found: list[Fault] = []
    end_us = int(options.length_s * 1e6)
    at_us = 500_000
    mean_s = rng.choice([1.0, 3.0, 8.0])
    while kinds and at_us < end_us:
        at_us += int(rng.expovariate(1 / mean_s) * 1e6)
        for_us = int(rng.choice([0.2, 1.0, 4.0, 9.0]) * rng.uniform(0.5, 1.0) * 1e6)
        aimed = rng.random() < 0.5
        found.append(
            Fault(
                at_us,
                rng.choice(kinds),
                rng.randrange(-1, options.hosts),
                for_us,
                rng.choice(POINTS) if aimed else "",
                rng.getrandbits(16),
            )
        )
    return found


class Faults:
    """Makes faults, and heals them."""

    def __init__(self, world: World, planned: Sequence[Fault]) -> None:
        self.world, self.planned = world, list(planned)
        self._armed: list[Fault] = []
        self._ends: list[tuple[int, anyio.Event]] = []
        self._healed = anyio.Event()
        self._pending = 0
        self._over = anyio.Event()

    def __repr__(self) -> str:
        return f"<Faults {len(self.planned)} planned, {self._pending} under way>"

    def begin(self, fault: Fault) -> None:
        """Its time has come."""
        if fault.point and fault.kind in ("kill", "restart", "reboot", "stop", "full", "broken"):
            self._armed.append(fault)
        else:
            self._make(fault)

    def passed(self, point: str) -> None:
        """A window is passed."""
        for fault in self._armed:
            if fault.point == point:
                self._armed.remove(fault)
                self.world.count("window." + point)
                self._make(fault)
                return

    async def heal(self) -> None:
        """All faults end now, and none begins any more."""
        self._armed.clear()
        self._healed.set()
        while self._pending:
            await self._over.wait()

    def _make(self, fault: Fault) -> None:
        world = self.world
        if not self._strike(fault):
            return
        world.count("fault." + fault.kind)
        world.note("fault", *fault)
        self._pending += 1
        world.group.start_soon(self._last, fault)

    async def _last(self, fault: Fault) -> None:
        try:
            await getattr(self, "_" + fault.kind)(fault)
        finally:
            self._pending -= 1
            self._over.set()
            self._over = anyio.Event()

    async def _pass(self, fault: Fault) -> None:
        """Until it is healed."""
        with anyio.move_on_after(fault.for_us / 1e6):
            await self._healed.wait()

    # ---- the kinds

    async def _cut(self, fault: Fault) -> None:
        line = self.world.agents[fault.who].line
        line.up, line.down = fault.number % 3 == 0, fault.number % 3 == 1
        await self._pass(fault)
        line.up = line.down = True

    async def _loss(self, fault: Fault) -> None:
        line = self.world.agents[fault.who].line
        line.loss = 0.3
        await self._pass(fault)
        line.loss = 0.0

    async def _twice(self, fault: Fault) -> None:
        line = self.world.agents[fault.who].line
        line.twice = 0.5
        await self._pass(fault)
        line.twice = 0.0

    async def _late(self, fault: Fault) -> None:
        line = self.world.agents[fault.who].line
        line.most_s = (0.5, 1.5, 3.0)[fault.number % 3]
        await self._pass(fault)
        line.most_s = 0.01

    async def _stop(self, fault: Fault) -> None:
        world = self.world
        machine = world.agents[fault.who].machine if fault.who >= 0 else world.server.machine
        machine.stop()
        try:
            await self._pass(fault)
        finally:
            machine.go_on()  # else a world that breaks just now never ends

    def _strike(self, fault: Fault) -> bool:
        """What ends at once, in the middle of what it does; False: there is nothing to end."""
        world, server = self.world, self.world.server
        clean = fault.number % 4 == 0
        if fault.kind == "kill" or (fault.kind == "reboot" and fault.who >= 0):
            agent = world.agents[fault.who]
            if agent.pipe is None:
                return False
            if clean and fault.kind == "kill":
                agent.stop()
            else:
                agent.kill()
        elif fault.kind in ("restart", "reboot"):
            if server.door is None:
                return False
            if clean and fault.kind == "restart":
                server.end()
            else:
                server.kill()
            if fault.kind == "reboot":
                world.checker.times.ends(world.clock.now_us)
        return True

    async def _kill(self, fault: Fault) -> None:
        await self.world.restart_agent(self.world.agents[fault.who], _down_s(fault))

    async def _restart(self, fault: Fault) -> None:
        await self.world.restart_server(_down_s(fault))

    async def _reboot(self, fault: Fault) -> None:
        """The whole machine."""
        world = self.world
        if fault.who >= 0:
            agent = world.agents[fault.who]
            await agent.over.wait()
            agent.machine.reboot(1_000_000 * (fault.number + 100))
            agent.mount.forget()
            await world.restart_agent(agent, _down_s(fault))
            return
        await world.server.over.wait()
        machine = world.server.machine
        machine.reboot(1_000_000 * (fault.number + 100))
        machine.wall_skew_us += (0, 2_000_000, -700_000)[fault.number % 3]
        await world.restart_server(_down_s(fault))

    async def _hang(self, fault: Fault) -> None:
        """The storage does not answer."""
        mount = self.world.agents[fault.who].mount
        mount.hang()
        try:
            await self._pass(fault)
        finally:
            mount.answer()

    async def _wall(self, fault: Fault) -> None:
        """Somebody sets a wall clock."""
        world = self.world
        jump_us = (3_600_000_000, -3_600_000_000, 400_000)[fault.number % 3]
        machine = world.agents[fault.who].machine if fault.who >= 0 else world.server.machine
        machine.wall_skew_us += jump_us

    async def _full(self, fault: Fault) -> None:
        self.world.server.full = True
        await self._pass(fault)
        self.world.server.full = False

    async def _broken(self, fault: Fault) -> None:
        """The disk fails for good: the process ends, and verifies at its next start."""
        server = self.world.server
        if server.door is None:
            return
        server.breaks = True
        with anyio.move_on_after(fault.for_us / 1e6):
            await server.over.wait()
        server.breaks = False
        with anyio.move_on_after(EXIT_S if server.struck else 0):
            await server.over.wait()  # a process that is stopped meanwhile ends when it goes on
        await self.world.restart_server(0.5)

    async def _vanish(self, fault: Fault) -> None:
        mount = self.world.agents[fault.who].mount
        mount.root = None
        await self._pass(fault)
        mount.root = mount.storage.root
        mount.forget()

    async def _other(self, fault: Fault) -> None:
        """Another disk stands there: an empty mount point, or one with files on it."""
        mount = self.world.agents[fault.who].mount
        other = Storage(births=True, tick_us=1, skew_us=0, reuse=False)
        other.begin(self.world.clock.now_us)
        root = mount.storage.root
        other.root.numbered(root.ino, root.birth and 7)
        for name in (b"a", b"b", b"x") if fault.number % 2 else ():
            other.create(other.root, name, subfolder=name == b"a")
        mount.root, mount.identity = other.root, "disk-2"
        await self._pass(fault)
        mount.root, mount.identity = mount.storage.root, mount.own_identity
        mount.forget()

    async def _unreadable(self, fault: Fault) -> None:
        """Something in the tree cannot be read on this host."""
        mount = self.world.agents[fault.who].mount
        inodes = [mount.storage.root, *(inode for _, inode, _, _ in mount.storage.walk())]
        uid = inodes[fault.number % len(inodes)].uid
        mount.errors[uid] = errno.EIO if fault.number % 3 else errno.EACCES
        await self._pass(fault)
        mount.errors.pop(uid, None)


def _down_s(fault: Fault) -> float:
    return min(fault.for_us, 4_000_000) / 1e6
