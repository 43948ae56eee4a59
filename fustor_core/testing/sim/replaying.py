"""The state as a value: what a replay of the journal, or another order of it, must give again."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from fustor_core import frames
from fustor_core.claims import Batch, Claim, decode_batch, is_dir
from fustor_core.contracts import Arbitrator, Facts, Known, Moment, Verdict
from fustor_core.fold import Fold
from fustor_core.journal import Journal
from fustor_core.keeping import Keeping
from fustor_core.testing.sim.seams import DROPPED
from fustor_core.testing.sim.server import VIEW

if TYPE_CHECKING:
    from fustor_core.testing.sim.world import World


def image(view: Any) -> dict[Any, Any]:
    """Everything about every directory that must survive."""
    tree = view.registers.tree
    return {
        key: (
            at.base,
            at.glance().blobs(),  # which leaves a directory as it is
            sorted((name, at.get(name)) for name in at.own),
            (at.parent.key, at.name) if at.parent is not None else None,
            at.owed,
            at.deep,
            at.silent,
            at.attrs,
            sorted(at.suspects.items()),
            sorted(at.frozen or ()),
            sorted(at.blind or ()),
        )
        for key, at in tree.dirs.items()
    }


REPLAYED = 2  # the whole journal is replayed at the end of one seed in so many
FIELDS = "base names-and-rows own seat owed deep silent attributes suspects frozen blind".split()


def difference(a: dict[Any, Any], b: dict[Any, Any], *, but: Sequence[str] = ()) -> str:
    """Where two images differ, in words; "" = nowhere. `but`: fields that may."""
    for key in sorted(a.keys() | b.keys()):
        if key not in a or key not in b:
            return f"directory {key} is only in {'the first' if key in a else 'the second'}"
        for what, x, y in zip(FIELDS, a[key], b[key], strict=True):
            if x != y and what not in but:
                return f"{what} of {key}: {_told(x, y)}"
    return ""


def _told(x: Any, y: Any) -> str:
    """The first part that differs."""
    if isinstance(x, list) and isinstance(y, list):
        only = [one for one in x if one not in y][:1], [one for one in y if one not in x][:1]
        return f"{only[0]} and {only[1]}"
    return f"{x} and {y}"


def compare(world: World) -> str:
    """The live state, the state read back, and the replay of the whole journal."""
    server = world.server
    assert server.pipeline is not None
    live = image(server.pipeline.view)
    copy = server.folder / "replayed"
    copy.mkdir()
    _gather(server.folder, copy / "journal")
    for name, folder in (("kept", server.folder), ("replayed", copy)):
        if name == "replayed" and world.options.seed % REPLAYED:
            continue
        keeping = keeping_of(world, folder, asked=name == "replayed")
        keeping.open(VIEW)
        fault = difference(live, image(keeping.view)) or (
            _unkept(world, keeping) if name == "replayed" else ""
        )
        keeping.close()
        if fault:
            return f"the state {name} is another one: {fault}"
    return ""


def _gather(folder: Path, place: Path) -> None:
    """The journal with all that was dropped behind checkpoints."""
    for part in (folder / DROPPED, folder / "journal"):
        if part.exists():
            shutil.copytree(part, place, dirs_exist_ok=True)


class Asked:
    """An arbitrator that is asked about every single directory: the reference for all short cuts.

    Args:
        inner: the arbitrator.
    """

    Config = BaseModel

    def __init__(self, inner: Arbitrator) -> None:
        self._inner = inner

    def __repr__(self) -> str:
        return f"<Asked {self._inner!r}>"

    def judge(self, known: Known | None, claim: Claim, facts: Facts) -> Verdict:
        """As the one inside does."""
        return self._inner.judge(known, claim, facts)


def keeping_of(world: World, folder: Path, *, asked: bool = False) -> Keeping:
    """A state directory, to be opened by nobody who serves.

    Args:
        asked: nothing is taken without a judgement.
    """
    view, arbitrator = world.fresh_drivers()
    if asked:
        arbitrator = Asked(arbitrator)
    machine = world.server.machine
    return Keeping(view, Fold(view, arbitrator), folder, machine.boot_id, raw_us=machine.raw_us)


def _unkept(world: World, keeping: Keeping) -> str:
    """Acknowledged batches that the journal does not have."""
    kept = set()
    for _, kind, frame in keeping.journal.replay(0):
        if kind == frames.BATCH:
            head, body = frames.read_batch_frame(frame)
            kept.add((head.session, decode_batch(body).seq))
    lost = [one for one in world.checker.acked if one not in kept]
    return f"{lost} are acknowledged and not in the journal" if lost else ""


def shuffled(world: World) -> str:
    """The batches of different sessions in another order: what is clean both times is equal."""
    live = world.server.pipeline
    sessions: dict[str, list[tuple[frames.BatchHead, Batch]]] = {}
    keeping = keeping_of(world, world.server.folder)
    _gather(world.server.folder, whole := world.server.folder / "shuffled")
    journal = Journal.open(whole)
    for _, kind, frame in journal.replay(0):
        if kind in (frames.FORGET, frames.CONFIRM):
            return ""  # these are decisions about one order
        if kind == frames.BATCH:
            head, body = frames.read_batch_frame(frame)
            sessions.setdefault(head.session, []).append((head, decode_batch(body)))
    journal.close()
    rng = Random(f"order {world.options.seed}")
    fold, queues = keeping.fold, list(sessions.values())
    while queues:
        queue = rng.choice(queues)
        head, batch = queue.pop(0)
        storage = fold.lag.watermark(head.wall_ns)
        moment = Moment(head.arrival_us, head.wall_ns, storage, None, True, 0)
        for _ in fold.batch(head, batch, moment):
            pass
        queues = [one for one in queues if one]
    world.count("checked.order")
    assert live is not None
    return _disagreement(live.view, keeping.view)


def _disagreement(a: Any, b: Any) -> str:
    """A register that is clean in both views and shows something else."""
    there = b.registers.tree.dirs
    for key, one in a.registers.tree.dirs.items():
        other = there.get(key)
        if other is None:
            continue
        for name in {*one.names(), *one.own, *other.names(), *other.own}:
            x, y = one.get(name), other.get(name)
            if x is None or y is None or x.debt or y.debt or x.value == y.value:
                continue
            if not (x.value and y.value and x.value[:8] == y.value[:8] and is_dir(x.value)):
                return f"{name!r} of {key}: {x} and {y}"
    return ""
