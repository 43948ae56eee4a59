"""What every view promises, as checks; a view of dicts says what is right."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from fustor_core import frames
from fustor_core.claims import (
    PROTOCOL,
    Batch,
    Cell,
    Claim,
    Key,
    Listing,
    Origin,
    Owe,
    Root,
    Row,
    Stamp,
    edge_row,
    pack_rows,
)
from fustor_core.contracts import Durable, Moment, Query, View
from fustor_core.errors import QueryError
from fustor_core.fold import Fold, Folded
from fustor_core.testing.promises import BrokenPromise, configured, kept
from fustor_core.testing.store import MemoryArbitrator, MemoryView

ROOT, SUB, DEEP = Key(0, 1, 1), Key(0, 2, 2), Key(0, 3, 3)
WALL_NS = 1_700_000_000_000_000_000
ODD = b"\xff\n"


def file(size: int) -> bytes:
    """A plain file's row, long ago written."""
    return Row(size=size, mtime_ns=1, ctime_ns=1, ino=1000 + size).pack()


def edge(key: Key) -> bytes:
    """A child directory's row."""
    return edge_row(key, 0o040755)


@dataclass(slots=True)
class Feed:
    """A view that is fed with batches, by the same fold that fusion uses."""

    view: Any
    now_us: int = 1_000_000
    fold: Fold = field(init=False)

    def __post_init__(self) -> None:
        self.fold = Fold(self.view, MemoryArbitrator(MemoryArbitrator.Config()))

    def moment(self) -> Moment:
        """Now."""
        return Moment(self.now_us, WALL_NS, WALL_NS, self.now_us, False, 1, 0)

    def take(self, claims: list[Claim]) -> Folded:
        """A batch; what it has done."""
        self.now_us += 1_000_000
        pairs = [(claim.stamp.f, claim.stamp.t) for claim in claims]
        stamps = frames.pack_stamps(pairs)
        head = frames.BatchHead("session", "agent", 1, self.now_us, WALL_NS, [], stamps)
        *_, folded = self.fold.batch(head, Batch(PROTOCOL, 1, 1, claims), self.moment())
        return folded

    def ask(self, verb: str, path: bytes = b"/", **options: Any) -> dict[str, Any]:
        """A whole answer as one document."""
        document: dict[str, Any] = {}
        items: list[Any] = []
        pages = list(self.view.read(Query(verb, path, **options), self.moment()))
        for number, page in enumerate(pages):
            last = number == len(pages) - 1
            told = (page.document is not None) == last
            kept("the document comes with the last page, and only there", told, page)
            items.extend(page.items)
            document = {**(page.document or {}), **({page.list_name: items} if items else {})}
        kept("an answer has a page at least", pages)
        return document


class Script:
    """Claims about a small tree, one after the other on one clock."""

    def __init__(self) -> None:
        self.at = 0

    def _stamp(self, kind: str) -> Stamp:
        self.at += 100
        return Stamp(self.at, self.at + (10 if kind == "l" else 0), self.at, kind)

    def root(self) -> Root:
        """The proof of root."""
        return Root(key=ROOT, identity="kit", stamp=self._stamp("s"))

    def listing(self, key: Key, path: bytes, **rows: bytes) -> Listing:
        """A directory, read whole."""
        names, blob = pack_rows({name.encode(): row for name, row in rows.items()})
        stamp, origin = self._stamp("l"), Origin.SNAPSHOT
        return Listing(dir=key, names=names, rows=blob, stamp=stamp, origin=origin, path=path)

    def cell(self, key: Key, path: bytes, name: bytes, value: bytes | None, flags: int = 0) -> Cell:
        """An event."""
        return Cell(
            dir=key,
            name=name,
            value=value,
            stamp=self._stamp("e"),
            origin=Origin.REALTIME,
            path=path,
            flags=flags,
        )

    def owe(self, key: Key, path: bytes, *, deep: bool) -> Owe:
        """Evidence was lost."""
        stamp, origin = self._stamp("w"), Origin.REALTIME
        return Owe(dir=key, deep=deep, reason="overflow", stamp=stamp, origin=origin, path=path)

    def batches(self) -> Iterator[list[Claim]]:
        """A life: scanned, changed, moved, lost and found again, with everything sent twice."""
        scan: list[Claim] = [
            self.root(),
            self.listing(ROOT, b"/", a=file(1), b=file(2), sub=edge(SUB)),
            self.listing(SUB, b"/sub", x=file(10), deep=edge(DEEP)),
            self.listing(DEEP, b"/sub/deep", y=file(20)),
        ]
        yield scan
        yield scan
        yield [self.cell(ROOT, b"/", b"new", file(3)), self.cell(ROOT, b"/", b"a", None)]
        yield [self.cell(DEEP, b"/sub/deep", ODD, file(4))]
        moved = [
            self.cell(ROOT, b"/", b"sub", None, flags=1),
            self.cell(ROOT, b"/", b"moved", edge(SUB), flags=1),
        ]
        yield list(moved)
        yield list(moved)
        yield [self.listing(ROOT, b"/", b=file(5), moved=edge(SUB))]
        early = self.listing(SUB, b"/moved", x=file(11), deep=edge(DEEP))
        late = msgspec.structs.replace(
            early, stamp=Stamp(early.stamp.f + 5, early.stamp.t + 5, early.stamp.f + 5, "k")
        )
        names, rows = pack_rows({b"x": file(12), b"deep": edge(DEEP)})
        yield [early, msgspec.structs.replace(late, names=names, rows=rows)]
        yield [self.cell(SUB, b"/moved", b"x", file(13))]
        yield [self.owe(ROOT, b"/", deep=True)]
        yield [
            self.listing(ROOT, b"/", b=file(5), moved=edge(SUB)),
            self.listing(SUB, b"/moved", deep=edge(DEEP)),
            self.listing(DEEP, b"/moved/deep", y=file(20)),
        ]


PATHS = (b"/", b"/a", b"/b", b"/sub", b"/sub/x", b"/moved", b"/moved/deep", b"/moved/deep/y")


def view_kit(cls: Any, config: Any) -> None:
    """Check every promise of `contracts.View`, and of `Durable` for those that survive.

    Args:
        cls: the driver.
        config: an instance of its `Config`.

    Raises:
        BrokenPromise: names the promise, and what was found instead.
    """
    configured(cls, config)
    kept("a view has begin, known, apply, commit, read, flush", isinstance(cls(config), View))
    for check in CHECKS:
        check(lambda: Feed(cls(config)))


Make = Callable[[], Feed]


def check_empty(make: Make) -> None:
    """Before anything was heard."""
    feed = make()
    kept("what was never heard of is not known", feed.view.known(ROOT) is None)
    told = feed.ask("stat", b"/a")
    kept("what was never heard of is unknown", told["existence"] == "unknown", told)
    kept("a view that was never scanned is not complete", not told["quality"]["complete"], told)


def check_state(make: Make) -> None:
    """Registers are as the verdicts say."""
    feed, model = make(), Feed(MemoryView(MemoryView.Config()))
    for claims in Script().batches():
        feed.take(claims)
        model.take(claims)
        for key in (ROOT, SUB, DEEP):
            _compare(feed.view.known(key), model.view.known(key))


def _compare(found: Any, right: Any) -> None:
    kept("`known` returns every directory that was heard of", (found is None) == (right is None))
    if found is None:
        return
    kept("`known` knows its key", found.key == right.key, found.key)
    kept("a moved base has the verdict's stamp", found.base == right.base, found.base)
    kept("names are those that are present, in byte order", found.names() == right.names(), found)
    kept("blobs are names and rows of what is present", found.blobs() == right.blobs(), found)
    kept("`holds` compares the blobs", found.holds(*right.blobs()) and not found.holds(b"?", b""))
    kept("`digest` is BLAKE2b-128 of names, NUL, rows", found.digest() == right.digest())
    kept("the silence key is the verdict's", found.silent == right.silent, found.silent)
    kept("`own` has the registers that override the base", set(found.own) == set(right.own), found)
    for name in {*right.names(), *right.own, b"a", b"x", b"sub", b"never"}:
        a, b = found.get(name), right.get(name)
        same = a is b is None or (
            a and b and (a.value, a.seen, a.debt) == (b.value, b.seen, b.debt)
        )
        kept("a register has the verdict's value, stamp and debt", same, f"{name!r}: {a} {b}")


def check_answers(make: Make) -> None:
    """Questions are answered from what is known."""
    feed, model = make(), Feed(MemoryView(MemoryView.Config()))
    for claims in Script().batches():
        feed.take(claims)
        model.take(claims)
        for path in PATHS:
            found, right = feed.ask("stat", path), model.ask("stat", path)
            told = found["existence"] == right["existence"]
            kept("existence is present, absent or unknown", told, f"{path!r}: {found}")
            entry, wanted = found["entry"], right["entry"]
            told = (entry is None) == (wanted is None)
            kept("an entry comes with what is present", told, f"{path!r}: {found}")
            if entry and wanted["type"] == "file":
                told = (entry["type"], entry["size"]) == ("file", wanted["size"])
                kept("an entry has the row's columns", told, entry)
        found, right = feed.ask("du")["rollup"], model.ask("du")["rollup"]
        same = {name: found[name] for name in right} == right
        kept("rollups are what is present, counted", same, f"{found} instead of {right}")
        complete = feed.ask("stat")["quality"]["complete"]
        same = complete == model.ask("stat")["quality"]["complete"]
        kept("complete: all is listed and nothing is owed", same, complete)


def check_listing(make: Make) -> None:
    """`ls`."""
    feed = make()
    for claims in Script().batches():
        feed.take(claims)
    feed.take([Script().cell(ROOT, b"/", ODD, file(1))])
    entries = feed.ask("ls")["entries"]
    names = [entry.get("name") for entry in entries]
    kept("`ls` lists by name, in byte order", names[:2] == ["b", "moved"], names)
    told = entries[-1].get("name_b64") is not None or len(names) == 2
    kept("a name that is no UTF-8 comes as name_b64", told, entries[-1])


def check_pages(make: Make) -> None:
    """Reading changes nothing and may stop anywhere."""
    feed = make()
    names = {f"f{i:05}": file(1) for i in range(3000)}
    script = Script()
    feed.take([script.root(), script.listing(ROOT, b"/", **names)])
    for _ in feed.view.read(Query("ls", limit=2000), feed.moment()):
        break
    entries = feed.ask("ls", limit=2000)
    kept("a reading may be left at any page, and begun anew", len(entries["entries"]) == 2000)


def check_nonsense(make: Make) -> None:
    """What makes no sense is said."""
    feed = make()
    try:
        feed.ask("no such verb")
    except QueryError:
        return
    raise BrokenPromise("a question that makes no sense raises QueryError", "no error")


def check_owed(make: Make) -> None:
    """What is owed is told."""
    feed, script = make(), Script()
    feed.take([script.root(), script.listing(ROOT, b"/", sub=edge(SUB))])
    feed.take([script.listing(SUB, b"/sub")])
    folded = feed.take([script.owe(SUB, b"/sub", deep=False)])
    found = [(owed.key, owed.path, owed.deep) for owed in folded.owed]
    told = found == [(SUB, b"/sub", False)]
    kept("`commit` names the directories that a batch has left owed", told, found)
    folded = feed.take([script.listing(SUB, b"/sub")])
    kept("a listing that looked later closes what was owed", not folded.owed, folded.owed)


def check_flush(make: Make) -> None:
    """Housekeeping is invisible."""
    feed = make()
    for claims in Script().batches():
        feed.take(claims)
    before = feed.ask("du")["rollup"]
    feed.view.flush(0.01)
    kept("`flush` changes no answer", feed.ask("du")["rollup"] == before)


def check_durable(make: Make) -> None:
    """The state survives, as of the last checkpoint."""
    feed = make()
    if not isinstance(feed.view, Durable):
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        first = feed.view.open(folder, "kit")
        kept("a first start is at position 0", first == (0, b""), first)
        for claims in Script().batches():
            feed.take(claims)
        list(feed.view.checkpoint(7, b"meta"))[-1]()
        right = {path: feed.ask("stat", path)["existence"] for path in PATHS}
        view: Any = feed.view
        registers = {key: view.known(key).blobs() for key in (ROOT, SUB, DEEP)}
        rollup = feed.ask("du")["rollup"]
        feed.take([Script().cell(ROOT, b"/", b"later", file(9))])
        feed.view.close()
        again = make()
        position = again.view.open(folder, "kit")
        kept("`open` returns what the checkpoint was given", position == (7, b"meta"), position)
        kept("nothing is damaged", not again.view.damage(), again.view.damage())
        found = {key: again.view.known(key).blobs() for key in (ROOT, SUB, DEEP)}
        kept("registers are those of the checkpoint", found == registers, found)
        answers = {path: again.ask("stat", path)["existence"] for path in PATHS}
        kept("answers are those of the checkpoint", answers == right, answers)
        told = again.ask("du")["rollup"]
        kept("rollups are those of the checkpoint", told == rollup, told)
        again.view.close()


CHECKS = (
    check_empty,
    check_state,
    check_answers,
    check_listing,
    check_pages,
    check_nonsense,
    check_owed,
    check_flush,
    check_durable,
)
