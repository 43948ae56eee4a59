"""Waiting for something or for some time."""

from __future__ import annotations

import anyio
import pytest

from fustor_core.waiting import sleep_until

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("seconds", [-1e-6, -1.0, 0.0])
async def test_what_was_due_a_moment_ago_is_due_now(seconds: float) -> None:
    with anyio.fail_after(5):
        await sleep_until(anyio.Event(), anyio.sleep, seconds)


async def test_an_event_ends_a_sleep() -> None:
    event = anyio.Event()
    event.set()
    with anyio.fail_after(5):
        await sleep_until(event, anyio.sleep, 600)
