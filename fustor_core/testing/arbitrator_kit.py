"""What every arbitrator promises, as checks."""

from __future__ import annotations

import copy
from typing import Any

import msgspec

from fustor_core.claims import (
    Cell,
    Claim,
    Listing,
    Origin,
    Owe,
    Row,
    Same,
    Silence,
    Stamp,
    edge_row,
    pack_rows,
    path_key,
)
from fustor_core.contracts import Arbitrator, Facts, Verdict
from fustor_core.registers import Seen
from fustor_core.testing.promises import configured, kept
from fustor_core.testing.store import MemoryDirectory

DIRECTORY = path_key(b"/d")
STORAGE_NS = 1 << 60  # long after every mtime here: nothing is hot
SILENCE = Silence(1, 2, 3, 4)


def row(size: int, mtime_ns: int = 1) -> bytes:
    """A plain file's row."""
    return Row(size=size, mtime_ns=mtime_ns, ctime_ns=mtime_ns, ino=size).pack()


def cell(name: bytes, value: bytes | None, at: int, **fields: Any) -> Cell:
    """An event that was looked at, at the raw instant `at`."""
    told = {"origin": Origin.REALTIME, **fields}
    return Cell(
        dir=DIRECTORY, name=name, value=value, stamp=Stamp(at, at, at, "e"), path=b"/d", **told
    )


def listing(f: int, t: int, rows: dict[bytes, bytes], **fields: Any) -> Listing:
    """A listing that looked from `f` to `t`."""
    names, blob = pack_rows(rows)
    told = {"origin": Origin.AUDIT, **fields}
    stamp = Stamp(f, t, f, "l")
    return Listing(dir=DIRECTORY, names=names, rows=blob, stamp=stamp, path=b"/d", **told)


class Bench:
    """One directory, and the arbitrator that judges claims about it."""

    def __init__(self, arbitrator: Arbitrator) -> None:
        self.arbitrator = arbitrator
        self.directory: MemoryDirectory | None = None

    def judge(self, claim: Claim, line: int = 1) -> Verdict:
        """A judgement, held against what is promised of each: it is pure, it names its claim."""
        stamp = claim.stamp
        seen = Seen(stamp.f, stamp.t, line, stamp.f, stamp.t, stamp.at, stamp.kind)
        facts = Facts(seen, stamp.t, STORAGE_NS)
        before = _state(self.directory)
        verdict = self.arbitrator.judge(self.directory, claim, facts)
        kept("`judge` does not change what is known", _state(self.directory) == before)
        again = self.arbitrator.judge(copy.deepcopy(self.directory), claim, facts)
        kept("`judge` is pure: same input, same verdict", again == verdict, again)
        named = (verdict.key, verdict.seen, verdict.origin) == (claim.dir, seen, claim.origin)  # type: ignore[union-attr]
        kept("a verdict names its claim's directory, stamp and origin", named, verdict)
        scan = claim.origin is not Origin.REALTIME
        kept("a verdict says whether the evidence is of scan class", verdict.scan == scan, verdict)
        return verdict

    def take(self, claim: Claim, line: int = 1) -> Verdict:
        """A judgement that is applied."""
        verdict = self.judge(claim, line)
        self.directory = self.directory or MemoryDirectory(DIRECTORY)
        self.directory.apply(verdict, claim.stamp.t)
        return verdict

    def value(self, name: bytes) -> bytes | None:
        """What is known of a name; None for absent and for unknown."""
        register = self.directory.get(name) if self.directory else None
        return register.value if register else None

    def debt(self, name: bytes) -> bool:
        """Whether a name is disputed."""
        register = self.directory.get(name) if self.directory else None
        return register is not None and register.debt


def _state(directory: MemoryDirectory | None) -> object:
    return copy.deepcopy(vars(directory)) if directory is not None else None


def arbitrator_kit(cls: Any, config: Any) -> None:
    """Check every promise of `contracts.Arbitrator`.

    What a driver is free to decide is left out: which of two disputed values is shown, and what is
    suspect.

    Args:
        cls: the driver.
        config: an instance of its `Config`.

    Raises:
        BrokenPromise: names the promise, and what was found instead.
    """
    configured(cls, config)
    kept("an arbitrator has `judge`", isinstance(cls(config), Arbitrator))
    for check in CHECKS:
        check(Bench(cls(config)))


def check_first(bench: Bench) -> None:
    """A first listing becomes the base."""
    claim = listing(10, 12, {b"a": row(1), b"sub": edge_row(path_key(b"/d/sub"))})
    verdict = bench.take(claim)
    pack = verdict.pack
    whole = pack is not None and (pack.names, pack.rows) == (claim.names, claim.rows)
    kept("a first listing becomes the base, as it was claimed", whole, verdict)
    kept("a first listing sets the base's stamp", verdict.base == verdict.seen, verdict)
    kept("a complete listing settles what is owed", verdict.settles == verdict.seen, verdict)
    edges = [write.name for write in verdict.writes]
    kept("every new edge is a write", edges == [b"sub"], edges)


def check_absence(bench: Bench) -> None:
    """A listing is the tombstone of every name that it lacks."""
    bench.take(listing(10, 12, {b"a": row(1), b"b": row(2)}))
    verdict = bench.take(listing(20, 22, {b"a": row(1), b"c": row(3)}))
    found = {write.name: write.new.value for write in verdict.writes}
    told = found == {b"b": None, b"c": row(3)}
    kept("a later listing writes what it changes, and absence of what it lacks", told, found)
    kept("a later listing moves the base", verdict.base is not None, verdict)


def check_unchanged(bench: Bench) -> None:
    """The memcmp path."""
    bench.take(listing(10, 12, {b"a": row(1)}))
    verdict = bench.take(listing(20, 22, {b"a": row(1)}))
    kept("an unchanged listing writes nothing", not verdict.writes, verdict.writes)
    kept("an unchanged listing moves the base's stamp", verdict.base == verdict.seen, verdict)
    kept("an unchanged listing settles what is owed", verdict.settles is not None, verdict)


def check_older(bench: Bench) -> None:
    """Evidence from before is counted, nothing else."""
    bench.take(listing(20, 22, {b"a": row(1)}))
    bench.take(cell(b"a", row(2), 30))
    for claim in (cell(b"a", row(9), 25), listing(10, 12, {b"a": row(9)})):
        verdict = bench.take(claim)
        kept("older evidence writes nothing", not verdict.writes, verdict)
        kept("older evidence does not move the base", verdict.base is None, verdict)
    kept("older evidence changes nothing", bench.value(b"a") == row(2))


def check_newer(bench: Bench) -> None:
    """The later look wins, whatever its mtime says."""
    bench.take(listing(20, 22, {b"a": row(1, mtime_ns=1000)}))
    bench.take(cell(b"a", row(2, mtime_ns=5), 30))
    kept("mtime decides nothing: the later look wins", bench.value(b"a") == row(2, mtime_ns=5))
    bench.take(cell(b"a", None, 40))
    kept("an event of absence is absence", bench.value(b"a") is None)
    bench.take(listing(50, 52, {b"a": row(3)}))
    kept("a later look brings a name back", bench.value(b"a") == row(3))


def check_arrival(bench: Bench) -> None:
    """Order of arrival decides nothing."""
    late, early = cell(b"a", row(2), 40), cell(b"a", row(1), 30)
    bench.take(late)
    bench.take(early)
    kept("the order of arrival decides nothing", bench.value(b"a") == row(2))


def check_debt(bench: Bench) -> None:
    """Looks that overlap and disagree."""
    bench.take(listing(10, 20, {b"a": row(1)}))
    bench.take(listing(15, 30, {b"a": row(2)}), line=2)
    kept("looks that overlap and disagree leave a debt", bench.debt(b"a"))
    bench.take(cell(b"a", row(2), 25), line=3)
    kept("a look that overlaps the dispute settles nothing", bench.debt(b"a"))
    bench.take(cell(b"a", row(3), 35), line=3)
    settled = not bench.debt(b"a") and bench.value(b"a") == row(3)
    kept("a look that begins after the dispute settles it", settled)


def check_redelivery(bench: Bench) -> None:
    """What comes twice changes nothing."""
    claims: list[Claim] = [
        listing(10, 12, {b"a": row(1), b"b": row(2)}),
        cell(b"a", row(3), 20),
        listing(18, 30, {b"a": row(1), b"c": row(4)}),
        cell(b"b", None, 40),
    ]
    for line, claim in enumerate(claims):
        bench.take(claim, line=1 + line % 2)
        before = _state(bench.directory)
        bench.take(claim, line=1 + line % 2)
        kept("what comes twice changes nothing", _state(bench.directory) == before, claim)


def check_incomplete(bench: Bench) -> None:
    """A listing that was not read to its end."""
    bench.take(listing(10, 12, {b"a": row(1), b"b": row(2)}))
    claim = listing(20, 22, {b"a": row(5)}, complete=False, reason="io_error", errno=5)
    verdict = bench.take(claim)
    kept("an incomplete listing proves no absence", bench.value(b"b") == row(2))
    kept("an incomplete listing's entries count", bench.value(b"a") == row(5))
    kept("an incomplete listing settles nothing", verdict.settles is None, verdict)
    owe = verdict.owe
    told = owe is not None and owe[2:] == ("io_error", 5)
    kept("an incomplete listing owes another, for its reason", told, owe)


def check_weak(bench: Bench) -> None:
    """Names for which an event came meanwhile."""
    bench.take(listing(10, 12, {b"a": row(1), b"b": row(1)}))
    bench.take(cell(b"a", row(2), 21))
    claim = listing(20, 24, {b"a": row(9), b"b": row(1)}, weak=(b"a", b"gone"))
    bench.take(claim)
    told = bench.value(b"a") == row(2) and not bench.debt(b"a")
    kept("of a weak name the event speaks, not the listing", told)
    bench.take(cell(b"gone", row(7), 26))
    kept("a weak name is not absent by its listing", bench.value(b"gone") == row(7))


def check_same(bench: Bench) -> None:
    """A look at the directory alone."""
    bench.take(listing(10, 12, {b"a": row(1)}, silence=SILENCE))
    same = Same(
        dir=DIRECTORY, silence=SILENCE, stamp=Stamp(20, 20, 0, "s"), origin=Origin.AUDIT, path=b"/d"
    )
    verdict = bench.take(same)
    moved = verdict.base is not None or verdict.writes or verdict.owe
    kept("`Same` never moves a stamp", not moved, verdict)
    other = msgspec.structs.replace(same, silence=Silence(9, 9, 9, 9))
    kept("`Same` that is not the same owes a listing", bench.take(other).owe is not None)


def check_digest(bench: Bench) -> None:
    """A listing that is sent as a digest."""
    bench.take(listing(10, 12, {b"a": row(1)}))
    assert bench.directory is not None
    known = listing(20, 22, {}, digest=bench.directory.digest())
    kept("a digest that matches is a listing", bench.take(known).base is not None)
    kept("a digest that matches keeps the entries", bench.value(b"a") == row(1))
    wrong = listing(30, 32, {}, digest=b"\0" * 16)
    kept("a digest that does not match owes a listing", bench.take(wrong).owe is not None)
    kept("a digest that does not match changes nothing", bench.value(b"a") == row(1))


def check_owe(bench: Bench) -> None:
    """Evidence was lost."""
    claim = Owe(
        dir=DIRECTORY,
        deep=True,
        reason="overflow",
        stamp=Stamp(20, 20, 1, "w"),
        origin=Origin.REALTIME,
        path=b"/d",
        errno=7,
    )
    verdict = bench.take(claim)
    told = verdict.owe == (verdict.seen, True, "overflow", 7)
    kept("`Owe` owes what it says", told, verdict.owe)
    kept("`Owe` writes nothing", not verdict.writes and verdict.base is None, verdict)


def check_attributes(bench: Bench) -> None:
    """A directory's own attributes."""
    bench.take(listing(10, 12, {}, own=row(4)))
    assert bench.directory is not None
    kept("a listing carries its directory's attributes", bench.directory.attrs is not None)
    verdict = bench.take(cell(b"", row(5), 20))
    told = verdict.attrs is not None and verdict.attrs.value == row(5) and not verdict.writes
    kept("the name b'' is the directory's own attributes", told, verdict)
    verdict = bench.take(cell(b"", row(6), 15))
    kept("older attributes change nothing", verdict.attrs is None, verdict)


CHECKS = (
    check_first,
    check_absence,
    check_unchanged,
    check_older,
    check_newer,
    check_arrival,
    check_debt,
    check_redelivery,
    check_incomplete,
    check_weak,
    check_same,
    check_digest,
    check_owe,
    check_attributes,
)
