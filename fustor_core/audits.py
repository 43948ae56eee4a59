"""The audits of a leader: tier after tier, each when it is due, until cancelled."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import anyio

from fustor_core.config.model import Pipe
from fustor_core.contracts import Tiered
from fustor_core.phases import audit, goes_on
from fustor_core.post import Post
from fustor_core.rounds import NO_TURNS, intervals
from fustor_core.waiting import sleep_until

Phase = Callable[[], AbstractAsyncContextManager[object]]


class Audits:
    """When a pipe audits, and how thoroughly.

    Attributes:
        done: how many audits were whole; those of directories alone do not count.
    """

    def __init__(self, post: Post) -> None:
        self._post = post
        self._turns = NO_TURNS
        self._deep_every = 1
        self._changed = anyio.Event()
        self._under_way: tuple[str, tuple[int, int]] | None = None
        self.done = 0

    def __repr__(self) -> str:
        return f"<Audits {self.done} done, {self._turns!r}>"

    def plan(self, config: Pipe, middle_s: float) -> None:
        """Take these intervals; a wait for another begins anew.

        Args:
            middle_s: `audit_interval_sec` as it is in force.
        """
        tiers = config.audit
        source = self._post.source
        every_s = intervals(
            middle_s,
            tiers.directories,
            tiers.full,
            chosen=frozenset(tiers.model_fields_set),
            tiers=source.tiers if isinstance(source, Tiered) else frozenset(),
        )
        self._deep_every = tiers.deep_every
        self._post.tempo.rate = tiers.rate
        if every_s != self._turns.every_s:
            self._turns = self._turns.changed(every_s, self._now_s())
            self._changed.set()
            self._changed = anyio.Event()

    def begin(self) -> None:
        """Everything was just looked at."""
        self._under_way = None
        self._turns = self._turns.begun(self._now_s())

    async def run(self, phase: Phase, worked: Callable[[], None]) -> None:
        """Audit whenever one is due, until cancelled.

        Args:
            phase: entered around each audit. worked: told of each that was whole.

        Raises:
            OSError, FustorError: an audit was not whole.
        """
        while True:
            tier = await self._due()
            async with phase():
                await self._audit(tier)
                self._turns = self._turns.done(tier, self._now_s())
                self.done += tier != "directories"
                worked()

    async def _audit(self, tier: str) -> None:
        """One audit; behind what was acknowledged of it when it was broken off before."""
        post = self._post
        deep = self._turns.middle, self._deep_every if tier == "names" else 0
        before, self._under_way = self._under_way, (tier, deep)
        after = b""
        if before == self._under_way and goes_on(post.source):
            await post.outbox.flushed()
            after = post.outbox.reached
        await audit(post, tier, deep, after)
        self._under_way = None

    async def _due(self) -> str:
        """Wait until a tier is due, and say which."""
        while True:
            turn, changed = self._turns.next(), self._changed
            now_s = self._now_s()
            if turn is None:
                await changed.wait()
            elif turn[0] > now_s:
                await sleep_until(changed, self._post.sleep, turn[0] - now_s)
            else:
                return self._turns.thorough(now_s)

    def _now_s(self) -> float:
        return self._post.now_us() / 1e6
