"""Cheap audits by the book: what they say is what a walk would say, in the order of a walk."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from fustor_source_fs import FsConfig, FsSource
from fustor_source_fs.book import Writer

from fustor_core.claims import Calm, Cell, Key, Listing, Origin, Silence
from fustor_core.contracts import Scope, walk_order
from fustor_core.recall import Recall

pytestmark = pytest.mark.anyio
TIERS = ("directories", "names")


class Audited:
    """A source whose audits are told by directory, in their order."""

    def __init__(self, root: Path, **config: Any) -> None:
        self.root = root
        self.source = FsSource(FsConfig(root=str(root), **config))
        self.recall = Recall()
        self.paths: dict[Key, bytes] = {}
        self.claims: list[Any] = []

    async def audit(self, tier: str, after: bytes = b"") -> list[tuple[bytes, str]]:
        """(path, ``same``, ``listed`` or the reason why not) of each directory."""
        scope = Scope(origin=Origin.AUDIT, tier=tier, recall=self.recall, after=after)
        told: list[tuple[bytes, str]] = []
        self.claims = []
        async for claim in self.source.scan(scope):
            self.claims.append(claim)
            if isinstance(claim, Calm):
                told += [(self.paths[same.dir], "same") for same in claim.same()]
                assert told[-1][0] == claim.path
            elif isinstance(claim, Listing):
                self.paths[claim.dir] = claim.path
                self.recall.note(claim)
                told.append((claim.path, claim.reason or "listed"))
            elif not isinstance(claim, Cell):
                told.append((claim.path, "same"))
        paths = [path for path, _ in told]
        assert paths == sorted(paths, key=walk_order), "in the order of a walk"
        assert len(set(paths)) == len(paths), "each once"
        return told

    async def calm(self) -> None:
        while True:
            await self.audit("full")
            listings = [c for c in self.claims if isinstance(c, Listing) and c.complete]
            if all(listing.silence for listing in listings):
                return

    def all(self) -> list[bytes]:
        found = [os.fsencode(p.relative_to(self.root)) for p in self.root.rglob("*") if p.is_dir()]
        return sorted([b"/", *(b"/" + path for path in found)], key=walk_order)


@pytest.fixture(params=["off", "auto"])
async def site(root: Path, request: pytest.FixtureRequest) -> AsyncIterator[Audited]:
    for name in ("a/x/1", "a/x/2", "a-b", "a/y", "b/c/d/e", "z"):
        (root / name).mkdir(parents=True)
        (root / name / "file").write_bytes(b"1")
    made = Audited(root, watch=request.param)
    if request.param == "off":
        await made.calm()
        yield made
        return
    async with made.source.watch():
        await made.calm()
        yield made


def changed(told: list[tuple[bytes, str]]) -> set[bytes]:
    return {path for path, how in told if how == "listed"}


@pytest.mark.parametrize("tier", TIERS)
async def test_nothing_changed_is_told_in_few_claims(site: Audited, tier: str) -> None:
    for _ in range(3):
        told = await site.audit(tier)
        assert told == [(path, "same") for path in site.all()]
        assert {type(claim) for claim in site.claims} == {Calm}


@pytest.mark.parametrize("tier", TIERS)
async def test_a_directory_that_came_is_walked_in_its_place(site: Audited, tier: str) -> None:
    (site.root / "a/w/v").mkdir(parents=True)
    (site.root / "b/c/d/zz").mkdir()
    told = await site.audit(tier)
    assert [path for path, _ in told] == site.all()
    assert changed(told) == {b"/a", b"/a/w", b"/a/w/v", b"/b/c/d", b"/b/c/d/zz"}
    await site.calm()
    assert not changed(await site.audit(tier))


@pytest.mark.parametrize("tier", TIERS)
async def test_a_directory_that_went_is_gone_with_what_was_below(site: Audited, tier: str) -> None:
    shutil.rmtree(site.root / "b/c")
    told = await site.audit(tier)
    assert [path for path, _ in told] == site.all()
    assert changed(told) == {b"/b"}
    assert not [claim for claim in site.claims if isinstance(claim, Cell)]
    assert [path for path, _ in await site.audit(tier)] == site.all()


@pytest.mark.parametrize("tier", TIERS)
async def test_a_directory_that_moved_is_found_where_it_is(site: Audited, tier: str) -> None:
    (site.root / "b/c").rename(site.root / "a/x/c")
    told = await site.audit(tier)
    assert [path for path, _ in told] == site.all()
    assert {b"/b", b"/a/x"} <= changed(told)


@pytest.mark.parametrize("tier", TIERS)
async def test_two_directories_that_changed_places(site: Audited, tier: str) -> None:
    (site.root / "b/c").rename(site.root / "c")
    (site.root / "a/x").rename(site.root / "b/c")
    (site.root / "c").rename(site.root / "a/x")
    told = await site.audit(tier)
    assert [path for path, _ in told] == site.all()
    assert {b"/", b"/a", b"/b"} <= changed(told)
    await site.calm()
    assert not changed(await site.audit(tier))


@pytest.mark.parametrize("tier", TIERS)
async def test_a_directory_that_became_a_link_elsewhere(site: Audited, tier: str) -> None:
    (site.root / "a/x").rename(site.root / "elsewhere")
    (site.root / "a/x").symlink_to(site.root / "elsewhere")
    told = dict(await site.audit(tier))
    assert b"/a/x" not in told
    assert b"/a/x/1" not in told or told[b"/a/x/1"] != "listed"
    assert told[b"/elsewhere/1"]


@pytest.mark.parametrize("tier", TIERS)
async def test_what_cannot_be_read_is_tried_each_time(
    site: Audited, tier: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def refusing(path: Any, flags: int, *more: Any, **options: Any) -> int:
        if path in (b"y", b"a/y"):
            raise PermissionError(13, "no", path)
        return real(path, flags, *more, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refusing)
        await site.audit("full")
        assert dict(await site.audit(tier))[b"/a/y"] == "permission"
        assert dict(await site.audit(tier))[b"/a/y"] == "permission"
    assert dict(await site.audit(tier))[b"/a/y"] in ("listed", "same")


@pytest.mark.parametrize("tier", [*TIERS, "full"])
@pytest.mark.parametrize("after", [b"/", b"/a", b"/a/x/1", b"/a/x/2", b"/b/c", b"/nowhere", b"/z"])
async def test_an_audit_goes_on_behind_a_directory(site: Audited, tier: str, after: bytes) -> None:
    (site.root / "z/new").mkdir()
    (site.root / "a/new").mkdir()
    told = await site.audit(tier, after=after)
    behind = [path for path in site.all() if walk_order(path) > walk_order(after)]
    assert [path for path, _ in told] == behind
    assert changed(await site.audit("directories")) >= {b"/a/new"} - {p for p, _ in told}


async def test_nothing_is_by_the_book_when_all_was_forgotten(site: Audited) -> None:
    site.recall.clear()
    told = await site.audit("directories")
    assert told == [(path, "listed") for path in site.all()]


async def test_a_scan_that_was_left_leaves_the_book_as_it_was(site: Audited) -> None:
    (site.root / "b/c/new").mkdir()
    scope = Scope(origin=Origin.AUDIT, tier="names", recall=site.recall)
    claims = site.source.scan(scope)
    async for _ in claims:
        break
    await claims.aclose()  # type: ignore[attr-defined]
    assert changed(await site.audit("names")) >= {b"/b/c/new"}


@pytest.mark.parametrize("tier", TIERS)
async def test_what_is_left_out_is_told_in_its_place(root: Path, tier: str) -> None:
    for name in ("a/k", "b/.cache/x", "b/c", "b/d"):
        (root / name).mkdir(parents=True)
    site = Audited(root, watch="off", exclude=[".cache", "/b/c"])
    await site.calm()
    for _ in range(2):
        told = await site.audit(tier)
        assert told == [
            (b"/", "same"),
            (b"/a", "same"),
            (b"/a/k", "same"),
            (b"/b", "same"),
            (b"/b/.cache", "excluded"),
            (b"/b/c", "excluded"),
            (b"/b/d", "same"),
        ]


@pytest.mark.parametrize("tier", TIERS)
async def test_many_directories_in_many_blocks(
    root: Path, tier: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = 16
    monkeypatch.setattr("fustor_source_fs.book.DIRECTORIES", size)
    names = [f"{i // 5:02}/{i:04}" for i in range(50)]
    for name in names:
        (root / name).mkdir(parents=True)
    site = Audited(root, watch="off")
    await site.calm()
    assert [path for path, _ in await site.audit(tier)] == site.all()
    for name in (names[3], names[size], names[-1]):
        (root / name / "new").mkdir()
    told = await site.audit(tier)
    assert [path for path, _ in told] == site.all()
    assert len(changed(told)) == 6
    with anyio.fail_after(20):
        while changed(await site.audit(tier)):
            pass  # their times were too young
    book = site.source._book
    assert book is not None
    assert len(book.blocks) <= 1.5 * len(site.all()) / size, "blocks do not crumble"


def test_a_book_that_would_be_too_large_is_none() -> None:
    writer = Writer(Recall())
    writer.add(b"/" + b"x" * 4000, Key(0, 2, 3), Silence(1, 2, 2, 2), 1)
    writer.add(b"/y", Key(0, 3, 3), Silence(1, 2, 2, 2), 1)
    assert writer.book() is None


def test_the_order_of_a_walk_is_by_names_not_by_paths() -> None:
    paths = [b"/", b"/a", b"/a/b", b"/a-b", b"/a.c", b"/ab"]
    assert sorted(sorted(paths), key=walk_order) == paths
    assert sorted(paths) != paths
