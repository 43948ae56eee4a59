"""Checkpoints come often, but never fill the time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import anyio
import anyio.lowlevel
import pytest

from fustor_core import upkeep
from fustor_core.contracts import Durable
from fustor_core.upkeep import Upkeep

pytestmark = pytest.mark.anyio
TAKES_S = 0.02


class Busy:
    """A view of which something is always dirty."""

    def open(self, folder: object, name: str) -> tuple[int, bytes]:
        return 0, b""

    def checkpoint(self, lsn: int, meta: bytes) -> object:
        return iter(())

    def dirty(self) -> int:
        return 1

    def damage(self) -> list[str]:
        return []

    def close(self) -> None:
        pass


async def rested_s(
    takes_s: float, *, busy: bool = True, batch_bytes: int = 1, late: bool = False
) -> float:
    """How long it rests behind a checkpoint that takes so long.

    Args:
        busy: batches come all the time, else one. batch_bytes: size of each. late: the first comes
            when it rests already.
    """

    async def checkpoint(on_full: Callable[[str], None]) -> None:
        await anyio.sleep(takes_s)

    async def forget(keys: list[Any]) -> None: ...

    assert isinstance(Busy(), Durable)
    kept = Upkeep(cast("Any", Busy()), lambda: 0, forget, checkpoint)
    await kept.round(0.0, lambda text: None)

    async def batches() -> None:
        while True:
            kept.grew(batch_bytes)
            await anyio.sleep(TAKES_S / 20)

    async def one() -> None:
        kept.grew(batch_bytes)

    async with anyio.create_task_group() as tasks:
        if late:
            tasks.start_soon(one)
        else:
            kept.grew(batch_bytes)
        if busy:
            tasks.start_soon(batches)
            await anyio.lowlevel.checkpoint()
        began_s = anyio.current_time()
        await kept.rest()
        tasks.cancel_scope.cancel()
    return anyio.current_time() - began_s


async def test_a_checkpoint_that_takes_long_is_not_made_again_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(upkeep, "CHECKPOINT_S", TAKES_S)
    monkeypatch.setattr(upkeep, "CALM_S", TAKES_S)
    assert await rested_s(TAKES_S) >= TAKES_S * upkeep.BUSY_SHARE
    assert await rested_s(TAKES_S, busy=False) >= TAKES_S * upkeep.CHECKPOINT_SHARE


async def test_unless_nothing_comes_any_more_or_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a start has little to read again."""
    monkeypatch.setattr(upkeep, "CHECKPOINT_S", TAKES_S)
    monkeypatch.setattr(upkeep, "BUSY_SHARE", 1 << 20)
    monkeypatch.setattr(upkeep, "CHECKPOINT_S_MOST", 3600.0)
    with anyio.fail_after(30):
        await rested_s(TAKES_S, busy=False)
        await rested_s(TAKES_S, batch_bytes=upkeep.MUCH_BYTES)


async def test_a_little_waits_longer_than_the_first_pause_and_more_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(upkeep, "CALM_S", TAKES_S)
    monkeypatch.setattr(upkeep, "CHECKPOINT_S", 10 * TAKES_S)
    assert await rested_s(0.0, busy=False) >= 10 * TAKES_S
    monkeypatch.setattr(upkeep, "CHECKPOINT_S", 3600.0)
    monkeypatch.setattr(upkeep, "CHECKPOINT_S_MOST", 3600.0)
    with anyio.fail_after(30):
        await rested_s(0.0, busy=False, batch_bytes=upkeep.LITTLE_BYTES)
        await rested_s(0.0, busy=False, batch_bytes=upkeep.LITTLE_BYTES, late=True)


async def test_a_pause_is_not_used_before_as_much_time_has_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(upkeep, "CALM_S", 0.0)
    monkeypatch.setattr(upkeep, "CHECKPOINT_S_MOST", 3600.0)
    monkeypatch.setattr(upkeep, "CHECKPOINT_S", 3600.0)
    least_s = TAKES_S * upkeep.CALM_SHARE
    with anyio.fail_after(30):
        assert await rested_s(TAKES_S, busy=False, batch_bytes=upkeep.LITTLE_BYTES) >= least_s


async def test_what_left_nothing_dirty_hurries_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "CALM_S", 0.0)
    monkeypatch.setattr(upkeep, "CHECKPOINT_S", 10 * TAKES_S)
    monkeypatch.setattr(Busy, "dirty", lambda self: 0)

    async def never(*args: Any) -> None:
        raise AssertionError("there is nothing to do")

    kept = Upkeep(cast("Any", Busy()), lambda: 0, never, never)
    kept.grew(upkeep.LITTLE_BYTES)
    await kept.round(0.0, lambda text: None)
    began_s = anyio.current_time()
    await kept.rest()
    assert anyio.current_time() - began_s >= 10 * TAKES_S


async def test_but_it_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "CHECKPOINT_S", TAKES_S)
    monkeypatch.setattr(upkeep, "CHECKPOINT_S_MOST", 0.1)
    with anyio.fail_after(30):
        await rested_s(TAKES_S)
