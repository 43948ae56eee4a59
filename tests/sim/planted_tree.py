"""Planted bugs in directories, edges, seats, and in what is owed (arbitration.md §4 to §7)."""

from __future__ import annotations

from itertools import count
from random import Random
from typing import Any

from fustor_view_file import looks
from fustor_view_file.directory import Directory
from fustor_view_file.links import HardLinks
from fustor_view_file.owing import Along
from fustor_view_file.pack import Pack
from fustor_view_file.tree import Tree
from msgspec.structs import replace

from fustor_core import admission, arbitration, recall, rounds, soundness
from fustor_core.claims import Batch, Cell, Key, is_dir
from fustor_core.contracts import Facts, Known, Verdict, View
from fustor_core.fold import Fold
from fustor_core.frames import BatchHead
from fustor_core.sessions import Sessions
from fustor_core.testing.sim import reading, watching
from fustor_core.testing.sim.faults import Fault
from fustor_core.testing.sim.operations import Operation
from fustor_core.testing.sim.options import draw
from fustor_core.testing.sim.source import SimSource
from fustor_core.testing.sim.storage import Storage
from fustor_core.testing.sim.world import START_US
from tests.sim.planted_bugs import Bug, Change, Lists, Worlds, crowded, instead, wrapped
from tests.sim.planted_order import BUSY, CALM, parent_mtime

ALONE = CALM + " limit unreadable other vanish standby broken"
WATCHED = {**BUSY, "hosts": 1, "blind": 0.0, "scans": "none"}
"""No audit: what the watch loses stays lost."""
TWO = {**WATCHED, "hosts": 2}
SILENT = {**BUSY, "blind": 0.6, "scans": "silent"}


SILENT_CROWD = crowded(
    "", 0.1, 5.9, kinds="create remove", host=-1, tick_us=1_000_000, hosts=1, scans="silent"
)


_MOVES_US = 4_000_000


def nothing(old: Any, *args: Any, **named: Any) -> None:
    """It is not done."""


def _by_path(old: Any, fold: Fold, head: BatchHead, batch: Batch, *rest: Any) -> Any:
    """Claims are about what stands at their path now."""
    view: Any = fold.view

    def there(claim: Any) -> Any:
        path = getattr(claim, "path", b"")
        at = view.registers.tree.directory_at(path) if path else None
        return claim if at is None else replace(claim, dir=at.key)

    return old(fold, head, replace(batch, claims=[there(c) for c in batch.claims]), *rest)


def _not_below(old: Any, directory: Directory, other: Directory) -> bool:
    return directory is other


def _settles_all(old: Any, tree: Tree, directory: Directory, listing: Any) -> None:
    if directory.owed is not None:
        directory.owed = replace(listing, lo=listing.lo - 1, hi=listing.lo, line=0)
    old(tree, directory, listing)


def _tries_once(old: Any, tree: Tree, directory: Directory, seen: Any, *, moved: bool) -> None:
    if directory is not tree.root:
        tree._seat_one(directory, seen, moved=moved)


async def _covers_what_was_made(old: Any, source: SimSource, paths: Any) -> None:
    """No agent lists what another one has moved, which would mend it."""
    if source.eyes.true_us() < START_US + _MOVES_US:
        await old(source, paths)


async def _sees_nothing(old: Any, *args: Any) -> list[Cell]:
    """No sentinel looks, which would mend it, too."""
    return []


def _always_moved(old: Any, tree: Tree, directory: Directory, seen: Any, *, moved: bool) -> bool:
    return bool(old(tree, directory, seen, moved=True))


def _unowed_first(old: Any, tree: Tree, key: Key, place: Any, seen: Any, *, moved: bool) -> None:
    old(tree, key, place, seen, moved=moved)
    child = tree.dirs[key]
    if child.base is None and child.owed == seen:
        child.owed = None


def _unowed_child(old: Any, tree: Tree, parent: Any, name: bytes, key: Key, seen: Any) -> bool:
    done = old(tree, parent, name, key, seen)
    if done:
        tree.dirs[key].owed = None
    return bool(done)


def _emptied(old: Any, tree: Tree, directory: Directory, chosen: Any) -> None:
    """A directory that moves is deleted and made anew, path by path."""
    if directory.parent is not None:
        directory.pack = Pack()
        directory.drop_marks()
    old(tree, directory, chosen)


def _half_ignored(old: Any, known: Known | None, claim: Cell, facts: Facts, rules: Any) -> Verdict:
    held = known.get(claim.name) if known is not None and claim.name else None
    verdict: Verdict = old(known, claim, facts, rules)
    gone = held is not None and held.value is not None and is_dir(held.value)
    if gone and claim.value is None and not claim.flags & 1:
        verdict.writes = []
    return verdict


def _no_overflow(old: Any, tree: Tree, directory: Directory, stamp: Any, **named: Any) -> None:
    if named["reason"] != "overflow":
        old(tree, directory, stamp, **named)


def _wiped(old: Any, sessions: Sessions, step: Any) -> None:
    """The last session is gone, and with it the view."""
    before = len(sessions)
    old(sessions, step)
    if before and not len(sessions):
        for view in VIEWS[-1:]:
            tree = view.registers.tree
            tree.dirs = {tree.root.key: tree.root} if tree.root is not None else {}


VIEWS: list[Any] = []


def _noted(old: Any, fold: Fold, view: View, arbitrator: Any) -> None:
    old(fold, view, arbitrator)
    VIEWS[:] = [view]


def _utf8(old: Any, claim: Any) -> str:
    names = claim.names if hasattr(claim, "names") else getattr(claim, "name", b"")
    try:
        names.decode()
    except UnicodeDecodeError:
        return "a name is not UTF-8"
    return str(old(claim))


def _mtime_alone(old: Any, silence: Any, *, leaf: bool) -> int:
    return int(old(silence and silence._replace(ctime_ns=0), leaf=leaf))


def _same_mtime(old: Any, known: Known | None, claim: Any, facts: Facts) -> Verdict:
    held = known.silent if known is not None else None
    if held is not None and held.mtime_ns == claim.silence.mtime_ns:
        claim = replace(claim, silence=held)
    return old(known, claim, facts)


def _long_ago(old: Any, storage: Storage, inode: Any, mtime_ns: int) -> Any:
    """Who sets a directory's mtime sets it to the same time always."""
    return old(storage, inode, 1_600_000_000_000_000_000)


def _calm_mtime(old: Any, fold: Fold, claim: Any, facts: Facts) -> None:
    """Of many directories at once nothing is asked."""


def _by_own_wall(old: Any, eyes: Any, own: Any, wall_ns: int, at_us: int) -> Any:
    """What counts is this host's wall clock alone."""
    eyes._ahead_us = 1 << 62
    return old(eyes, own, wall_ns, at_us)


def _set_ahead(seed: int) -> Lists:
    """A host's wall clock is an hour ahead of its storage; others change names all the time."""
    options, operations, _ = SILENT_CROWD.at(seed)
    return options, operations, [Fault(200_000, "wall", 0, 1_000_000, "", 0)]


def _always_silent(old: Any, eyes: Any, own: Any, wall_ns: int, at_us: int) -> Any:
    return reading.Silence(own.ctime_ns, own.mtime_ns, own.ino, own.nlink)


def _any_root(old: Any, batch: Batch, bounds: Any, now_us: int, **named: Any) -> Any:
    return old(batch, bounds, now_us, **{**named, "identity": "", "root": None})


def _whatever_is_there(old: Any, source: SimSource) -> Any:
    root = source.eyes.mount.root
    if root is None:
        return old(source)
    source._proven = root.key, source.eyes.mount.identity
    return root


def _tree(name: str, inside: Any) -> Change:
    return wrapped(Tree, name, inside)


def _directories(old: Any, middle_s: float, directories_s: float, *rest: Any, **named: Any) -> Any:
    """Audits of directories alone: names are not read again to be sure."""
    return {"directories": directories_s}


def _loose_too(old: Any, tree: Tree) -> Any:
    with instead(Tree, "visible", lambda tree, directory: True).made():
        return iter(list(old(tree)))


def _cycle(seed: int) -> Lists:
    """/a/b: b comes to the top, a into b; who saw the second is heard first."""
    rng = Random(f"cycle {seed}")
    empty = next(s for s in count(100 * seed) if not Random(f"start {s}").randrange(12))
    options = draw(
        empty,
        hosts=2,
        length_s=9.0,
        features=frozenset(),
        bound_s=0.0,
        blind=0.0,
        births=True,
        scans="none",
    )
    made = [(0, "mkdir", 0, 0), (0, "mkdir", 0, 2), (0, "mkdir", 4, 1)]
    operations = [Operation(300_000 * (i + 1), *one) for i, one in enumerate(made)]
    at_us = _MOVES_US + rng.randrange(500_000)
    operations.append(Operation(at_us, 0, "rename", 2, 256))
    operations.append(Operation(at_us + rng.randrange(10_000, 200_000), 1, "rename", 0, 2))
    return options, operations, [Fault(3_900_000, "late", 0, 4_000_000, "", 2)]


def _reused(seed: int) -> Lists:
    """/a/b is removed where nobody sees it, its inode comes back as /b; a client's cache that knows
    the one of before is listed after the new one."""
    rng = Random(f"reused {seed}")
    empty = next(s for s in count(100 * seed) if not Random(f"start {s}").randrange(12))
    options = draw(
        empty,
        hosts=1,
        length_s=6.0,
        features=frozenset({"reuse"}),
        bound_s=1.5,
        births=False,
        sentinel_s=30.0,
    )
    at_us = [int(s * 1e6) + rng.randrange(300_000) for s in (2.5, 3.0, 3.3, 3.5, 6.0)]
    operations = [
        Operation(300_000, 0, "mkdir", 0, 0),
        Operation(600_000, 0, "mkdir", 1, 1),  # with a file in it
        Operation(at_us[0], 0, "scan", 0, 1),
        Operation(at_us[1], -1, "rmtree", 1, 0),
        Operation(at_us[2], 0, "mkdir", 0, 1),
        Operation(at_us[3], 0, "scan", 0, 1),
        Operation(at_us[4], 0, "ask", 0, 0),
    ]
    return options, operations, []


def _restored(seed: int) -> Lists:
    """Files come to a directory whose mtime is set back each time."""
    options = draw(seed, length_s=13.0, features=frozenset(), scans="silent", tick_us=1)
    rng = Random(f"restored {seed}")
    operations = [
        Operation(4_000_000 * i + rng.randrange(1_000_000), -1, "back", 0, i) for i in range(3)
    ]
    return options, operations, []


DIRECTORIES = (wrapped(rounds, "intervals", _directories),)

SEATS = (
    Bug("A1", "claims are addressed by path", (wrapped(Fold, "batch", _by_path),),
        Worlds("late", CALM, BUSY)),
    Bug("A11", "a directory can sit below itself", (wrapped(Directory, "is_below", _not_below),),
        Worlds(lists=_cycle)),
    Bug("A12", "keys that may be used again are taken for exact",
        (instead(reading, "kind_of", lambda key: "l"), _tree("add_claim", _unowed_first),
         _tree("adopt", _unowed_child)),
        Worlds(lists=_reused)),
    Bug("A13", "what is owed is closed by any listing", (_tree("settle", _settles_all),),
        Worlds("overflow late", CALM, BUSY)),
    Bug("along", "what is owed with all below is not taken along by what moves out",
        (wrapped(Along, "arrives", nothing), _tree("strays", nothing)),
        Worlds("overflow", CALM, BUSY)),
    Bug("A16", "hidden registers below loose directories are looked at",
        (wrapped(looks, "_contested", _loose_too),),
        Worlds("late", CALM, {**BUSY, "hosts": 3, "loose_age_s": 1e6})),
    Bug("A18", "racy listings have a silence key",
        (wrapped(reading.Eyes, "_silence", _always_silent),),
        SILENT_CROWD, given=DIRECTORIES),
    Bug("ahead", "whether a listing is racy is told by the host's own wall clock",
        (wrapped(reading.Eyes, "_silence", _by_own_wall),),
        Worlds(lists=_set_ahead), given=DIRECTORIES),
    Bug("A19", "a new seat owes no listing",
        (_tree("_seat_one", _always_moved), _tree("add_claim", _unowed_first),
         _tree("adopt", _unowed_child)),
        Worlds("reuse", ALONE, {**TWO, "births": False})),
    Bug("A23", "what a cycle kept from its seat is not tried again", (_tree("seat", _tries_once),),
        Worlds(lists=_cycle),
        given=(wrapped(SimSource, "cover", _covers_what_was_made),
         wrapped(SimSource, "look", _sees_nothing))),
    Bug("W6", "silence is told by mtime alone",
        (wrapped(recall, "_silent", _mtime_alone), wrapped(arbitration, "_same", _same_mtime),
         wrapped(Fold, "_calm", _calm_mtime)),
        Worlds(lists=_restored),
        given=(*DIRECTORIES, wrapped(Storage, "restore", _long_ago))),
    Bug("W7", "another disk at the root is taken for the root",
        (wrapped(admission, "admit", _any_root), wrapped(SimSource, "_root", _whatever_is_there)),
        Worlds("other", CALM, {**BUSY, "births": False})),
    Bug("W11", "what was below a removed directory stays", (_tree("drop_claim", nothing),),
        Worlds("", CALM, BUSY)),
    Bug("W15", "a directory's mtime never goes back",
        (wrapped(arbitration, "_listing", parent_mtime),), Worlds(lists=_restored),
        given=(wrapped(Storage, "restore", _long_ago),)),
    Bug("W17", "an overflow owes nothing", (_tree("owe", _no_overflow),),
        Worlds("overflow", ALONE, WATCHED)),
    Bug("W18", "a directory that moves is deleted and made anew", (_tree("_move", _emptied),),
        Worlds("", CALM, BUSY)),
    Bug("W19", "half of a move out of the tree is ignored",
        (wrapped(arbitration, "_cell", _half_ignored),),
        Worlds("outside", ALONE, WATCHED)),
    Bug("W20", "other names of an inode are not looked at",
        (wrapped(HardLinks, "changed", nothing),
         wrapped(watching.Registry, "saw", lambda old, *args: [])),
        Worlds("links", ALONE, WATCHED)),
    Bug("W21", "a name that is not UTF-8 is refused",
        (wrapped(soundness, "fault", _utf8),
         instead(soundness, "stores", lambda names, rows: False)),  # else nobody asks for the fault
        Worlds("", CALM, BUSY)),
    Bug("W26", "the view goes with its last session",
        (wrapped(Fold, "__init__", _noted), wrapped(Sessions, "apply", _wiped)),
        Worlds("cut", CALM, {**BUSY, "hosts": 1})),
)  # fmt: skip
