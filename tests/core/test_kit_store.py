"""The kits of arbitrators and views: every broken promise is caught by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fustor_core.claims import Cell, Claim, Key, Listing, Owe, Same, unpack_row
from fustor_core.contracts import Applied, Facts, Known, Moment, Page, Query, Verdict, Write
from fustor_core.errors import QueryError
from fustor_core.registers import Register
from fustor_core.testing import (
    BrokenPromise,
    MemoryArbitrator,
    MemoryView,
    arbitrator_kit,
    view_kit,
)
from fustor_core.testing.arbitrator_kit import CHECKS as JUDGING
from fustor_core.testing.view_kit import CHECKS as VIEWING

# -- arbitrators

changed = msgspec.structs.replace
Amend = Callable[[Verdict, Claim, Known | None], Verdict]


def test_the_arbitrator_in_memory_keeps_every_promise() -> None:
    arbitrator_kit(MemoryArbitrator, MemoryArbitrator.Config())


def judging(amend: Amend) -> type[MemoryArbitrator]:
    """An arbitrator whose verdicts are amended."""

    class Broken(MemoryArbitrator):
        def judge(self, known: Known | None, claim: Claim, facts: Facts) -> Verdict:
            return amend(super().judge(known, claim, facts), claim, known)

    return Broken


def on(kind: type, amend: Callable[[Verdict, Any], Verdict]) -> type[MemoryArbitrator]:
    """Verdicts about one kind of claim are amended."""
    return judging(lambda v, claim, known: amend(v, claim) if isinstance(claim, kind) else v)


class Moody(MemoryArbitrator):
    turn = 0

    def judge(self, known: Known | None, claim: Claim, facts: Facts) -> Verdict:
        self.turn += 1
        return changed(super().judge(known, claim, facts), rule=f"turn {self.turn}")


class Meddling(MemoryArbitrator):
    def judge(self, known: Known | None, claim: Claim, facts: Facts) -> Verdict:
        verdict = super().judge(known, claim, facts)
        if known is not None:
            known.suspects[b"x"] = 1  # type: ignore[index]
        return verdict


class ByMtime(MemoryArbitrator):
    """The published rule: the younger mtime wins."""

    def judge(self, known: Known | None, claim: Claim, facts: Facts) -> Verdict:
        verdict = super().judge(known, claim, facts)
        verdict.writes = [w for w in verdict.writes if not self._loses(w.old, w.new)]
        return verdict

    def _loses(self, old: Register | None, new: Register) -> bool:
        if old is None or old.value is None or new.value is None:
            return False
        return unpack_row(new.value).mtime_ns < unpack_row(old.value).mtime_ns


class ByArrival(MemoryArbitrator):
    """The last one to come wins."""

    def judge(self, known: Known | None, claim: Claim, facts: Facts) -> Verdict:
        verdict = super().judge(known, claim, facts)
        if isinstance(claim, Cell) and verdict.rule == "older" and claim.stamp.at == 30:
            old = known.get(claim.name) if known else None
            assert old is not None
            new = Register(claim.value, old.seen)
            verdict.writes = [*verdict.writes, Write(claim.name, old, new)]
        return verdict


class Agreeable(MemoryArbitrator):
    """No debts: the first one stays."""

    def judge(self, known: Known | None, claim: Claim, facts: Facts) -> Verdict:
        verdict = super().judge(known, claim, facts)
        verdict.writes = [changed(write, new=_clean(write.new)) for write in verdict.writes]
        if verdict.own:
            verdict.own = {name: _clean(r) for name, r in verdict.own.items()}
        return verdict


def _clean(register: Register) -> Register:
    return Register(register.value, register.seen, False, register.rt, register.origin)


def _without_weak(claim: Claim) -> Claim:
    return msgspec.structs.replace(claim, weak=()) if isinstance(claim, Listing) else claim


class Firm(MemoryArbitrator):
    """Weak names are judged like others."""

    def judge(self, known: Known | None, claim: Claim, facts: Facts) -> Verdict:
        return super().judge(known, _without_weak(claim), facts)


class Whole(MemoryArbitrator):
    """Incomplete listings are taken for complete ones."""

    def judge(self, known: Known | None, claim: Claim, facts: Facts) -> Verdict:
        if isinstance(claim, Listing):
            claim = msgspec.structs.replace(claim, complete=True)
        return super().judge(known, claim, facts)


class Fresh(MemoryArbitrator):
    """A listing that comes again makes the base a little younger."""

    def judge(self, known: Known | None, claim: Claim, facts: Facts) -> Verdict:
        verdict = super().judge(known, claim, facts)
        if verdict.rule == "overlap" and verdict.base is not None:
            verdict.base = msgspec.structs.replace(verdict.base, hi=verdict.base.hi + 1)
        return verdict


ARBITRATORS = [
    (Moody, "check_first", "pure"),
    (Meddling, "check_absence", "does not change what is known"),
    (judging(lambda v, c, k: changed(v, key=Key(9, 9, 9))), "check_first", "names its claim"),
    (judging(lambda v, c, k: changed(v, scan=False)), "check_first", "scan class"),
    (on(Listing, lambda v, c: changed(v, pack=None)), "check_first", "becomes the base"),
    (on(Listing, lambda v, c: changed(v, settles=None)), "check_first", "settles"),
    (
        on(Listing, lambda v, c: changed(v, writes=[w for w in v.writes if w.new.value])),
        "check_absence",
        "absence of what it lacks",
    ),
    (
        judging(lambda v, c, k: changed(v, base=None) if k and v.pack is None else v),
        "check_unchanged",
        "moves the base's stamp",
    ),
    (
        judging(lambda v, c, k: changed(v, base=v.seen) if v.rule == "older" else v),
        "check_older",
        "older evidence",
    ),
    (ByMtime, "check_newer", "mtime decides nothing"),
    (ByArrival, "check_arrival", "order of arrival"),
    (Agreeable, "check_debt", "leave a debt"),
    (Fresh, "check_redelivery", "comes twice"),
    (Whole, "check_incomplete", "proves no absence"),
    (Firm, "check_weak", "the event speaks"),
    (on(Same, lambda v, c: changed(v, base=v.seen)), "check_same", "never moves a stamp"),
    (
        on(Listing, lambda v, c: changed(v, owe=None) if c.digest else v),
        "check_digest",
        "does not match owes",
    ),
    (on(Owe, lambda v, c: changed(v, owe=None)), "check_owe", "owes what it says"),
    (on(Cell, lambda v, c: changed(v, attrs=None)), "check_attributes", "own attributes"),
]


@pytest.mark.parametrize(("broken", "check", "promise"), ARBITRATORS)
def test_an_arbitrator_s_broken_promise_is_named(broken: Any, check: str, promise: str) -> None:
    with pytest.raises(BrokenPromise, match=promise) as caught:
        arbitrator_kit(broken, broken.Config())
    assert check in [frame.name for frame in caught.traceback]


def test_every_check_of_arbitrators_has_caught_something() -> None:
    assert {check for _, check, _ in ARBITRATORS} == {check.__name__ for check in JUDGING}


# -- views


def test_the_view_in_memory_keeps_every_promise() -> None:
    view_kit(MemoryView, MemoryView.Config())


def reading(amend: Callable[[Page, Query], Page | None]) -> type[MemoryView]:
    """A view whose pages are amended, or left out."""

    class Broken(MemoryView):
        def read(self, query: Query, moment: Moment) -> Iterator[Page]:
            for page in super().read(query, moment):
                amended = amend(page, query)
                if amended is not None:
                    yield amended

    return Broken


def told(**fields: object) -> Callable[[Page, Query], Page]:
    return lambda page, query: replace(page, document={**(page.document or {}), **fields})


class Amnesiac(MemoryView):
    def known(self, key: Key) -> Known | None:
        return None


class Ignoring(MemoryView):
    """Registers that override the base are not kept."""

    def apply(self, verdict: Verdict) -> Applied:
        return super().apply(changed(verdict, own=None, writes=[]))


class Stale(MemoryView):
    """Debts are dropped."""

    def apply(self, verdict: Verdict) -> Applied:
        own = {n: _clean(r) for n, r in (verdict.own or {}).items()}
        return super().apply(changed(verdict, own=own if verdict.own is not None else None))


class Wordless(MemoryView):
    def commit(self) -> Applied:
        return replace(super().commit(), owed=[])


class Tidy(MemoryView):
    """Housekeeping that throws away."""

    def flush(self, limit_s: float) -> None:
        self.directories.clear()


class Reader(MemoryView):
    """One reading at a time."""

    busy = False

    def read(self, query: Query, moment: Moment) -> Iterator[Page]:
        if self.busy:
            return
        self.busy = query.verb == "ls" and len(self.directories) == 1
        yield from super().read(query, moment)
        self.busy = False


class Tolerant(MemoryView):
    def read(self, query: Query, moment: Moment) -> Iterator[Page]:
        try:
            yield from super().read(query, moment)
        except QueryError:
            yield Page([], "", {})


class Durable(MemoryView):
    """Survives, but forgets where it was."""

    def open(self, folder: Path, name: str) -> tuple[int, bytes]:
        return 0, b""

    def checkpoint(self, lsn: int, meta: bytes) -> Iterator[Callable[[], None]]:
        yield lambda: None

    def dirty(self) -> int:
        return 0

    def damage(self) -> list[str]:
        return []

    def close(self) -> None:
        return


def backwards(page: Page, query: Query) -> Page:
    return replace(page, items=page.items[::-1])


VIEWS = [
    (reading(told(existence="absent")), "check_empty", "is unknown"),
    (Amnesiac, "check_state", "every directory that was heard of"),
    (Ignoring, "check_state", "own|names|blobs"),
    (Stale, "check_state", "value, stamp and debt"),
    (reading(lambda p, q: replace(p, document=None)), "check_empty", "last page"),
    (
        reading(lambda p, q: told(entry=None)(p, q) if q.path == b"/b" else p),
        "check_answers",
        "an entry comes with",
    ),
    (
        reading(told(rollup={"files": 0, "dirs": 0, "bytes": 0})),
        "check_answers",
        "rollups",
    ),
    (reading(backwards), "check_listing", "in byte order"),
    (Reader, "check_pages", "left at any page|a page at least"),
    (Tolerant, "check_nonsense", "raises QueryError"),
    (Wordless, "check_owed", "left owed"),
    (Tidy, "check_flush", "changes no answer"),
    (Durable, "check_durable", "what the checkpoint was given"),
]


@pytest.mark.parametrize(("broken", "check", "promise"), VIEWS)
def test_a_view_s_broken_promise_is_named(broken: Any, check: str, promise: str) -> None:
    with pytest.raises(BrokenPromise, match=promise) as caught:
        view_kit(broken, broken.Config())
    assert check in [frame.name for frame in caught.traceback]


def test_every_check_of_views_has_caught_something() -> None:
    assert {check for _, check, _ in VIEWS} == {check.__name__ for check in VIEWING}
