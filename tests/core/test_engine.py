"""The supervisor: restarts while they help, a child that fails too often is left down."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import pytest

from fustor_core import engine
from fustor_core.engine import RESTARTS_MOST, Engine

pytestmark = pytest.mark.anyio


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def supervisor(told: list[str], monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.setattr(engine, "PAUSE_S", 0.0)
    return Engine(told.append)


def failing(times: int, error: Callable[[], Exception] = lambda: KeyError("a bug")) -> Child:
    return Child(times, error)


class Child:
    """Raises so many times, then ends."""

    def __init__(self, times: int, error: Callable[[], Exception]) -> None:
        self.lives = 0
        self._times, self._error = times, error

    async def live(self) -> None:
        self.lives += 1
        if self.lives <= self._times:
            raise self._error()


async def test_a_child_that_ends_is_not_restarted(supervisor: Engine, told: list[str]) -> None:
    child = failing(0)
    await supervisor.supervise("pipe p", child.live)
    assert child.lives == 1
    assert supervisor.children["pipe p"].state == "ended"
    assert told == []


async def test_a_child_that_fails_is_restarted_and_that_is_told(
    supervisor: Engine, told: list[str]
) -> None:
    child = failing(2)
    await supervisor.supervise("pipe p", child.live)
    shown = supervisor.children["pipe p"]
    assert (child.lives, shown.restarts, shown.state) == (3, 2, "ended")
    assert len(told) == 2
    assert all("pipe p" in text and "KeyError: 'a bug'" in text for text in told)


async def test_a_child_that_fails_too_often_is_left_down_and_shown(
    supervisor: Engine, told: list[str]
) -> None:
    child = failing(1000)
    await supervisor.supervise("pipe p", child.live)
    assert child.lives == RESTARTS_MOST + 1
    assert supervisor.children["pipe p"].state == "failed"
    assert "too often" in told[-1]
    assert "pipe p failed" in repr(supervisor)


async def test_failures_of_long_ago_do_not_count(
    supervisor: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "WITHIN_S", -1.0)
    child = failing(3 * RESTARTS_MOST)
    await supervisor.supervise("pipe p", child.live)
    assert child.lives == 3 * RESTARTS_MOST + 1


async def test_the_first_error_of_a_group_is_told(supervisor: Engine, told: list[str]) -> None:
    def grouped() -> Exception:
        return ExceptionGroup("", [ExceptionGroup("", [ValueError("deep down")])])

    await supervisor.supervise("receiver r", failing(1, grouped).live)
    assert "ValueError: deep down" in told[0]


async def test_tracebacks_are_for_those_who_ask(
    told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "PAUSE_S", 0.0)
    await Engine(told.append, debug=True).supervise("pipe p", failing(1).live)
    assert "Traceback" in told[0]


async def test_children_fail_alone(supervisor: Engine) -> None:
    going = anyio.Event()

    async def healthy() -> None:
        going.set()
        await anyio.sleep_forever()

    async with anyio.create_task_group() as group:
        group.start_soon(supervisor.supervise, "bad", failing(1000).live)
        group.start_soon(supervisor.supervise, "good", healthy)
        await going.wait()
        while supervisor.children["bad"].state != "failed":
            await anyio.lowlevel.checkpoint()
        assert supervisor.children["good"].state == "running"
        group.cancel_scope.cancel()


@pytest.mark.parametrize("where", ["living", "waiting"])
async def test_a_cancelled_child_is_gone(
    where: str, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "PAUSE_S", 1000.0)
    supervisor = Engine(told.append)
    child: Callable[[], Awaitable[None]] = (
        anyio.sleep_forever if where == "living" else failing(1000).live
    )
    with anyio.move_on_after(0.02):
        await supervisor.supervise("pipe p", child)
    assert supervisor.children["pipe p"].state in ("running", "waiting")
