"""What people and programs do to the tree: drawn beforehand as a list, done when their time comes.

An operation is a tuple of plain numbers and words; what it is about is chosen at its time by
numbers modulo what is there. So any of them can be left out and the rest still means something.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from fustor_core.testing.sim.options import Options
from fustor_core.testing.sim.storage import DAY_NS, Inode, Storage, Told

NAMES = (b"a", b"b", b"c", b"d", b"\xffe", b"f g")
DEEPEST = 4
USUAL: dict[str, float] = {
    "create": 5,
    "write": 5,
    "remove": 3,
    "mkdir": 4,
    "rename": 5,
    "swap": 1,
    "rmtree": 1,
}


class Operation(NamedTuple):
    """One thing that is done.

    Attributes:
        at_us: after the start. host: whose; -1 = one without an agent.
        a, b: numbers that choose.
    """

    at_us: int
    host: int
    kind: str
    a: int
    b: int


def draw_operations(options: Options) -> list[Operation]:
    """What happens in the safety phase of a seed, in order."""
    rng = Random(f"operations {options.seed}")
    kinds: dict[str, float] = {
        "create": 5,
        "write": 5,
        "remove": 3,
        "mkdir": 4,
        "rename": 5,
        "swap": 1,
        "rmtree": 1,
    }
    extra: dict[str, dict[str, float]] = {
        "links": {"link": 4},
        "partial": {"begin": 3, "close": 3},
        "outside": {"out": 2, "in": 3},
        "bulk": {"many": 1, "clear": 1},
        "huge": {"huge": 0.3},
        "asks": {"ask": 2, "scan": 1},
        "times": {"old": 3, "same": 2, "back": 2, "chmod": 1},
    }
    for feature, more in extra.items():
        kinds |= more if options.has(feature) else {}
    found: list[Operation] = []
    at_us = 100_000
    end_us = int(options.length_s * 1e6)
    while at_us < end_us:
        host = -1 if rng.random() < options.blind else rng.randrange(options.hosts)
        kind = rng.choices(list(kinds), list(kinds.values()))[0]
        found.append(Operation(at_us, host, kind, rng.getrandbits(24), rng.getrandbits(24)))
        burst = rng.random() < 0.3
        pause = rng.uniform(20, 20_000) if burst else rng.expovariate(options.rate) * 1e6
        at_us += int(pause) + 1
    return found


class Hands:
    """Does operations.

    Args:
        tell: told what happened and on which host. later: does something after so many µs.
        ask: somebody asks fusion about a path, or for a scan of it.
    """

    def __init__(
        self,
        storage: Storage,
        tell: Callable[[int, list[Told]], None],
        later: Callable[[int, Callable[[], None]], None],
        now_us: Callable[[], int],
        ask: Callable[[str, bytes, int], None],
    ) -> None:
        self.storage, self._tell, self._later, self._now_us = storage, tell, later, now_us
        self._ask = ask
        self._open: list[tuple[Inode, int]] = []

    def __repr__(self) -> str:
        return f"<Hands on {self.storage!r}>"

    def start(self, rng: Random) -> None:
        """What stands there when everything begins."""
        self.storage.begin(self._now_us())
        for _ in range(rng.randrange(12)):
            self._one(Operation(0, -1, rng.choice(["create", "mkdir", "mkdir", "write"]),
                                rng.getrandbits(24), rng.getrandbits(24)))  # fmt: skip

    def do(self, one: Operation) -> bool:
        """Do it; False when it means nothing here."""
        if one.kind in ("ask", "scan"):
            places = [path for path, _, _, _ in self.storage.walk()]
            self._ask(one.kind, places[one.a % len(places)] if places else b"/", one.b)
            return True
        self.storage.begin(self._now_us())
        told = self._one(one)
        self._tell(one.host, told)
        return bool(told)

    def finish(self) -> None:
        """Whoever still writes is done."""
        for inode, host in self._open:
            self.storage.begin(self._now_us())
            inode.writers.discard(host)
            self._tell(host, self.storage.close(inode))
        self._open.clear()

    def _one(self, one: Operation) -> list[Told]:
        act: Callable[[Operation], list[Told]] = getattr(self, "_do_" + one.kind)
        return act(one)

    # ---- choosing

    def _folders(self) -> list[Inode]:
        return [self.storage.root, *(i for _, i, _, _ in self.storage.walk() if i.folder)]

    def _folder(self, number: int) -> Inode:
        folders = self._folders()
        return folders[number % len(folders)]

    def _entry(self, number: int, *, folder: bool | None = None) -> tuple[Inode, bytes] | None:
        found = [
            (at, name)
            for _, inode, at, name in self.storage.walk()
            if folder is None or inode.folder == folder
        ]
        return found[number % len(found)] if found else None

    def _free(self, folder: Inode, number: int) -> bytes | None:
        name = NAMES[number % len(NAMES)]
        return name if name not in (folder.kids or {}) else None

    def _inode(self, place: tuple[Inode, bytes]) -> Inode:
        return (place[0].kids or {})[place[1]]

    def _depth(self, folder: Inode) -> int:
        return (self.storage.path(folder) or b"/").count(b"/")

    # ---- kinds

    def _do_create(self, one: Operation) -> list[Told]:
        folder = self._folder(one.a)
        name = self._free(folder, one.b)
        return self.storage.create(folder, name) if name else []

    def _do_mkdir(self, one: Operation) -> list[Told]:
        folder = self._folder(one.a)
        name = self._free(folder, one.b)
        if name is None or self._depth(folder) >= DEEPEST:
            return []
        told = self.storage.create(folder, name, subfolder=True)
        if one.a & 1:  # mkdir -p, tar -x: something in it at once
            inner, made = NAMES[(one.b >> 8) % len(NAMES)], told[0].child
            again = bool(one.a & 2)

            def fill() -> None:
                if made.names and inner not in (made.kids or {}):
                    self.storage.begin(self._now_us())
                    self._tell(one.host, self.storage.create(made, inner, subfolder=again))

            self._later(100 + one.b % 8000, fill)
        return told

    def _do_write(self, one: Operation) -> list[Told]:
        place = self._entry(one.a, folder=False)
        if place is None:
            return []
        return self.storage.write(self._inode(place), one.b, None, closes=True)

    def _do_begin(self, one: Operation) -> list[Told]:
        place = self._entry(one.a, folder=False)
        if place is None or one.host < 0:
            return []
        inode = self._inode(place)
        if one.host not in inode.writers:
            inode.writers.add(one.host)
            self._open.append((inode, one.host))
        return self.storage.write(inode, one.b, None, closes=False)

    def _do_close(self, one: Operation) -> list[Told]:
        if not self._open:
            return []
        inode, host = self._open.pop(one.a % len(self._open))
        inode.writers.discard(host)
        self._tell(host, self.storage.close(inode))
        return []

    def _do_old(self, one: Operation) -> list[Told]:
        """cp -p onto it: an older or a future mtime."""
        place = self._entry(one.a, folder=False)
        days = (one.b % 800) - 400
        if place is None:
            return []
        mtime = max(1, self._now_us() * 1000 + days * DAY_NS)
        return self.storage.write(self._inode(place), one.b, mtime, closes=True)

    def _do_same(self, one: Operation) -> list[Told]:
        """Another size with the same mtime."""
        place = self._entry(one.a, folder=False)
        if place is None:
            return []
        inode = self._inode(place)
        return self.storage.write(inode, one.b, inode.row.mtime_ns, closes=True)

    def _do_back(self, one: Operation) -> list[Told]:
        """A file is added, and the directory's mtime set back."""
        told = self._do_create(one)
        if told:
            folder = told[0].folder
            self.storage.restore(folder, folder.row.mtime_ns - 1_000_000_000)
        return told

    def _do_chmod(self, one: Operation) -> list[Told]:
        place = self._entry(one.a)
        if place is None:
            return []
        inode = self._inode(place)
        if inode.folder:
            return []
        return self.storage.attributes(inode, mtime_ns=None, mode=0o600 + one.b % 64)

    def _do_link(self, one: Operation) -> list[Told]:
        place, folder = self._entry(one.a, folder=False), self._folder(one.b)
        name = self._free(folder, one.b >> 8)
        return self.storage.link(self._inode(place), folder, name) if place and name else []

    def _do_remove(self, one: Operation) -> list[Told]:
        place = self._entry(one.a)
        if place is None or self._inode(place).kids:
            return []
        return self.storage.remove(*place)

    def _do_rmtree(self, one: Operation) -> list[Told]:
        place = self._entry(one.a, folder=True)
        if place is None:
            return []
        told = self._cleared(self._inode(place))
        told += self.storage.remove(*place)
        if one.b & 1:
            told += self.storage.create(*place, subfolder=bool(one.b & 2))
        return told

    def _cleared(self, folder: Inode) -> list[Told]:
        told: list[Told] = []
        for name in sorted(folder.kids or ()):
            kid = (folder.kids or {})[name]
            if kid.folder:
                told += self._cleared(kid)
            told += self.storage.remove(folder, name)
        return told

    def _do_swap(self, one: Operation) -> list[Told]:
        """Delete and make anew, at once."""
        place = self._entry(one.a, folder=False)
        if place is None:
            return []
        return [*self.storage.remove(*place), *self.storage.create(*place)]

    def _do_rename(self, one: Operation) -> list[Told]:
        place, to = self._entry(one.a), self._folder(one.b)
        if place is None:
            return []
        inode, new = self._inode(place), NAMES[(one.b >> 8) % len(NAMES)]
        there = (to.kids or {}).get(new)
        at: Inode | None = to
        while at is not None:  # never below itself
            if at is inode:
                return []
            at = next(iter(at.names.values()), None)
        if there is inode or (there is not None and (there.folder or inode.folder)):
            return []
        if inode.folder and self._depth(to) >= DEEPEST:
            return []
        return self.storage.rename(*place, to, new)

    def _do_out(self, one: Operation) -> list[Told]:
        place = self._entry(one.a)
        if place is None:
            return []
        return self.storage.rename(*place, self.storage.outside, b"o%d" % one.at_us)

    def _do_in(self, one: Operation) -> list[Told]:
        names = sorted(self.storage.outside.kids or ())
        to = self._folder(one.b)
        new = self._free(to, one.b >> 8)
        if not names or new is None:
            return []
        return self.storage.rename(self.storage.outside, names[one.a % len(names)], to, new)

    def _do_many(self, one: Operation) -> list[Told]:
        folder = self._folder(one.a)
        told: list[Told] = []
        for number in range(4 + one.b % 30):
            name = b"m%d" % number
            if name not in (folder.kids or {}):
                told += self.storage.create(folder, name)
        return told

    def _do_huge(self, one: Operation) -> list[Told]:
        """More than one pack holds."""
        folder = self._folder(one.a)
        told: list[Told] = []
        for number in range(520):
            name = b"h%d" % number
            if name not in (folder.kids or {}):
                told += self.storage.create(folder, name)
        return told

    def _do_clear(self, one: Operation) -> list[Told]:
        return self._cleared(self._folder(one.a))
