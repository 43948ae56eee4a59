"""One simulated world: safety under faults, then everything heals, then it has to be right."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from pathlib import Path
from random import Random
from typing import Any

import anyio
import anyio.abc

from fustor_core.claims import Key, Listing, Still
from fustor_core.contracts import Applied, Arbitrator, Query, Verdict, View
from fustor_core.fold import Fold
from fustor_core.machine import Move
from fustor_core.registers import Seen, seen_of
from fustor_core.registry import Registry
from fustor_core.testing.sim.agent import Agent
from fustor_core.testing.sim.bounds import Removals, entries
from fustor_core.testing.sim.checker import Checker
from fustor_core.testing.sim.faults import Fault, Faults
from fustor_core.testing.sim.host import Machine
from fustor_core.testing.sim.loop import Clock, VirtualLoop
from fustor_core.testing.sim.operations import Hands, Operation
from fustor_core.testing.sim.options import Options, settle_s
from fustor_core.testing.sim.seams import replaced
from fustor_core.testing.sim.server import Server
from fustor_core.testing.sim.storage import Storage, Told
from fustor_core.testing.sim.watched import Watched

VERBS = ("stat", "ls", "tree", "du", "find", "stable", "suspects", "debts", "blind-spots", "status")
AGAIN_S = 0.2
TIGHT = 5
"""In one seed of so many no pack stays at hand: each is read, and put away again."""
LOOK_S, PATIENT = 10.0, 4
"""In the settling phase it is looked so often whether all is right; one seed in so many waits for
the end of T, whatever it sees."""
WALLS_US = (0, 300_000, -300_000)
START_US = 1_700_000_000_000_000
SCRATCH = Path("/dev/shm")


@cache
def driver(kind: str, name: str) -> Any:
    """The class of an installed driver, looked up once."""
    return Registry().driver(kind, name)


class World:
    """A world of these options, in which these operations and faults happen.

    Attributes:
        counts: what happened, by name. steps: batches that were checked.
    """

    def __init__(
        self,
        options: Options,
        operations: Sequence[Operation],
        faults: Sequence[Fault],
        folder: Path,
        *,
        arbitrates: Callable[[], Arbitrator] | None = None,
        trace: Callable[[str], None] | None = None,
    ) -> None:
        self.options, self.operations = options, operations
        self.counts: Counter[str] = Counter()
        self.clock = Clock(START_US)
        self._hash = hashlib.blake2b(digest_size=16)
        self._trace = trace
        self._arbitrates = arbitrates or self._arbitrator
        rng = Random(f"world {options.seed}")
        self.storage = Storage(
            births=options.births,
            tick_us=options.tick_us,
            skew_us=rng.choice([0, -300_000, 900_000]),
            reuse=options.has("reuse"),
        )
        self.hands = Hands(self.storage, self._happened, self._later, self._now_us, self._ask)
        self.server = Server(
            self._machine("fusion", rng, 0.0, (0, 3_600_000_000, -86_400_000_000)),
            options,
            folder,
            self._drivers,
            rng=Random(f"fusion {options.seed}"),
            point=self.point,
            count=self.count,
            folded=self._folded,
            started=self._started,
            answered=self._answered,
            moved=self._moved,
        )
        self.checker = Checker(self)
        self.agents = [
            Agent(
                number,
                self._machine(
                    f"agent-{number}", rng, rng.uniform(-150, 150), (0, 300_000, -300_000)
                ),
                self.storage,
                options,
                folder,
                door=self.server,
                point=self.point,
                count=self.count,
                promised=self.checker,
                fail=self.checker.fail,
            )
            for number in range(options.hosts)
        ]
        self.faults = Faults(self, faults)
        self.group: anyio.abc.TaskGroup
        self._starting = anyio.Lock()

    def __repr__(self) -> str:
        return f"<World {self.options.seed} at {self.now_s:.3f} s>"

    @property
    def now_s(self) -> float:
        """Seconds since the start."""
        return (self.clock.now_us - START_US) / 1e6

    # ---- what happens is told

    def count(self, name: str, by: int = 1) -> None:
        """Something happened (the sometimes-counters)."""
        self.counts[name] += by

    def point(self, name: str) -> None:
        """A window is passed: a fault may be waiting for it."""
        self.faults.passed(name)

    def note(self, *what: object) -> None:
        """A line of the trace."""
        text = f"{self.now_s:.6f} " + " ".join(map(str, what))
        self._hash.update(text.encode())
        if self._trace is not None:
            self._trace(text)

    @property
    def digest(self) -> str:
        """Of the whole trace."""
        return self._hash.hexdigest()

    def _happened(self, host: int, told: list[Told]) -> None:
        for one in told:
            self.count("op." + one.word)
            self.note("op", host, one.word, self.storage.path(one.folder), one.name, one.child.uid)
        if host >= 0:
            self.agents[host % len(self.agents)].tell(told)

    def _now_us(self) -> int:
        return self.clock.now_us

    def _ask(self, kind: str, path: bytes, number: int) -> None:
        """Somebody asks: what is asked must have an answer."""
        pipeline = self.server.pipeline
        if pipeline is None or self.server.door is None:
            return
        if kind == "scan":
            self.server.begin(partial(pipeline.scan, path, recursive=bool(number & 1)))
            return
        verb = VERBS[number % len(VERBS)]
        for page in pipeline.view.read(Query(verb, path), pipeline.moment()):
            self.note("asked", verb, path, len(page.items))

    def _folded(self, fold: Fold) -> None:
        self.checker.folds(fold)

    def _started(self) -> None:
        self.checker.started()

    def _answered(self) -> None:
        self.checker.step()

    def _moved(self, move: Move[Any]) -> None:
        self.checker.bounds.moved(move)

    def _later(self, us: int, act: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(us / 1e6, act)

    def _machine(self, name: str, rng: Random, drift: float, skews_us: Sequence[int]) -> Machine:
        return Machine(
            name,
            self.clock,
            Random(f"{name} {self.options.seed}"),
            offset_us=rng.randrange(10**9, 10**12),
            drift_ppm=drift,
            wall_skew_us=rng.choice(skews_us),
        )

    # ---- the drivers of fusion

    def _drivers(self) -> tuple[View, Arbitrator]:
        options = self.options
        kind = driver("view", "file")
        guard = {
            "count": options.guard_count,
            "ratio": options.guard_ratio,
            "second_look": options.second_look_s,
        }
        checker = self.checker
        forgot, removals = checker.forgot, Removals(self, self.checker.fail)

        class Noted(kind):  # type: ignore[misc, valid-type]
            """The view, which tells what it forgets and removes, and is there when it is closed."""

            def apply(self, verdict: Verdict) -> Applied:
                tree = self.registers.tree
                lost = removals.before(tree, verdict)
                held = entries(tree, tree.root) if lost and tree.root is not None else 0
                applied: Applied = super().apply(verdict)
                removals.after(tree, verdict, lost, held)
                return applied

            def still(self, claim: Still, at: int, end: int, seen: Seen) -> int:
                taken: int = super().still(claim, at, end, seen)
                checker.stood(claim, at, taken, seen)
                return taken

            def first(self, run: Iterable[tuple[Listing, Any, int, int]], line: int) -> int:
                run = list(run)
                taken: int = super().first(run, line)
                for listing, _, lo, hi in run[:taken]:
                    checker.came(listing, seen_of(listing.stamp, lo, hi, line))
                return taken

            def forget(self, keys: Sequence[Key]) -> None:
                forgot(list(keys))
                super().forget(keys)

            def close(self) -> None:
                """All of it is read once more, to be compared; no file of it can be read later."""
                for directory in self.registers.tree.dirs.values():
                    directory.blobs()
                super().close()

        budget = 1 if options.seed % TIGHT == 0 else None
        given = {"mass_delete_guard": guard, "memory_budget": budget}
        view: Any = Noted(kind.Config.model_validate(given))
        watched: Any = Watched(self._arbitrates(), self.checker)
        return view, watched

    def fresh_drivers(self) -> tuple[View, Arbitrator]:
        """A view of the same options and its arbitrator, which nobody watches."""
        view, _ = self._drivers()
        return view, self._arbitrates()

    def _arbitrator(self) -> Arbitrator:
        kind = driver("arbitrator", "fs")
        return kind(kind.Config())  # type: ignore[no-any-return]

    # ---- the course of events

    async def run(self) -> None:
        """From the start to the end; a broken promise is an `Broken`."""
        async with anyio.create_task_group() as self.group:
            await self.group.start(self.server.run)
            self.hands.start(Random(f"start {self.options.seed}"))
            for agent in self.agents:
                self.group.start_soon(agent.run)
            await self._safety()
            await self.faults.heal()
            self.hands.finish()
            await self._liveness()
            for agent in self.agents:
                agent.stop()
            for agent in self.agents:
                await agent.over.wait()
            self.server.end()
            await self.server.over.wait()
            self.checker.closed()
            self.group.cancel_scope.cancel()

    async def _safety(self) -> None:
        what: list[tuple[int, int, Operation | Fault]] = []
        what += [(one.at_us, 0, one) for one in self.operations]
        what += [(one.at_us, 1, one) for one in self.faults.planned]
        what.sort(key=lambda item: item[:2])
        for at_us, _, one in what:
            wait = START_US + at_us - self.clock.now_us
            if wait > 0:
                await anyio.sleep(wait / 1e6)
            if isinstance(one, Operation):
                if self.hands.do(one):
                    self.count("op." + one.kind)
            else:
                self.faults.begin(one)

    async def _liveness(self) -> None:
        """At T all is right. In most seeds, when it was right once before, that is believed."""
        left = settle_s(self.options)
        patient = self.options.seed % PATIENT == 0
        while left > 0:
            some = left if patient else min(LOOK_S, left)
            await anyio.sleep(some)
            left -= some
            if not self.checker.unsettled():
                break
        self.checker.converged()

    async def restart_server(self, after_s: float) -> None:
        """Fusion starts again, if it does not run."""
        await anyio.sleep(after_s)
        async with self._starting:
            while not self.server.runs:
                await self.server.over.wait()
                await self.group.start(self.server.run)
                await anyio.sleep(AGAIN_S)  # its disk may fail at the start, too

    async def restart_agent(self, agent: Agent, after_s: float) -> None:
        """An agent starts again, if nobody else has started it meanwhile."""
        await agent.over.wait()
        await anyio.sleep(after_s)
        if agent.over.is_set():
            agent.over = anyio.Event()
            self.group.start_soon(agent.run)


def run_world(
    options: Options,
    operations: Sequence[Operation],
    faults: Sequence[Fault],
    **more: Any,
) -> World:
    """Run a world to its end.

    Raises:
        Broken: a promise was broken. Anything else is a bug, in the core or here.
    """
    _settle_garbage()
    scratch = SCRATCH if SCRATCH.is_dir() else None
    folder = Path(tempfile.mkdtemp(prefix="fustor-sim-", dir=scratch))
    world = World(options, operations, faults, folder, **more)
    loop = VirtualLoop(world.clock)
    try:
        with replaced(world.server, Random(f"ids {options.seed}")):
            loop.run_until_complete(world.run())
    except BaseExceptionGroup as errors:
        raise first(errors) from errors
    finally:
        loop.close()
        shutil.rmtree(folder, ignore_errors=True)
    return world


@cache
def _settle_garbage() -> None:
    """What is there before the first run is never looked through for garbage again."""
    gc.collect()
    gc.freeze()


def first(error: BaseException) -> BaseException:
    """What broke first, out of all groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
