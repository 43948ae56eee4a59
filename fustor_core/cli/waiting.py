"""Waiting for a state of a place: told by the server's stream of changes, never by polling.

The server is asked once, then again when something that matters has changed, or when the quiet
time that was still missing has run out; in between the process sleeps in one read. Doubts that
may end without a change (a look that settles a dispute) are asked about again after a pause that
doubles up to `PAUSE_S_MAX`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fustor_core.cli.call import address
from fustor_core.cli.names import below, parent, raw
from fustor_core.cli.paths import Place
from fustor_core.client import Client, TimedOut, path_params
from fustor_core.errors import CursorTooOld, SlowDown, Unreachable
from fustor_core.problems import Problem

LOST_S_MAX = 30.0  # a server that is away for longer is not waited for
PAUSE_S = 5.0
PAUSE_S_MAX = 60.0
PAUSE_S_MIN = 0.05
FLAGS_S = 1.0  # at most one new question in this time because of flags alone
RETRY_S = (0.1, 0.2, 0.5, 1.0)
NOT_THERE = ("absent", "unknown-path")


@dataclass(frozen=True, slots=True)
class Goal:
    """What is waited for.

    Args:
        kind: ``stable``, ``exists`` or ``gone``.
        stable_for_s: how long nothing may have changed.
    """

    kind: str
    stable_for_s: float = 30.0


@dataclass(frozen=True, slots=True)
class End:
    """How a wait ended: reached or out of time, and the last answer."""

    reached: bool
    document: dict[str, Any]


def reached(goal: Goal, answer: Mapping[str, Any]) -> bool:
    """Whether an answer is what was waited for."""
    if goal.kind == "stable":
        return answer.get("stable") is True
    return answer.get("existence") == ("present" if goal.kind == "exists" else "absent")


def pause_s(goal: Goal, answer: Mapping[str, Any], repeats: int) -> float:
    """How long an answer stands as long as nothing changes.

    Args:
        answer: a ``stable`` document, or ``stat``'s.
        repeats: how many answers in a row came without a change in between.
    """
    if goal.kind == "stable" and answer.get("reasons"):
        missing_s = goal.stable_for_s - float(answer.get("quiet_for_s") or 0.0)
        if {reason.get("kind") for reason in answer["reasons"]} == {"recent_change"}:
            if missing_s > PAUSE_S_MIN:
                return missing_s
            return min(PAUSE_S_MIN * 2.0**repeats, PAUSE_S_MAX)
    elif answer.get("existence") in ("present", "absent"):
        return PAUSE_S_MAX  # proven: only a change ends it
    return min(PAUSE_S * 2.0**repeats, PAUSE_S_MAX)


def matters(change: Mapping[str, Any], path: bytes) -> bool:
    """Whether a change can make a place come, go, or be another one."""
    if change.get("kind") == "resync":
        return True
    return any(below(path, name) for name in touched(change))


def touched(change: Mapping[str, Any]) -> list[bytes]:
    """The view paths that a change is about: one, or both ends of a move."""
    return [name for name in (raw(change), raw(change, "from_path")) if name]


def wait_for(
    client: Client,
    place: Place,
    goal: Goal,
    *,
    timeout_s: float | None = None,
    lost_s_max: float = LOST_S_MAX,
) -> End:
    """Waits until the goal is reached or the time is over.

    Args:
        timeout_s: of the whole wait; None: no limit.
        lost_s_max: how long the server may be away; not there at the start is not waited for.

    Raises:
        Unreachable: the server was away for longer.
    """
    until = None if timeout_s is None else time.monotonic() + timeout_s
    wait = _Wait(client, place, goal, until)
    lost = Lost(lost_s_max)
    while True:
        try:
            if wait.look():
                return End(True, wait.answer)
            lost.found()
            if not wait.over():
                wait.sleep()
        except CursorTooOld:
            wait.forget_cursor()
        except (Unreachable, SlowDown) as error:
            lost.retry(error, until)
        if wait.over():
            return End(False, wait.answer)


class Lost:
    """How long a server has been away, and whether that is too long.

    Args:
        limit_s: raise after this time.
        known: it is waited for though it has never answered.
    """

    def __init__(self, limit_s: float, *, known: bool = False) -> None:
        self._limit_s = limit_s
        self._since: float | None = None
        self._tries = 0
        self._known = known

    def found(self) -> None:
        """It has answered."""
        self._since, self._tries, self._known = None, 0, True

    def retry(self, error: Unreachable | SlowDown, until: float | None = None) -> bool:
        """Waits a moment before the next try.

        Args:
            until: monotonic time after which there is no next try.

        Returns:
            Whether this was the first try since it was lost.

        Raises:
            Unreachable: it was never there, or has been away for too long.
        """
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        if now - self._since >= self._limit_s or not (self._known or isinstance(error, TimedOut)):
            raise error
        pause = RETRY_S[min(self._tries, len(RETRY_S) - 1)]
        self._tries += 1
        time.sleep(pause if until is None else max(0.0, min(pause, until - now)))
        return self._tries == 1


class _Wait:
    """One wait: what was answered last, and from where the changes are followed."""

    def __init__(self, client: Client, place: Place, goal: Goal, until: float | None) -> None:
        self._client = client
        self._place = place
        self._goal = goal
        self._until = until
        self._scope = place.path
        self._cursor: str | None = None
        self._repeats = 0
        self._asked_at = 0.0
        self._wake_at = 0.0
        self.answer: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"<_Wait for {self._goal.kind} of {self._place} at {self._cursor}>"

    def over(self) -> bool:
        """Whether the time is over."""
        return self._until is not None and time.monotonic() >= self._until

    def forget_cursor(self) -> None:
        """The next look begins a new stream."""
        self._cursor = None

    def look(self) -> bool:
        """Asks once; the cursor is taken before, so that no change falls between."""
        if self._cursor is None or self._scope != self._place.path:
            self._find_scope()
        self.answer = self._ask()
        if self._scope == self._place.path and self.answer.get("existence") == "absent":
            self._find_scope()
            self.answer = self._ask()
        self._asked_at = time.monotonic()
        self._wake_at = self._asked_at + pause_s(self._goal, self.answer, self._repeats)
        self._repeats += 1
        return reached(self._goal, self.answer)

    def sleep(self) -> None:
        """Until something changed that matters, or the answer may have changed by itself."""
        while (left_s := self._left_s()) > 0:
            self._follow(left_s)

    def _left_s(self) -> float:
        end = self._wake_at if self._until is None else min(self._wake_at, self._until)
        return end - time.monotonic()

    def _follow(self, silence_s: float) -> None:
        """Reads the stream until it is time to ask, or to read it with a shorter patience.

        The server's heartbeats begin the patience of a read anew; without the second, half a wait
        could be slept too long.
        """
        params = {**path_params(self._scope), "follow": True, "since": self._cursor}
        where = address(self._place.view, "changes")
        try:
            with self._client.stream(where, params, silence_s=silence_s) as batches:
                for lines in batches:
                    for line in lines:
                        self._take(json.loads(line))
                    if self._left_s() < silence_s / 2:
                        return
        except TimedOut:
            return
        raise Unreachable("the server ended the stream", remedy="is it still running?")

    def _take(self, change: Mapping[str, Any]) -> None:
        """Moves the time of the next question as a change demands."""
        self._cursor = change.get("cursor") or self._cursor
        kind = change.get("kind")
        if kind is None:
            return
        now = time.monotonic()
        if matters(change, self._place.path):
            self._repeats, self._wake_at = 0, now
        elif self._goal.kind == "stable" and self._within(change):
            self._repeats = 0
            if kind == "flagged":
                soon = max(now, self._asked_at + FLAGS_S)
                self._wake_at = min(self._wake_at, soon)
            else:
                self._wake_at = now + self._goal.stable_for_s

    def _within(self, change: Mapping[str, Any]) -> bool:
        return any(below(name, self._place.path) for name in touched(change))

    def _ask(self) -> dict[str, Any]:
        """The ``stable`` document, or ``stat``'s for another goal or a place that is not there."""
        named = path_params(self._place.path)
        if self._goal.kind == "stable":
            try:
                asked = {**named, "for": self._goal.stable_for_s}
                return self._client.get(address(self._place.view, "stable"), asked)
            except Problem as problem:
                if problem.slug not in NOT_THERE:
                    raise
        return self._client.get(address(self._place.view, "stat"), named)

    def _find_scope(self) -> None:
        """Takes a cursor at the place, or at the nearest directory above that is there."""
        scope = self._place.path
        while True:
            try:
                found = self._client.get(address(self._place.view, "changes"), path_params(scope))
                self._scope, self._cursor = scope, found.get("cursor")
                return
            except Problem as problem:
                if problem.slug not in NOT_THERE or scope == parent(scope):
                    raise
            scope = parent(scope)
