"""The state of a run, as a hook reaches it from its own thread."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Awaitable, Callable
from typing import Any

from fustor_core.errors import MutationError
from fustor_core.state_runs.ledger import Ledger
from fustor_core.state_runs.records import Field, RunState
from fustor_core.state_runs.transactions import Transaction

PROPOSAL_S = 10.0

Call = Callable[[Callable[[], Awaitable[int]]], "concurrent.futures.Future[int]"]


class LedgerAccess:
    """The state, as one hook reaches it from its thread.

    Args:
        ledger: of the run. writer: name of the hook.
        call: has a coroutine function run on the loop, from any thread.
    """

    def __init__(
        self,
        ledger: Ledger,
        writer: str,
        call: Call,
    ) -> None:
        self._ledger, self._writer, self._call = ledger, writer, call

    @property
    def now(self) -> RunState:
        """The state as it is."""
        return self._ledger.state

    def begin(self) -> HookChange:
        """Begin a change on the state as it is now."""
        return HookChange(self._ledger, self._ledger.begin(self._writer), self._call)


class HookChange:
    """A change that a hook makes; see `hook.Change`."""

    def __init__(
        self,
        ledger: Ledger,
        wish: Transaction,
        call: Call,
    ) -> None:
        self._ledger, self._wish, self._call = ledger, wish, call

    def set(self, field: str | Field, value: Any) -> None:
        """Set a field."""
        self._wish.set(field, value)

    def commit(self) -> int:
        """Make the change; waits for it."""
        waiting = self._call(lambda: self._ledger.propose(self._wish))
        try:
            return waiting.result(PROPOSAL_S)
        except TimeoutError as error:
            raise MutationError(f"no answer within {PROPOSAL_S:g} s") from error
