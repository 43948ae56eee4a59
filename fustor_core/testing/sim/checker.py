"""What must hold after every batch (arbitration.md §10), and at the end (reliability.md §2.3).

The oracle is the history of the virtual tree: a clean register must have held its value at some
instant of its interval, in the directory with that key.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from random import Random
from typing import TYPE_CHECKING, Any

from fustor_core.claims import (
    KEY,
    Batch,
    Cell,
    Claim,
    Key,
    Listing,
    Owe,
    Root,
    Still,
    edge_key,
    edge_row,
    is_dir,
    unpack_row,
)
from fustor_core.clock import LogicalClock
from fustor_core.contracts import Moment, Verdict
from fustor_core.fold import Fold, Folded
from fustor_core.frames import BatchHead
from fustor_core.registers import Seen
from fustor_core.testing.sim import replaying
from fustor_core.testing.sim.bounds import Bounds
from fustor_core.testing.sim.duties import Duties
from fustor_core.testing.sim.storage import FOLDER
from fustor_core.testing.sim.times import Times

if TYPE_CHECKING:
    from fustor_core.testing.sim.world import World

DEEPEST = 100
LEFT_OUT = frozenset({"excluded", "other_device"})
AGAIN = 0.1  # share of batches that are delivered once more


class Broken(AssertionError):
    """A promise was broken.

    Args:
        promise: its name: ``honesty``, ``step_back``, ``tree``, ``replay`` …
    """

    def __init__(self, promise: str, text: str) -> None:
        super().__init__(f"{promise}: {text}")
        self.promise = promise


class Checker:
    """Checks one world.

    Attributes:
        times: fusion time and true time. registers, steps: how much was checked.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.times = Times()
        self.registers = self.steps = 0
        self._touched: dict[Key, None] = {}
        self._checked: dict[tuple[Key, bytes], tuple[bytes | None, int, int]] = {}
        self._shown: dict[tuple[Key, bytes], int] = {}
        self.acked: dict[tuple[str, int], None] = {}
        self._leaders: dict[int, str] = {}
        self._last: tuple[BatchHead, Batch, Moment] | None = None
        self._fold: Callable[..., Iterator[Folded]]
        self._rng = Random(f"checker {world.options.seed}")
        self._heard = 0
        self._broken: Broken | None = None
        self.duties = Duties(world, self.fail)
        self.bounds = Bounds(world, self.fail)

    def __repr__(self) -> str:
        return f"<Checker {self.registers} registers in {self.steps} steps>"

    # ---- what is told

    def judged(self, claim: Claim, verdict: Verdict) -> None:
        """A claim was judged."""
        count = self.world.count
        count("rule." + verdict.rule)
        if isinstance(claim, Cell):
            if claim.flags:
                count(("", "seen.moved", "seen.writing", "", "seen.closed")[claim.flags & 7])
            if claim.stamp.kind == "w":
                count("seen.word")
        elif isinstance(claim, Listing):
            if claim.weak:
                count("seen.weak")
            if claim.digest is not None:
                count("seen.digest")
        elif isinstance(claim, Owe) and claim.deep:
            count("seen.owed_deep")
        if verdict.owe is not None and isinstance(claim, Owe) and claim.reason not in LEFT_OUT:
            self.duties.opened(verdict.key, verdict.owe[0], deep=claim.deep)
        if verdict.settles is not None:
            self.duties.listed(verdict.key, verdict.settles)
        self._touched[verdict.key] = None
        if isinstance(claim, Listing) and claim.via is not None:
            self._touched[claim.via[0]] = None

    def stood(self, claim: Still, at: int, taken: int, seen: Seen) -> None:
        """So many directories of a run were found as they were, and nothing judged."""
        for key in KEY.iter_unpack(claim.keys[at * KEY.size : taken * KEY.size]):
            self.world.count("rule.still")
            self.duties.listed(Key(*key), seen)
            self._touched[Key(*key)] = None

    def came(self, listing: Listing, seen: Seen) -> None:
        """A first listing was taken, and nothing judged."""
        self.world.count("rule.came")
        self.duties.listed(listing.dir, seen)
        self._touched[listing.dir] = None

    def forgot(self, keys: list[Key]) -> None:
        """Directories were forgotten: what is unknown may be anything."""
        self.world.count("state.forgotten", len(keys))
        gone = set(keys)
        self.duties.forgot(keys)
        for place in [place for place in self._shown if place[0] in gone]:
            del self._shown[place]
            self._checked.pop(place, None)

    def acknowledged(self, session: str, seq: int) -> None:
        """A batch was: it must be in the journal for ever."""
        self.acked[session, seq] = None

    def leads(self, session: str, epoch: int) -> None:
        """Somebody was told that he leads: one epoch, one leader, for ever."""
        if self._leaders.setdefault(epoch, session) != session:
            self.fail("leader", f"epoch {epoch} was given to {self._leaders[epoch]} and {session}")
        self.duties.leads(epoch)

    def folds(self, fold: Fold) -> None:
        """A process of fusion begins: what it folds is noted."""
        self._fold, self._last = fold.batch, None
        self.duties.begun()

        def noted(head: BatchHead, batch: Batch, moment: Moment) -> Iterator[Folded]:
            self._last = head, batch, moment
            self.duties.folded(head, batch, self.times)
            yield from self._fold(head, batch, moment)

        changed: Any = fold
        changed.batch = noted

    def started(self) -> None:
        """A process of fusion runs."""
        pipeline = self.world.server.pipeline
        assert pipeline is not None
        self.bounds.serves(pipeline)
        machine, clock = self.world.server.machine, self.world.clock
        ahead = pipeline.keeping.clock.at(machine.raw_us()) - clock.now_us
        self.times.runs(clock.now_us, ahead)

    # ---- after every batch

    def step(self) -> None:
        """Something was answered: all that was judged since the last step holds."""
        self._applied()
        tree = self._tree()
        touched, self._touched = self._touched, {}
        if tree is None or not touched:
            return
        self.steps += 1
        self._states(tree)
        self.duties.check()
        self.bounds.step(tree, touched)
        seated: set[Key] = set()
        for key in touched:
            directory = tree.dirs.get(key)
            if directory is not None:
                if not self.world.storage.names(key):  # of another disk
                    if tree.visible(directory):
                        self.fail("foreign", f"{directory!r} is of another storage, and shown")
                    continue
                self._seat(tree, directory, seated)
                if len(directory.pack.parts) > 1:
                    self.world.count("state.split")
                self._registers(directory)
        if self.world.options.has("again") and self._rng.random() < AGAIN:
            self._redelivered()
        self.world.note("step", *(f"{k.ino}.{k.birth}" for k in touched))

    def _applied(self) -> None:
        """Nothing is set aside: what the core cannot apply is a crash that it survived."""
        if self._broken is not None:
            raise self._broken
        alarms = self.world.server.alarms
        heard, self._heard = self._heard, len(alarms)
        for text in alarms[heard:]:
            if "nobody foresaw" in text:
                self.fail("applied", text)
            if "could not be applied" in text:
                notes = sorted((self.world.server.folder / "quarantine").glob("*.json"))
                trace = json.loads(notes[-1].read_bytes())["trace"] if notes else ""
                self.fail("applied", f"{text}\n{trace}")

    def _states(self, tree: Any) -> None:
        """What a view can be in the middle of."""
        root, count = tree.root, self.world.count
        if root is None:
            return
        for name, at in (("suspect", 4), ("disputed", 5), ("frozen", 9)):
            if root.count[at]:
                count("state." + name)
        if tree.gone or tree.waiting:
            count("state.loose")
        if next(tree.hidden(), None) is not None:
            count("state.hidden")

    def _redelivered(self) -> None:
        """The last batch once more changes nothing, stamps included."""
        last, pipeline = self._last, self.world.server.pipeline
        if last is None or pipeline is None:
            return
        if any(isinstance(claim, Root) for claim in last[1].claims):
            return  # the second look of a scan is one that begins later
        before, samples = replaying.image(pipeline.view), pipeline.fold.lag.samples()
        for _ in self._fold(*last):
            pass
        pipeline.fold.lag = LogicalClock(samples)  # no replay hears of it a second time
        self.world.count("checked.again")
        after = replaying.image(pipeline.view)
        # Hints, no evidence: a closing word clears what a scan behind it in the batch found young,
        # an agent's own sight makes seen what a scan behind it found.
        fault = replaying.difference(before, after, but=("suspects", "blind"))
        if fault:
            self.fail("idempotence", f"{fault} after {last[1].claims}")
        self._touched.clear()

    def _tree(self) -> Any:
        pipeline = self.world.server.pipeline
        view: Any = pipeline.view if pipeline is not None else None
        return view.registers.tree if view is not None else None

    def _seat(self, tree: Any, directory: Any, seated: set[Key]) -> None:
        """A seated directory's parent register names it; nothing is above itself.

        `seated`: those of which this is known in this step, as of all above them.
        """
        above, steps, way = directory, 0, []
        while above.parent is not None and above.key not in seated:
            way.append(above.key)
            value = above.parent.pack.get(above.name)
            if value is None or not is_dir(value) or edge_key(value) != above.key:
                self.fail("tree", f"{above!r} sits where its parent shows {value!r}")
            above, steps = above.parent, steps + 1
            if steps > DEEPEST:
                self.fail("tree", f"{directory!r} is above itself")
        seated.update(way)

    def _registers(self, directory: Any) -> None:
        """Honesty, and no unflagged step back."""
        storage, key, times = self.world.storage, directory.key, self.times
        names = dict.fromkeys(storage.names(key))
        names.update(dict.fromkeys(directory.names()))
        mapped, lo, hi = None, 0, 0
        for name in names:
            register = directory.get(name) if name else directory.attrs
            if register is None or register.debt:
                continue
            seen, value = register.seen, register.value
            place = (key, name)
            now = (value, seen.lo, seen.hi)
            if self._checked.get(place) == now:
                continue
            self._checked[place] = now
            self.registers += 1
            if seen is not mapped:  # most of a directory's registers were seen at once
                mapped, lo, hi = seen, times.earliest(seen.lo), times.latest(seen.hi)
            if name and value is not None and is_dir(value):
                value = edge_row(edge_key(value), FOLDER)
            last = storage.held(key, name, value, lo, hi)
            if last is None:
                self._dishonest(directory, name, register, lo, hi)
                continue
            if last < self._shown.get(place, -1):
                self.fail("step_back", f"{self._words(directory, name, register)} is older than"
                           f" what was shown clean: {storage.story(key, name)}")  # fmt: skip
            first = storage.first_held(key, name, value, lo, hi)
            self._shown[place] = max(first, self._shown.get(place, -1))

    def _dishonest(self, directory: Any, name: bytes, register: Any, lo: int, hi: int) -> None:
        story = self.world.storage.story(directory.key, name)
        told = [(at, _short(value)) for at, value in story]
        what = self._words(directory, name, register)
        self.fail("honesty", f"{what} never was so in [{lo}, {hi}]: {told}")

    def _words(self, directory: Any, name: bytes, register: Any) -> str:
        where = f"{directory.path()!r} ({directory.key.ino}.{directory.key.birth})"
        return f"{where} {name!r} = {_short(register.value)} {register.seen} {register.origin}"

    def fail(self, promise: str, text: str) -> None:
        """A promise is broken: raised here, and with the next step if that is caught."""
        broken = Broken(promise, f"at {self.world.now_s:.6f} s: {text}")
        self._broken = self._broken or broken  # whoever stands between here and a test may catch it
        raise broken

    # ---- in the end

    def converged(self) -> None:
        """At exactly T: the view is the truth, and says so."""
        self.step()
        fault = self.unsettled()
        if fault:
            self.fail("convergence", fault)
        self.bounds.settled(self._tree())

    def unsettled(self) -> str:
        """What in the view is not the truth, or is in doubt; "" = nothing."""
        tree, storage = self._tree(), self.world.storage
        if tree is None or tree.root is None:
            return "there is no view"
        truth = {path: (inode.value, inode) for path, inode, _, _ in storage.walk()}
        truth[b""] = (b"", storage.root)
        scans = self.world.options.scans
        shown: dict[bytes, bytes] = {}
        stack = [(b"", tree.root)]
        while stack:
            path, at = stack.pop()
            faults = self._doubts(at)
            if path in truth and at.attrs is not None and scans == "full":
                inode = truth[path][1]
                if at.attrs.value != inode.own:
                    faults.append(f"attributes {unpack_row(at.attrs.value)} are {inode.row}")
            if faults:
                return f"{path or b'/'!r}: {', '.join(faults)}"
            for name in at.names():
                value = at.get(name).value
                if is_dir(value):
                    value = edge_row(edge_key(value), FOLDER)
                shown[path + b"/" + name] = value
                if is_dir(value):
                    below = tree.child(at, name, value)
                    if below is None:
                        return f"{path + b'/' + name!r} is hidden"
                    stack.append((path + b"/" + name, below))
        for path in sorted(truth.keys() | shown.keys()):
            real, there = truth.get(path, (None,))[0], shown.get(path)
            same = (there is None) == (real is None) if scans == "silent" else there == real
            if path and not same:
                return f"{path!r} is {_short(real)}, shown {_short(there)}"
        return self._sought()

    def _sought(self) -> str:
        """What is sought although nothing is in doubt."""
        pipeline = self.world.server.pipeline
        view: Any = pipeline.view if pipeline is not None else None
        settles = pipeline is not None and self.world.options.scans == "full"
        wanted = view.looks(pipeline.moment(), 10) if pipeline is not None and settles else []
        return f"looks are wanted for ever: {wanted[0]}" if wanted else ""

    def _doubts(self, at: Any) -> list[str]:
        faults = [f"{n!r} is disputed" for n, mark in sorted(at.own.items()) if mark.debt]
        if at.attrs is not None and at.attrs.debt:
            faults.append("its attributes are disputed")
        if self.world.options.scans == "full":  # else nobody comes by just to look at them again
            faults += [f"{n!r} is suspect" for n in sorted(at.suspects)]
        faults += [f"{n!r} is frozen" for n in sorted(at.frozen or ())]
        if at.base is None or at.owed is not None:
            faults.append(f"a listing is owed: {at.reason} {at.owed}")
        return faults

    def closed(self) -> None:
        """Everything has ended cleanly: what was kept is what was."""
        fault = replaying.compare(self.world)
        if fault:
            self.fail("replay", fault)
        if self.world.options.has("again"):
            fault = replaying.shuffled(self.world)
            if fault:
                self.fail("order", fault)


def _short(value: bytes | None) -> str:
    if value is None:
        return "absent"
    if is_dir(value) and value == edge_row(edge_key(value), unpack_row(value).mode):
        return f"dir {edge_key(value).ino}.{edge_key(value).birth}"
    row = unpack_row(value)
    return (f"file ino={row.ino} size={row.size} mtime={row.mtime_ns // 1000}"
            f" ctime={row.ctime_ns // 1000} nlink={row.nlink} mode={row.mode:o}")  # fmt: skip
