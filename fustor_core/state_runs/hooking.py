"""Hooks at work: each in a thread of its own, so that none can block anybody but itself."""

from __future__ import annotations

import asyncio
import logging
import queue
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import anyio
import msgspec

from fustor_core.engine import sentence, tried
from fustor_core.state_runs.hook import StateAccess, StateHook
from fustor_core.state_runs.records import Commit, ExecutionContext, Mutation

STRIKES = 3
ANSWER_S = 1.0
"""A question waits for its answer so long."""
WAITING_MOST = 1000
"""News that a hook has not been told yet; the oldest go."""
LOGGERS = "fustor.hooks"

Reply = Callable[[Any], None]


class Listener:
    """One hook and its thread.

    Args:
        name: for people, and of its logger. kind: its class; made in its thread.
        access: what it gets as `state`. report: told a sentence, in any thread.

    Attributes:
        away: it waits for a change of its own, and answers nothing until that is over.
    """

    def __init__(
        self,
        name: str,
        kind: type[StateHook],
        access: StateAccess,
        report: Callable[[str], None],
    ) -> None:
        self.name = name
        self.strikes = self.missed = 0
        self.away = False
        self._kind, self._access, self._report = kind, access, report
        self._asked: set[asyncio.Event] = set()
        self._hook: StateHook | None = None
        self._calls: queue.Queue[tuple[str, tuple[Any, ...], Reply | None]] = queue.Queue()
        threading.Thread(target=self._run, name=f"fustor-hook-{name}", daemon=True).start()

    def __repr__(self) -> str:
        return f"<Listener {self.name} {'off' if self.off else 'on'}, {self.strikes} strikes>"

    @property
    def off(self) -> bool:
        """Whether it has failed too often."""
        return self.strikes >= STRIKES

    def wants(self, event: str) -> bool:
        """Whether it has anything to say there."""
        own = getattr(self._kind, event) is not getattr(StateHook, event)
        return own and not self.off

    def go(self) -> None:
        """It waits for a change of its own: whoever waits for it need not."""
        self.away = True
        for over in self._asked:
            over.set()

    def tell(self, event: str, *arguments: Any) -> None:
        """Call it some time; what it cannot keep up with it misses."""
        if not self.wants(event):
            return
        if self._calls.qsize() >= WAITING_MOST:
            with suppress(queue.Empty):
                self._calls.get_nowait()
            self.missed += 1
            if self.missed == 1:
                self._report(f"hook {self.name} is too slow: it misses news")
        self._calls.put((event, arguments, None))

    async def ask(self, event: str, *arguments: Any, limit_s: float = ANSWER_S) -> Any:
        """Call it and wait for its answer; None when there is none in time."""
        if self.away or not self.wants(event):
            return None
        return await self._call(event, arguments, limit_s)

    async def end(self, report: Mapping[str, Any], limit_s: float) -> None:
        """Its last call: whatever it was told before is through with then, too."""
        if not self.off:
            await self._call("post_state_finalize", (report,), limit_s)

    async def _call(self, event: str, arguments: tuple[Any, ...], limit_s: float) -> Any:
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        answers: list[Any] = []

        def reply(answer: Any) -> None:
            answers.append(answer)
            with suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(over.set)

        self._asked.add(over)
        try:
            self._calls.put((event, arguments, reply))
            with anyio.move_on_after(limit_s):
                await over.wait()
                return answers[0] if answers else None
        finally:
            self._asked.discard(over)
        self._strike(f"{event} has not returned within {limit_s:g} s")
        return None

    def _run(self) -> None:
        made = tried(self._kind)
        if isinstance(made, Exception):
            self.strikes = STRIKES
            self._report(f"hook {self.name} cannot be made and is off: {sentence(made)}")
        else:
            made.logger = _logger(self.name)
            made.state = self._access
            self._hook = made
        while True:
            event, arguments, reply = self._calls.get()
            answer = None
            if not self.off and self._hook is not None:
                answer = tried(partial(getattr(self._hook, event), *arguments))
                if isinstance(answer, Exception):
                    self._strike(f"{event} has raised {sentence(answer)}")
                    answer = None
            if reply is not None:
                reply(answer)

    def _strike(self, what: str) -> None:
        self.strikes += 1
        off = "; it is switched off" if self.off else ""
        self._report(f"hook {self.name}: {what} ({self.strikes} of {STRIKES}){off}")


class Hooks:
    """All hooks of a run.

    Args:
        listeners: one a hook.
    """

    def __init__(self, listeners: Sequence[Listener] = ()) -> None:
        self.listeners = listeners

    def __repr__(self) -> str:
        return f"<Hooks {' '.join(one.name for one in self.listeners)}>"

    @contextmanager
    def away(self, name: str) -> Iterator[None]:
        """A hook of this name waits for a change of its own."""
        waiting = [one for one in self.listeners if one.name == name]
        for one in waiting:
            one.go()
        try:
            yield
        finally:
            for one in waiting:
                one.away = False

    async def begin(self, config: Mapping[str, Any], context: ExecutionContext) -> None:
        """A run is about to begin."""
        for one in self.listeners:
            await one.ask("pre_state_initialize", dict(config), _own(context))

    async def before(self, mutation: Mutation) -> tuple[str, str] | None:
        """A change is about to be made.

        Returns:
            Name of a hook that does not want it, and why. The writer itself is not asked.
        """
        for one in self.listeners:
            if one.name == mutation.writer:
                continue
            answer = await one.ask("pre_state_mutation", _own(mutation))
            if isinstance(answer, str) and not mutation.fact:
                return one.name, answer
        return None

    def after(self, commit: Commit) -> None:
        """A change was made."""
        for name in commit.nodes:
            node = commit.state.nodes[name]
            before = commit.before.nodes.get(name)
            if before is None:
                continue  # it is there, and nothing was executed
            for one in self.listeners:
                one.tell("post_node_execute", node.node_id, _own(before), _own(node))

    async def end(self, report: Mapping[str, Any], limit_s: float) -> None:
        """The run is over; each is waited for."""
        async with anyio.create_task_group() as group:
            for one in self.listeners:
                group.start_soon(one.end, dict(report), limit_s)


def _own(value: Any) -> Any:
    """A copy that a hook may do with what it likes."""
    if isinstance(value, Mutation):
        changes = msgspec.json.decode(msgspec.json.encode(value.changes))
        return Mutation(value.writer, value.fact, changes)
    return msgspec.json.decode(msgspec.json.encode(value), type=type(value))


def _logger(name: str) -> logging.Logger:
    """The logger of a hook; without any log it writes to stderr."""
    top = logging.getLogger(LOGGERS)
    if not top.hasHandlers():
        lines = logging.StreamHandler(sys.stderr)
        lines.setFormatter(logging.Formatter("%(name)s: %(message)s"))
        top.addHandler(lines)
        if top.getEffectiveLevel() > logging.INFO:
            top.setLevel(logging.INFO)
    return logging.getLogger(f"{LOGGERS}.{name}")
