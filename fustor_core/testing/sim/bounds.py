"""What is limited (reliability.md §2.4: 7, 16, 20, 22, 28), and that tallies add up (2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from fustor_core.claims import Key, Origin, is_dir, unpack_row
from fustor_core.contracts import Verdict

if TYPE_CHECKING:
    from fustor_core.testing.sim.world import World

Fail = Callable[[str, str], None]
WHOLE = frozenset({Origin.SNAPSHOT, Origin.AUDIT})
OWES_BYTES = 32 << 10
"""What a queue may hold beyond its limit: obligations, which are never dropped."""
SILENT_S = 12.0
"""Longer than fusion is stopped; a session that is silent for so long, and some timeouts, ends."""
STEPS = 4
"""Tallies are recomputed after one step in so many."""


class Removals:
    """What whole scans remove from one view, counted by itself."""

    def __init__(self, world: World, fail: Fail) -> None:
        self._options, self._fail = world.options, fail
        self._removed = 0

    def before(self, tree: Any, verdict: Verdict) -> list[tuple[bytes, int, int | None]]:
        """What a verdict would remove: (name, how many entries go with it, frozen since)."""
        if verdict.rule == "root" and (verdict.scan or verdict.settles is not None):
            self._removed = 0
        directory = tree.dirs.get(verdict.key)
        if verdict.origin not in WHOLE or directory is None or directory.base is None:
            return []
        frozen = directory.frozen or {}
        return [
            (w.name, self._weight(tree, directory, w.name, w.old.value), frozen.get(w.name))
            for w in verdict.writes
            if w.new.value is None and w.old is not None and w.old.value is not None
        ]

    def after(
        self, tree: Any, verdict: Verdict, lost: Iterable[tuple[bytes, int, int | None]], held: int
    ) -> None:
        """It is applied. `held`: entries of the view before."""
        options, gone = self._options, 0
        for name, weight, since in lost:
            if tree.dirs[verdict.key].pack.get(name) is not None:
                continue  # held back
            if since is None:
                gone += weight
            elif verdict.seen.lo < since + int(options.second_look_s * 1e6):
                self._fail("guard", f"{name!r} went at {verdict.seen}, frozen since {since}")
        self._removed += gone
        most = max(options.guard_count, int(options.guard_ratio * held))
        if gone and self._removed > most:
            self._fail("guard", f"one scan removed {self._removed} of {held}, not {most} at most")

    def _weight(self, tree: Any, directory: Any, name: bytes, value: bytes) -> int:
        child = tree.child(directory, name, value) if is_dir(value) else None
        return 1 + (entries(tree, child) if child is not None else 0)


def entries(tree: Any, directory: Any) -> int:
    """How many entries are shown below a directory, counted by going there: no hidden ones."""
    found, stack = 0, [directory]
    while stack:
        at = stack.pop()
        kids = list(tree.children(at))
        found += sum(not is_dir(at.get(name).value) for name in at.names()) + len(kids)
        stack += kids
    return found


class Patience:
    """How long one pipe waits after errors: longer after each, till a useful acknowledgement.

    Args:
        draw: a jitter. first_s, most_s: the shortest and the longest wait, but for jitter.
    """

    def __init__(
        self, draw: Callable[[], float], fail: Fail, *, first_s: float, most_s: float
    ) -> None:
        self._draw, self._fail = draw, fail
        self._first_s, self._most_s = first_s, most_s
        self._errors, self._drawn = 0, 0.0

    def jitter(self) -> float:
        """A wait is about to begin: its share of the full one."""
        self._errors += 1
        self._drawn = self._draw()
        return self._drawn

    def acknowledged(self) -> None:
        """Something was taken."""
        self._errors = 0

    def sleeps(self, seconds: float) -> None:
        """A sleep begins; what comes after a jitter is the wait."""
        drawn, self._drawn = self._drawn, 0.0
        if drawn:
            least = min(self._most_s, self._first_s * 2 ** (self._errors - 1)) * drawn
            if not least - 1e-9 <= seconds <= self._most_s:
                self._fail("patience", f"{seconds} s after {self._errors} errors, not {least} s")


class Bounds:
    """Of one world."""

    def __init__(self, world: World, fail: Fail) -> None:
        self._world, self._fail = world, fail
        self._heard: dict[str, int] = {}
        self._steps = 0

    def __repr__(self) -> str:
        return f"<Bounds {len(self._heard)} sessions heard>"

    def serves(self, pipeline: Any) -> None:
        """A process of fusion serves: whoever speaks to it lives, and who has a session has all of
        his timeout anew."""
        self._heard = dict.fromkeys(self._heard, pipeline.now_us())

        def heard(act: Any) -> Any:
            async def told(session_id: str, what: Any, *rest: Any) -> Any:
                at_us = pipeline.now_us()
                answer = await act(session_id, what, *rest)
                self._heard[session_id] = at_us
                return answer

            return told

        pipeline.beat, pipeline.push = heard(pipeline.beat), heard(pipeline.push)

    def moved(self, move: Any) -> None:
        """A machine of fusion moved: a session ends by silence alone (20)."""
        if move.machine != "session" or move.event != "expire":
            return
        pipeline, timeout_us = self._world.server.pipeline, self._timeout_us
        at_us = self._heard.pop(move.subject, None)
        if pipeline is not None and at_us is not None and pipeline.now_us() - at_us <= timeout_us:
            self._fail(
                "expiry", f"{move.subject} was heard at {at_us}, over at {pipeline.now_us()}"
            )

    @property
    def _timeout_us(self) -> int:
        return int(self._world.options.session_timeout_s * 1e6)

    def step(self, tree: Any, touched: Iterable[Key]) -> None:
        """After a step: queues and sessions are within their limits (16, 22), tallies add up."""
        for agent in self._world.agents:
            outbox: Any = agent.pipe.outbox if agent.pipe is not None else None
            if outbox is not None:
                held, most = outbox._events.memory_bytes, outbox.limits.spool_bytes + OWES_BYTES
                if held > most:
                    self._fail("bounds", f"{held} B are queued by {agent!r}, {most} at most")
        pipeline: Any = self._world.server.pipeline
        sessions, most = len(pipeline.standing.sessions), pipeline.options.max_sessions
        if sessions > most:
            self._fail("bounds", f"{sessions} sessions, {most} at most")
        self._steps += 1
        if self._steps % STEPS == 0:
            looked: set[Key] = set()
            for key in touched:
                at = tree.dirs.get(key)
                while at is not None and at.key not in looked:
                    looked.add(at.key)
                    self._adds_up(tree, at)
                    at = at.parent

    def settled(self, tree: Any) -> None:
        """In the end: all tallies add up, and who is silent for ever has no session."""
        for at in tree.dirs.values():
            self._adds_up(tree, at)
        pipeline: Any = self._world.server.pipeline
        least = pipeline.now_us() - 3 * self._timeout_us - int(SILENT_S * 1e6)
        for session in pipeline.standing.sessions:
            if self._heard.get(session.session_id, least) < least:
                self._fail("expiry", f"{session} is silent since {self._heard}")

    def _adds_up(self, tree: Any, at: Any) -> None:
        """The tally of a directory is that of its entries, and of the directories in it (2)."""
        files = others = size = dirs = 0
        for name in at.names():
            value = at.get(name).value
            if is_dir(value):
                continue
            row = unpack_row(value)
            regular = row.mode >> 12 == 8
            files, others = files + regular, others + (not regular)
            size += row.size if regular else 0
        debts = sum(mark.debt for mark in at.own.values()) + at.disputed
        debts += sum(1 for key, _ in tree.hidden() if key == at.key)
        gaps = 0 if at.listed or at.left_out else 1
        own = [files, 0, others, size, len(at.suspects), debts, len(at.blind or ()), gaps]
        own += [int(at.left_out), len(at.frozen or ())]
        for child in tree.children(at):
            own = [a + b for a, b in zip(own, child.count, strict=False)]
            dirs += 1
        own[1] += dirs
        told = list(at.count[: len(own)])
        if own != told:
            self._fail("tallies", f"{at!r} adds up to {own}, not {told}")
