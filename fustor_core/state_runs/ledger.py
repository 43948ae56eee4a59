"""The state of this run: facts come in and are committed, hooks are asked and told, files written.

Theory of operation. What has happened is put into a queue by whoever saw it (`note`), which takes
no time. One task takes it out again (`live`): hooks hear of it, it is committed, hooks and the
chronicle hear what was. What plugins and people want comes by `propose`, is asked of all hooks, and
is made at once or raises. So there is one writer, and everything has one order.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.lowlevel

from fustor_core.errors import MutationError, StateTooLarge, Vetoed
from fustor_core.machine import Move
from fustor_core.state_runs.context import Scrubber
from fustor_core.state_runs.hooking import Hooks
from fustor_core.state_runs.projection import path
from fustor_core.state_runs.records import (
    Commit,
    Mutation,
    NodeState,
    RunState,
    dotted,
)
from fustor_core.state_runs.transactions import ENGINE, Transaction, Versions, event_between
from fustor_core.states.node import NodeStatus
from fustor_core.states.run import RUN, RunPhase

S = NodeStatus
OVER_KEPT = 200
"""Nodes of jobs that are over and still shown."""


@dataclass(slots=True)
class Fact:
    """What has happened to a node.

    Attributes:
        node: its name. status: what it became. event: why. at: seconds since 1970.
        given: what an attempt begins with. made: what came of it. error: what went wrong.
        passing: a node that does not come back; it is forgotten some time after it is over.
    """

    node: str
    status: NodeStatus
    event: str
    given: Mapping[str, Any] | None = None
    made: Mapping[str, Any] | None = None
    error: str | None = None
    passing: bool = False
    at: float = field(default_factory=time.time)


class Ledger:
    """The state of one run.

    Args:
        state: at the beginning.
        scrubber: takes secrets out of what comes in.
        keeps: whether values that are too large for a node are kept elsewhere; else refused.
        warn: told sentences. on_move: told of transitions of the run and its nodes.

    Attributes:
        phase: of the run.
        on_commit: told of each change, in order; and of contents that were moved out of it.
    """

    def __init__(
        self,
        state: RunState,
        *,
        scrubber: Scrubber,
        keeps: bool = False,
        warn: Callable[[str], None] = lambda text: None,
        on_move: Callable[[Move[Any]], None] = lambda move: None,
    ) -> None:
        self.hooks = Hooks()
        self.phase = RUN.initial
        self.phases: list[dict[str, Any]] = []
        self.on_commit: list[Callable[[Commit, Mapping[str, bytes]], None]] = []
        self.on_forget: list[Callable[[str], None]] = []
        self._versions = Versions(state, keeps=keeps)
        self._scrubber, self._warn, self._on_move = scrubber, warn, on_move
        self._facts: deque[Fact] = deque()
        self._news = anyio.Event()
        self._turn = anyio.Lock()
        self._began: dict[str, float] = {}
        self._over: deque[str] = deque()
        self._told_large: set[str] = set()
        self._mark()

    def __repr__(self) -> str:
        return f"<Ledger {self.phase} {self._versions!r}, {len(self._facts)} facts waiting>"

    @property
    def state(self) -> RunState:
        """The state now."""
        return self._versions.state

    # ---- coming in

    def note(self, fact: Fact) -> None:
        """Something has happened; takes no time."""
        if self.phase is not RunPhase.FINALIZATION:
            self._facts.append(fact)
            self._news.set()

    def begin(self, writer: str) -> Transaction:
        """A change on the state as it is now, for `propose`."""
        return self._versions.begin(writer)

    async def propose(self, wish: Transaction) -> int:
        """Make a change that somebody wants.

        Returns:
            The version of the state with it.

        Raises:
            Vetoed: a hook does not want it. MutationError: it cannot be made.
        """
        with self.hooks.away(wish.writer):
            async with self._turn:
                if self.phase is not RunPhase.EXECUTION:
                    raise MutationError("the run is over, its state does not change any more")
                clean = self._scrubber.clean
                wish.changes = {path: clean(value) for path, value in wish.changes.items()}
                await self._ask(wish, fact=False)
                return self._commit(wish, time.time())

    async def allowed(self, what: str, arguments: Mapping[str, Any]) -> None:
        """Ask hooks whether a person may have something done.

        Args:
            what: is wanted, as ``scan``. arguments: of it.

        Raises:
            Vetoed: a hook does not want it.
        """
        wanted = {f"{what}.{key}": self._scrubber.clean(value) for key, value in arguments.items()}
        against = await self.hooks.before(Mutation("person", False, wanted))
        if against is not None:
            raise Vetoed(*against)

    # ---- life

    async def initialize(self, config: Mapping[str, Any]) -> None:
        """The first phase is over when all hooks have heard of it.

        Args:
            config: as hooks are told of it.
        """
        await self.hooks.begin(config, self.state.context)
        self._step("initialized")

    async def live(self) -> None:
        """Commit what comes in, until cancelled."""
        while True:
            await self._news.wait()
            self._news = anyio.Event()
            await self.settle()

    async def settle(self) -> None:
        """Commit all that has come in so far."""
        while self._facts:
            async with self._turn:
                if self._facts:
                    await self._take(self._facts.popleft())
            await anyio.lowlevel.checkpoint()

    async def finalize(self, limit_s: float) -> dict[str, Any]:
        """The run is over: nothing changes any more.

        Args:
            limit_s: hooks may take so long to hear of it.

        Returns:
            The report.
        """
        await self.settle()
        async with self._turn:
            self._step("finalize")
        report = self.report()
        await self.hooks.end(report, limit_s)
        return report

    async def continue_as(self, follow: Callable[[RunState], Awaitable[RunState]]) -> None:
        """Go on with another header; nothing is committed meanwhile.

        Args:
            follow: gives the state with it.
        """
        async with self._turn:
            self._versions.state = await follow(self._versions.state)

    def report(self) -> dict[str, Any]:
        """What there is to say of the run as a whole."""
        nodes = self.state.nodes.values()
        counts = {str(status): sum(node.status is status for node in nodes) for status in S}
        now = time.time()
        return {
            "ended": now,
            "seconds": round(now - self.state.header.start_timestamp, 3),
            "nodes": {status: count for status, count in counts.items() if count},
            "attempts": sum(self.state.attempts.values()),
            "retries": sum(node.retry_count for node in nodes),
            "failed": sorted(
                name for name, node in self.state.nodes.items() if node.status is S.FAILED
            ),
            "changes": self.state.version,
        }

    # ---- committing

    async def _take(self, fact: Fact) -> None:
        node = self.state.nodes.get(fact.node)
        now = None if node is None else node.status
        for status in path(now, fact.status, fact.event):
            wish, node = self.begin(ENGINE), self.state.nodes.get(fact.node)
            for key, value in self._fields(fact, status).items():
                if node is None or getattr(node, key) != value:
                    wish.set(("nodes", fact.node, key), value)
            await self._ask(wish, fact=True)
            self._commit_fact(wish, fact)
        if fact.passing and fact.status in (S.SUCCEEDED, S.FAILED):
            self._over.append(fact.node)
            while len(self._over) > OVER_KEPT:
                self._forget(self._over.popleft())

    def _fields(self, fact: Fact, status: NodeStatus) -> dict[str, Any]:
        """The fields of a node that change with its status."""
        node = self.state.nodes.get(fact.node)
        fields: dict[str, Any] = {"status": status}
        if node is None:
            fields["node_id"] = f"{fact.node}_{self.state.header.id[-8:]}"
        if status is S.PENDING:
            blank = NodeState("")
            for key in ("output_payload", "error", "retry_count", "execution_time"):
                fields[key] = getattr(blank, key)
        if fact.given is not None and status in (S.PENDING, S.EXECUTING):
            fields["input_payload"] = self._scrubber.clean(fact.given)
        if status is S.EXECUTING:
            self._began[fact.node] = fact.at
            return fields
        if status is S.PENDING:
            return fields
        began = self._began.get(fact.node, fact.at)
        fields["execution_time"] = round(max(0.0, fact.at - began), 6)
        if fact.made is not None:
            fields["output_payload"] = self._scrubber.clean(fact.made)
        if status is S.SUCCEEDED:
            fields["error"] = None
        elif fact.error is not None or node is None or node.error is None:
            message = self._scrubber.text(fact.error or fact.event)
            fields["error"] = {"message": message[:2000], "event": fact.event}
        if status is S.RETRYING:
            fields["retry_count"] = (node.retry_count if node else 0) + 1
        return fields

    def _commit_fact(self, wish: Transaction, fact: Fact) -> None:
        """What has happened cannot be refused: what is too large of it is left out."""
        try:
            self._commit(wish, fact.at)
        except StateTooLarge as error:
            self._warn(f"left out of the state: {error.message}")
            for payload in ("input_payload", "output_payload"):
                if ("nodes", fact.node, payload) in wish.changes:
                    wish.changes["nodes", fact.node, payload] = None
            self._commit(wish, fact.at)

    async def _ask(self, wish: Transaction, *, fact: bool) -> None:
        if not self.hooks.listeners:
            return
        changes = {dotted(path): value for path, value in wish.changes.items()}
        against = await self.hooks.before(Mutation(wish.writer, fact, changes))
        if against is not None:
            raise Vetoed(*against)

    def _commit(self, wish: Transaction, at: float) -> int:
        self._step("commit", marked=False)
        try:
            commit, moved = self._versions.commit(wish, at)
        finally:
            self._step("committed", marked=False)
        self._tell(commit, moved)
        return commit.version

    def _tell(self, commit: Commit, moved: Mapping[str, bytes]) -> None:
        for name in commit.nodes:
            before, node = commit.before.nodes.get(name), commit.state.nodes[name]
            if before is not None and before.status is not node.status:
                event = event_between(before.status, node.status)
                self._on_move(Move("node", name, event, before.status, node.status))
        for listen in self.on_commit:
            listen(commit, moved)
        self.hooks.after(commit)
        for name, size in self._versions.large.items():
            if name not in self._told_large:
                self._told_large.add(name)
                self._warn(f"the state of node {name} is large: {size} bytes of at most 16384")

    def _forget(self, name: str) -> None:
        self._versions.forget(name)
        self._began.pop(name, None)
        self._told_large.discard(name)
        for listen in self.on_forget:
            listen(name)

    def _step(self, event: str, *, marked: bool = True) -> None:
        old = self.phase
        self.phase = RUN.next(old, event)
        self._on_move(Move("run", self.state.header.id, event, old, self.phase))
        if marked:
            self._mark()

    def _mark(self) -> None:
        self.phases.append({"phase": str(self.phase), "at": time.time()})
