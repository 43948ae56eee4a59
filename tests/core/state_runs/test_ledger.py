"""The state of a run while it goes on: facts, proposals, hooks, and that nobody blocks anybody."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, ClassVar

import anyio
import anyio.to_thread
import pytest

from fustor_core import StateHook
from fustor_core.errors import MutationError, StateConflict, Vetoed
from fustor_core.machine import Move
from fustor_core.state_runs.access import LedgerAccess
from fustor_core.state_runs.context import Scrubber
from fustor_core.state_runs.hooking import STRIKES, Hooks, Listener
from fustor_core.state_runs.ledger import OVER_KEPT, Fact, Ledger
from fustor_core.state_runs.records import Mutation, NodeState, RunHeader, RunState
from fustor_core.states.node import NodeStatus

S = NodeStatus
HEADER = RunHeader("pipeline_01H3XYZ9", "0.1.0", 1.5, "0" * 16)
LIMIT_S = 30.0


async def until(reached: Callable[[], bool]) -> None:
    with anyio.fail_after(LIMIT_S):
        while not reached():  # noqa: ASYNC110 - what threads do sets no event of the loop
            await anyio.sleep(0.005)


class Stand:
    """A ledger with hooks, and what it has said."""

    def __init__(self, *kinds: type[StateHook], **more: Any) -> None:
        self.said: list[str] = []
        self.moves: list[Move[Any]] = []
        self.ledger = Ledger(
            RunState(HEADER),
            scrubber=Scrubber(more.pop("secrets", ())),
            warn=self.said.append,
            on_move=self.moves.append,
            **more,
        )
        self.kinds = kinds

    async def begin(self, **config: Any) -> Ledger:
        loop = asyncio.get_running_loop()

        def call(act: Callable[[], Awaitable[int]]) -> Any:
            async def do() -> int:
                return await act()

            return asyncio.run_coroutine_threadsafe(do(), loop)

        self.ledger.hooks = Hooks(
            [
                Listener(
                    kind.__name__,
                    kind,
                    LedgerAccess(self.ledger, kind.__name__, call),
                    self.said.append,
                )
                for kind in self.kinds
            ]
        )
        await self.ledger.initialize(config)
        return self.ledger

    def hook(self, number: int = 0) -> Listener:
        return self.ledger.hooks.listeners[number]


async def test_facts_become_nodes_in_their_order() -> None:
    stand = Stand()
    stand.ledger.note(Fact("start_data", S.EXECUTING, "start", given={"pipe": "data"}, at=10.0))
    stand.ledger.note(Fact("start_data", S.SUCCEEDED, "ready", made={"ok": True}, at=10.5))
    ledger = await stand.begin()
    await ledger.settle()
    node = ledger.state.nodes["start_data"]
    assert node == NodeState(
        "start_data_01H3XYZ9", S.SUCCEEDED, {"pipe": "data"}, {"ok": True}, None, 0, 0.5
    )
    assert [(m.machine, m.event) for m in stand.moves if m.machine == "node"] == [
        ("node", "begin"),
        ("node", "succeed"),
    ]
    told = {move.event for move in stand.moves if move.machine == "run"}
    assert told == {"initialized", "commit", "committed"}


async def test_a_failure_keeps_its_error_until_a_success() -> None:
    stand = Stand()
    ledger = await stand.begin()
    for fact in (
        Fact("connect_data", S.EXECUTING, "session_lost", at=1.0),
        Fact("connect_data", S.RETRYING, "failed", error="nobody is there", at=3.0),
        Fact("connect_data", S.RETRYING, "failed", error="still nobody", at=4.0),
    ):
        ledger.note(fact)
    await ledger.settle()
    node = ledger.state.nodes["connect_data"]
    assert (node.status, node.retry_count) == (S.RETRYING, 2)
    assert node.error == {"message": "still nobody", "event": "failed"}
    assert ledger.state.attempts["connect_data"] == 2
    ledger.note(Fact("connect_data", S.SUCCEEDED, "session_opened", at=5.0))
    await ledger.settle()
    assert ledger.state.nodes["connect_data"].error is None
    assert ledger.state.nodes["connect_data"].retry_count == 2


async def test_secrets_are_taken_out_of_whatever_comes_in() -> None:
    stand = Stand(secrets=["fst_id_s3cret"])
    ledger = await stand.begin()
    ledger.note(Fact("connect_data", S.EXECUTING, "x", given={"key": ["fst_id_s3cret"]}))
    ledger.note(Fact("connect_data", S.FAILED, "x", error="no: fst_id_s3cret is not known"))
    await ledger.settle()
    wish = ledger.begin("hook")
    wish.set("context.artifacts.key", "fst_id_s3cret")
    await ledger.propose(wish)
    assert "s3cret" not in repr(ledger.state)


async def test_what_is_too_large_of_a_fact_is_left_out() -> None:
    stand = Stand()
    ledger = await stand.begin()
    ledger.note(Fact("scan_x", S.EXECUTING, "x", given={"huge": "x" * 20_000}))
    await ledger.settle()
    assert ledger.state.nodes["scan_x"].status is S.EXECUTING
    assert ledger.state.nodes["scan_x"].input_payload is None
    assert any("nodes.scan_x.input_payload" in said for said in stand.said)


async def test_a_large_node_is_told_once() -> None:
    stand = Stand()
    ledger = await stand.begin()
    for status in (S.EXECUTING, S.SUCCEEDED):
        ledger.note(Fact("scan_x", status, "x", given={"text": "x" * 13_000}))
    await ledger.settle()
    (said,) = stand.said
    assert "scan_x" in said


async def test_jobs_that_are_over_are_forgotten_in_the_end() -> None:
    stand = Stand()
    gone: list[str] = []
    ledger = await stand.begin()
    ledger.on_forget.append(gone.append)
    for number in range(OVER_KEPT + 3):
        ledger.note(Fact(f"scan_{number}", S.EXECUTING, "x", passing=True))
        ledger.note(Fact(f"scan_{number}", S.SUCCEEDED, "x", passing=True))
    await ledger.settle()
    assert len(ledger.state.nodes) == OVER_KEPT
    assert gone == ["scan_0", "scan_1", "scan_2"]


async def test_of_two_proposals_on_one_state_the_second_learns_who_was_faster() -> None:
    ledger = await Stand().begin()
    first, second = ledger.begin("one"), ledger.begin("two")
    for number, wish in enumerate((first, second)):
        wish.set("context.artifacts.report", f"/tmp/{number}")
    await ledger.propose(first)
    with pytest.raises(StateConflict) as conflict:
        await ledger.propose(second)
    assert (conflict.value.mine, conflict.value.theirs) == ("two", "one")
    assert ledger.state.context.artifacts == {"report": "/tmp/0"}


class Strict(StateHook):
    """Wants no artifacts that are not below /tmp; and no facts at all, in vain."""

    def pre_state_mutation(self, mutation: Mutation) -> str | None:
        if mutation.fact:
            return "no facts"
        values = [str(value) for value in mutation.changes.values()]
        return None if all(v.startswith("/tmp/") for v in values) else "only below /tmp"


async def test_a_hook_vetoes_what_somebody_wants_and_no_fact() -> None:
    ledger = await Stand(Strict).begin()
    wish = ledger.begin("other")
    wish.set("context.artifacts.x", "/etc/passwd")
    with pytest.raises(Vetoed, match="Strict does not want this: only below /tmp"):
        await ledger.propose(wish)
    with pytest.raises(Vetoed):
        await ledger.allowed("scan", {"path": "/data"})
    wish = ledger.begin("other")
    wish.set("context.artifacts.x", "/tmp/x")
    await ledger.propose(wish)
    ledger.note(Fact("start_data", S.EXECUTING, "start"))
    await ledger.settle()
    assert ledger.state.nodes["start_data"].status is S.EXECUTING
    assert ledger.state.context.artifacts == {"x": "/tmp/x"}


class Counting(StateHook):
    """Says in an artifact how often it was called."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str]] = []

    def post_node_execute(
        self, node_id: str, previous_state: NodeState, current_state: NodeState
    ) -> None:
        self.seen.append((node_id, str(previous_state.status), str(current_state.status)))
        change = self.state.begin()
        change.set("context.artifacts.seen", ", ".join(map("→".join, (s[1:] for s in self.seen))))
        change.commit()

    def pre_state_mutation(self, mutation: Mutation) -> str | None:
        return None


async def test_a_hook_writes_from_its_own_thread() -> None:
    stand = Stand(Counting)
    ledger = await stand.begin()
    ledger.note(Fact("start_data", S.EXECUTING, "start"))
    ledger.note(Fact("start_data", S.SUCCEEDED, "ready"))
    await ledger.settle()
    expected = "pending→executing, executing→succeeded"
    await until(lambda: ledger.state.context.artifacts.get("seen") == expected)
    assert stand.said == []


class Broken(StateHook):
    """Raises whatever it is told."""

    def post_node_execute(self, *_: Any) -> None:
        raise ValueError("no idea")


class Witness(StateHook):
    """Works as it should, beside others that do not."""

    calls: ClassVar[list[str]] = []

    def post_node_execute(self, node_id: str, *_: Any) -> None:
        self.calls.append(node_id)


async def test_three_strikes_and_a_hook_is_off_and_the_others_go_on() -> None:
    Witness.calls = []
    stand = Stand(Broken, Witness)
    ledger = await stand.begin()
    for number in range(2 * STRIKES):
        ledger.note(Fact(f"start_{number}", S.EXECUTING, "start"))
    await ledger.settle()
    await until(lambda: len(Witness.calls) == 2 * STRIKES and stand.hook().off)
    assert len(stand.said) == STRIKES
    assert all("ValueError: no idea" in said for said in stand.said)
    assert "switched off" in stand.said[-1]
    assert not stand.hook(1).off


class Hanging(StateHook):
    """Never answers."""

    forever = threading.Event()

    def pre_state_mutation(self, mutation: Mutation) -> str | None:
        self.forever.wait()
        return None


@pytest.mark.long
async def test_a_hook_that_hangs_blocks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Hanging, "forever", threading.Event())
    stand = Stand(Hanging)
    ledger = await stand.begin()
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await anyio.sleep(0.001)
            turns += 1

    async with anyio.create_task_group() as group:
        group.start_soon(turn)
        for number in range(5):
            ledger.note(Fact(f"start_{number}", S.EXECUTING, "start"))
        with anyio.fail_after(LIMIT_S):
            await ledger.settle()
        group.cancel_scope.cancel()
    Hanging.forever.set()
    assert turns > 20, "the loop went on all the time"
    assert len(ledger.state.nodes) == 5
    assert stand.hook().off
    assert "has not returned within" in stand.said[0]


class Unborn(StateHook):
    """Cannot even be made."""

    def __init__(self) -> None:
        raise RuntimeError("no such database")

    def post_node_execute(self, *_: Any) -> None:
        raise AssertionError


async def test_a_hook_that_cannot_be_made_is_reported() -> None:
    stand = Stand(Unborn)
    await stand.begin()
    await until(lambda: stand.hook().off)
    assert "no such database" in stand.said[0]


class Life(StateHook):
    """Notes the beginning and the end."""

    told: ClassVar[list[Any]] = []

    def pre_state_initialize(self, config: Any, context: Any) -> None:
        self.told.append(("begins", config, context.active_plugins))

    def post_state_finalize(self, report: Any) -> None:
        self.told.append(("ends", report["nodes"]))


async def test_the_four_phases_of_a_run() -> None:
    Life.told = []
    stand = Stand(Life)
    ledger = await stand.begin(**{"views.data.driver": "file"})
    assert Life.told == [("begins", {"views.data.driver": "file"}, ())]
    ledger.note(Fact("start_data", S.EXECUTING, "start"))
    report = await ledger.finalize(LIMIT_S)
    assert Life.told[1] == ("ends", {"executing": 1})
    assert report["attempts"] == 1
    assert [mark["phase"] for mark in ledger.phases] == [
        "initialization",
        "execution",
        "finalization",
    ]
    ledger.note(Fact("start_data", S.SUCCEEDED, "ready"))
    await ledger.settle()
    assert ledger.state.nodes["start_data"].status is S.EXECUTING, "nothing changes any more"
    wish = ledger.begin("late")
    wish.set("context.artifacts.x", "/x")
    with pytest.raises(MutationError, match="the run is over"):
        await ledger.propose(wish)


class Vandal(StateHook):
    """Changes what it was given."""

    def post_node_execute(self, node_id: str, previous_state: Any, current_state: Any) -> None:
        current_state.input_payload["pipe"] = "other"
        Witness.calls.append(node_id)


async def test_what_a_hook_is_given_is_a_copy() -> None:
    Witness.calls = []
    stand = Stand(Vandal)
    ledger = await stand.begin()
    ledger.note(Fact("start_data", S.EXECUTING, "start", given={"pipe": "data"}))
    await ledger.settle()
    await until(lambda: bool(Witness.calls))
    assert ledger.state.nodes["start_data"].input_payload == {"pipe": "data"}


async def test_several_writers_in_threads_lose_nothing() -> None:
    """Each tries again after a conflict; in the end every step of everyone is there."""
    stand = Stand()
    ledger = await stand.begin()
    loop = asyncio.get_running_loop()

    def work(name: str) -> None:
        for _ in range(20):
            while True:
                wish = ledger.begin(name)
                count = int(ledger.state.context.artifacts.get("count", "0"))
                if wish.base is not ledger.state:
                    continue
                wish.set("context.artifacts.count", str(count + 1))
                done = asyncio.run_coroutine_threadsafe(ledger.propose(wish), loop)
                try:
                    done.result(LIMIT_S)
                except StateConflict:
                    continue
                break

    async with anyio.create_task_group() as group:
        for name in ("one", "two", "three"):
            group.start_soon(anyio.to_thread.run_sync, partial(work, name))
    assert ledger.state.context.artifacts["count"] == "60"
