"""A machine: clocks with offset and drift, and a process that can be stopped and killed."""

from __future__ import annotations

import asyncio
from random import Random

import anyio

from fustor_core.testing.sim.loop import Clock
from fustor_core.waiting import LoopSleep


class Sleep(LoopSleep):
    """Without the question which event loop it is: there are many sleeps in a world."""

    async def __call__(self, seconds: float) -> None:
        """Sleep."""
        if self.begins is not None:
            self.begins(seconds)
        await asyncio.sleep(seconds)
        await self.wakes()


class Machine:
    """One host.

    Args:
        name: in traces. clock: true time. rng: of what happens on this host alone.
        offset_us, drift_ppm: of its raw clock. wall_skew_us: of its wall clock.

    Attributes:
        boot: number of the operating system's boot. stopped: its process does not run (SIGSTOP).
        sleep: by the raw clock; a stopped process does not wake.
    """

    def __init__(
        self,
        name: str,
        clock: Clock,
        rng: Random,
        *,
        offset_us: int,
        drift_ppm: float,
        wall_skew_us: int,
    ) -> None:
        self.name, self.clock, self.rng = name, clock, rng
        self.drift_ppm, self.wall_skew_us = drift_ppm, wall_skew_us
        self._since_us, self._offset_us = clock.now_us, offset_us
        self._raw_us, self._read_us = 0, -1
        self.boot = 1
        self.stopped = False
        self._goes_on = anyio.Event()
        self.sleep = Sleep(self.gate)

    def __repr__(self) -> str:
        return f"<Machine {self.name}>"

    def raw_us(self) -> int:
        """CLOCK_BOOTTIME."""
        now_us = self.clock.now_us
        if now_us != self._read_us:  # it is read many times at one instant
            passed = now_us - self._since_us
            self._raw_us = self._offset_us + passed + int(passed * self.drift_ppm / 1e6)
            self._read_us = now_us
        return self._raw_us

    def true_us(self, raw_us: int) -> float:
        """True time of an instant of this boot's raw clock."""
        return self._since_us + (raw_us - self._offset_us) / (1 + self.drift_ppm / 1e6)

    def wall_ns(self) -> int:
        """The wall clock."""
        return (self.clock.now_us + self.wall_skew_us) * 1000

    def reboot(self, offset_us: int) -> None:
        """Another boot: the raw clock begins anew."""
        self.boot += 1
        self._read_us = -1
        self._since_us, self._offset_us = self.clock.now_us, offset_us

    @property
    def boot_id(self) -> str:
        """Of this boot of the operating system."""
        return f"{self.name}-{self.boot}"

    async def gate(self) -> None:
        """Pass when the process runs."""
        while self.stopped:
            await self._goes_on.wait()

    def stop(self) -> None:
        """SIGSTOP."""
        self.stopped = True

    def go_on(self) -> None:
        """SIGCONT."""
        self.stopped = False
        self._goes_on.set()
        self._goes_on = anyio.Event()
