"""A fault that nobody foresaw costs the claim in which it shows, or its batch, and no more."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest
from fustor_arbitrator_fs import FSArbitrator
from fustor_view_file import FileView

from fustor_core.claims import Claim, Key, Origin, Row, edge_row
from fustor_core.contracts import Facts, Known, Query, Verdict
from fustor_core.errors import StateError
from fustor_core.testing.store import MemoryArbitrator, MemoryView

from .party import ROOT, TOP, Party, file

pytestmark = pytest.mark.anyio

POISON = b"poison"
SUB = Key(0, 5, 0)


class Touchy(FSArbitrator):
    """Fails at one name, as long as that is not mended."""

    mended = False

    def judge(self, known: Known | None, claim: Claim, facts: Facts) -> Verdict:
        if not self.mended and POISON in (getattr(claim, "name", b""), *_names(claim)):
            raise ZeroDivisionError("nobody foresaw this")
        return super().judge(known, claim, facts)


class Breaking(FileView):
    """Fails half way through an apply: the pack is changed, its tallies are not."""

    mended = False

    def apply(self, verdict: Verdict) -> Any:
        done = super().apply(verdict)
        named = [w.name for w in verdict.writes if w.new.value is not None]
        if POISON in (*named, *_names(verdict.pack)) and not self.mended:
            self.registers.tree.dirs[verdict.key].count[0] += 1000
            raise KeyError(POISON)
        return done


class Ending(FileView):
    """Fails when the batch is over: no claim of it is to blame."""

    poisoned = False

    def apply(self, verdict: Verdict) -> Any:
        self.poisoned = self.poisoned or POISON in [w.name for w in verdict.writes]
        return super().apply(verdict)

    def commit(self) -> Any:
        poisoned, self.poisoned = self.poisoned, False
        if poisoned:
            raise KeyError(POISON)
        return super().commit()


def _names(listed: object) -> list[bytes]:
    return list(getattr(listed, "names", b"").split(b"\0"))


class Site(Party):
    """A party with drivers of which one has a fault."""

    drivers: tuple[type[Any], type[Any]] = FileView, FSArbitrator

    def made(self) -> None:
        super().made()
        view, arbitrator = (driver(driver.Config()) for driver in self.drivers)
        old = self.pipeline
        self.pipeline = type(old)(
            self.options,
            view,
            arbitrator,
            self.folder,
            boot=self.boot,
            on_alarm=self.alarms.append,
            on_move=self._note,
            raw_us=self.clock.now_us,
            sleep=self.clock.sleep,
        )

    def status(self) -> dict[str, Any]:
        document: dict[str, Any] = {}
        for page in self.pipeline.view.read(Query("status"), self.pipeline.moment()):
            document = page.document or document
        return {**document, **self.pipeline.status()}

    def gaps(self) -> dict[str, str]:
        listed = self.status()["quality"]["unscanned"]
        return {item["path"]: item["reason"] for item in listed}


@pytest.fixture(params=[(FileView, Touchy), (Breaking, FSArbitrator)], ids=["judge", "apply"])
def site(tmp_path: Path, request: pytest.FixtureRequest) -> Site:
    class Faulty(Site):
        drivers = request.param

    return Faulty(tmp_path / "v")


async def test_the_claim_is_set_aside_and_all_else_goes_on(site: Site) -> None:
    async with site.running():
        one, two = await site.agent(), await site.agent("b")
        await one.send(*one.tree())
        before = site.status()
        ack = await two.send(two.root(), two.event(b"new", file()), two.event(POISON, file(), TOP))
        assert [(q.index, q.reason, q.name) for q in ack.quarantined] == [
            (2, "set_aside", POISON),
        ]  # fmt: skip
        assert not ack.owed, "a look at once would end as this one did"
        assert site.paths() == {"/a", "/d", "/d/b", "/new"}, "nothing of that claim is in the view"
        now = site.status()
        assert (now["files"], now["dirs"]) == (before["files"] + 1, before["dirs"])
        assert site.gaps() == {"/d": "quarantine"}
        aside = now["quarantine"]
        assert aside["count"] == 1
        assert aside["newest"][0]["agent"] == "b"
        assert "quarantine" in aside["remedy"]
        assert len(site.alarms) == 1
        assert "could not be applied" in site.alarms[0]
        assert {path.suffix for path in (site.folder / "quarantine").iterdir()} == {
            ".frame", ".json",
        }  # fmt: skip

        again = await two.send(seq=1)
        assert again.quarantined == ack.quarantined, "the same batch gets the same reply"
        await two.send(two.event(b"later", file()))
        await one.send(one.event(b"other", file()))
        assert site.paths() == {"/a", "/d", "/d/b", "/new", "/later", "/other"}


async def test_a_start_does_what_was_done_live(site: Site) -> None:
    async with site.running():
        one = await site.agent()
        await one.send(*one.tree())
        await one.send(one.event(b"x", file()), one.event(POISON, file(), TOP))
        await one.send(one.event(b"y", file()))
        live, gaps = site.paths(), site.gaps()
        site.kill()
    async with site.running():
        assert site.paths() == live == {"/a", "/d", "/d/b", "/x", "/y"}
        assert site.gaps() == gaps
        assert len(site.alarms) == 1, "told once"
        assert (await one.send(one.event(b"z", file()))).acked == 4
    site.made()
    async with site.running():
        assert "/z" in site.paths(), "the checkpoint behind it stands"
        assert site.status()["quarantine"]["count"] == 1


async def test_a_start_that_meets_it_first_sets_it_aside(tmp_path: Path) -> None:
    """The fault came with the program's new version: the journal was fine before."""
    site = Site(tmp_path / "v")
    async with site.running():
        one = await site.agent()
        await one.send(*one.tree())
        await one.send(one.event(b"x", file()), one.event(POISON, file(), TOP))
        await one.send(one.event(b"y", file()))
        site.kill()
    site.drivers = Breaking, FSArbitrator
    site.made()
    async with site.running():
        assert site.paths() == {"/a", "/d", "/d/b", "/x", "/y"}
        assert site.gaps() == {"/d": "quarantine"}
        assert len(site.alarms) == 1
        assert (await one.send(one.event(b"z", file()))).acked == 4


async def test_a_fresh_listing_settles_it_once_the_fault_is_mended(site: Site) -> None:
    async with site.running() as pipeline:
        one = await site.agent()
        await one.send(*one.tree())
        await one.send(one.event(POISON, file(), TOP))
        rows: dict[bytes, Row | bytes] = {POISON: file(), b"b": file()}
        await one.send(one.listing(TOP, rows, Origin.ON_DEMAND))
        assert site.status()["quarantine"]["count"] == 2
        for driver in (pipeline.view, pipeline.fold.arbitrator):
            driver.mended = True  # type: ignore[attr-defined]
        await one.send(one.listing(TOP, rows, Origin.ON_DEMAND))
        assert site.paths() == {"/a", "/d", "/d/b", "/d/poison"}
        assert site.gaps() == {}
        for path in (site.folder / "quarantine").iterdir():
            path.unlink()
        assert "quarantine" not in site.status(), "a person has taken them away"


async def test_it_is_undone_from_a_checkpoint_and_with_others_in_line(site: Site) -> None:
    async with site.running() as pipeline:
        one, two = await site.agent(), await site.agent("b")
        await one.send(*one.tree())
        await two.send(two.root())
        await pipeline.keeping.checkpoint(site.alarms.append)
        await one.send(one.event(b"d", None), one.event(b"e", edge_row(TOP)))
        cursor = site.status()["quality"]["as_of_us"]

        async def poison() -> None:
            await one.send(one.event(POISON, file(), TOP), one.event(b"k", file()))

        async def good() -> None:
            await two.send(*[two.event(b"n%d" % i, file()) for i in range(300)])

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(poison)
            tasks.start_soon(good)
            tasks.start_soon(pipeline.keeping.checkpoint, site.alarms.append)
        held = site.paths()
        assert {"/e", "/e/b", "/k", "/n0", "/n299"} <= held
        assert "/d" not in held
        assert site.status()["quality"]["as_of_us"] >= cursor
        assert site.status()["files"] == 303
        site.kill()
    async with site.running():
        assert site.paths() == held


async def test_a_listing_that_fails_leaves_the_others_of_a_snapshot(site: Site) -> None:
    async with site.running():
        one = await site.agent()
        tree = one.tree()
        poison = one.listing(SUB, {POISON: file()})
        sub = one.listing(TOP, {b"s": edge_row(SUB, stat.S_IFDIR | 0o700)})
        await one.send(*tree[:2], sub, poison)
        assert site.paths() == {"/a", "/d", "/d/s"}
        assert site.gaps() == {"/d/s": "quarantine"}


class AtTheEnd(Site):
    drivers = Ending, FSArbitrator


async def test_a_batch_that_fails_without_one_of_its_claims_is_set_aside_whole(
    tmp_path: Path,
) -> None:
    site = AtTheEnd(tmp_path / "v")
    async with site.running():
        one = await site.agent()
        await one.send(*one.tree())
        ack = await one.send(one.event(b"x", file()), one.event(POISON, file(), TOP))
        assert [q.index for q in ack.quarantined] == [0, 1]
        await one.send(one.event(b"y", file()))
        live, gaps = site.paths(), site.gaps()
        assert live == {"/a", "/d", "/d/b", "/y"}
        assert gaps == {"/": "quarantine", "/d": "quarantine"}
        site.kill()
    async with site.running():
        assert (site.paths(), site.gaps()) == (live, gaps)


async def test_the_first_batch_of_a_snapshot_still_proves_the_root(tmp_path: Path) -> None:
    site = AtTheEnd(tmp_path / "v")
    async with site.running():
        one = await site.agent()
        root, listing, _ = one.tree()
        await one.send(root, listing, one.event(POISON, file()))
        assert site.gaps()["/"] == "quarantine"
        await one.send(one.listing(ROOT, {b"a": file(), b"d": edge_row(TOP)}))
        assert site.paths() == {"/a", "/d"}


async def test_too_many_claims_that_fail_are_the_whole_batch(site: Site) -> None:
    async with site.running():
        one = await site.agent()
        await one.send(*one.tree())
        ack = await one.send(
            one.event(b"x", file()), *[one.event(POISON, file(n), TOP) for n in range(9)]
        )
        assert len(ack.quarantined) == 10
        assert site.paths() == {"/a", "/d", "/d/b"}
        ack = await one.send(
            one.event(b"x", file()), *[one.event(POISON, file(n), TOP) for n in range(8)]
        )
        assert [q.index for q in ack.quarantined] == list(range(1, 9))
        assert site.paths() == {"/a", "/d", "/d/b", "/x"}


async def test_what_a_person_asks_for_fails_for_that_person_alone(tmp_path: Path) -> None:
    class Owing(FileView):
        def owe(self, *args: Any, **more: Any) -> bool:
            raise AttributeError("owe")

    class Faulty(Site):
        drivers = Owing, FSArbitrator

    site = Faulty(tmp_path / "v")
    async with site.running() as pipeline:
        one = await site.agent()
        await one.send(*one.tree())
        with pytest.raises(StateError, match="AttributeError"):
            await pipeline.scan(b"/", recursive=True)
        await one.send(one.event(b"x", file()))
        site.kill()
    async with site.running():
        assert "/x" in site.paths()


async def test_what_cannot_be_forgotten_stays_and_the_rest_goes_on(tmp_path: Path) -> None:
    class Clinging(FileView):
        tried = 0

        def forget(self, keys: Sequence[Key]) -> None:
            type(self).tried += 1
            super().forget(keys)
            raise KeyError("half way through")

    class Faulty(Site):
        drivers = Clinging, FSArbitrator

    site = Faulty(tmp_path / "v")
    async with site.running() as pipeline:
        one = await site.agent()
        await one.send(*one.tree())
        await one.send(one.event(b"d", None))
        upkeep = pipeline.keeping.upkeep
        for _ in range(3):
            site.clock.tick(10_000_000)
            await upkeep.forget_loose(1.0)
        assert Clinging.tried == 1, "each try costs as much as a start"
        assert len(site.alarms) == 1
        assert pipeline.view.place(b"/a") is not None  # type: ignore[attr-defined]
        assert TOP in pipeline.view.registers.tree.dirs  # type: ignore[attr-defined]
        assert (await one.send(one.event(b"x", file()))).acked == 3
        site.clock.tick(2 * 3_600_000_000)
        await upkeep.forget_loose(1.0)
        assert Clinging.tried == 2


async def test_a_view_that_keeps_nothing_owes_everything(tmp_path: Path) -> None:
    """Nothing can be undone there; what may be wrong is looked at again."""

    class Faulty(MemoryArbitrator):
        def judge(self, known: Known | None, claim: Claim, facts: Facts) -> Verdict:
            if getattr(claim, "name", b"") == POISON:
                raise ZeroDivisionError
            return super().judge(known, claim, facts)

    class Plain(Site):
        drivers = MemoryView, Faulty

    site = Plain(tmp_path / "v")
    async with site.running():
        one = await site.agent()
        await one.send(*one.tree())
        ack = await one.send(one.event(b"x", file()), one.event(POISON, file(), TOP))
        assert len(ack.quarantined) == 2
        assert (await one.send(one.event(b"y", file()))).acked == 3
    site.made()
    async with site.running():
        assert (await one.send(one.event(b"z", file()))).acked == 4
