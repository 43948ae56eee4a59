"""Audits in tiers on a network mount: what a cheap one says, and what is looked at whole."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from fustor_source_nfs import NfsConfig, NfsSource

from fustor_core.claims import Listing, Origin, Same, split_names
from fustor_core.contracts import Resumable, Scope, Tiered, walk_order
from fustor_core.recall import Recall
from fustor_core.testing.nfs_pair import NfsPair

pytestmark = [pytest.mark.anyio, pytest.mark.long]
ALL = {b"/", b"/calm", b"/calm/below", b"/busy", b"/busy/under"}
CHEAP = ["directories", "names"]


class Audited:
    """A tree, and what was sent of it."""

    def __init__(self, root: Path, **options: Any) -> None:
        self.root = root
        config = {"root": str(root), "cache_bound": 0, **options}
        self.source = NfsSource(NfsConfig.model_validate(config))
        self.recall = Recall()
        self.operations = 0

    async def audit(
        self, tier: str, deep: tuple[int, int] = (0, 0), after: bytes = b""
    ) -> dict[bytes, list[Any]]:
        """Claims by path; what is sent is remembered."""
        self.operations = 0

        def pace(operations: int, seconds: float) -> float:
            self.operations += operations
            return 0.0

        scope = Scope(
            origin=Origin.AUDIT, tier=tier, recall=self.recall, deep=deep, pace=pace, after=after
        )
        found: dict[bytes, list[Any]] = {}
        async for claim in self.source.scan(scope):
            found.setdefault(claim.path, []).append(claim)
            if isinstance(claim, Listing):
                self.recall.note(claim)
        return found

    async def calm(self) -> None:
        """Look until no listing is racy any more."""
        while True:
            told = [one for claims in (await self.audit("full")).values() for one in claims]
            if all(one.silence for one in told if isinstance(one, Listing) and one.complete):
                return


def listed(found: dict[bytes, list[Any]]) -> set[bytes]:
    return {path for path, claims in found.items() if isinstance(claims[0], Listing)}


def same(found: dict[bytes, list[Any]]) -> set[bytes]:
    return {path for path, claims in found.items() if isinstance(claims[0], Same)}


def make(root: Path) -> None:
    for name in ("calm/below", "busy/under"):
        (root / name).mkdir(parents=True)
        for number in range(20):
            (root / name / f"file-{number}").write_bytes(b"one")


@pytest.fixture
async def audited(tmp_path: Path) -> Audited:
    make(tmp_path)
    made = Audited(tmp_path)
    await made.calm()
    return made


def test_it_says_which_tiers_it_has(tmp_path: Path) -> None:
    source = Audited(tmp_path).source
    assert isinstance(source, Tiered)
    assert source.tiers == set(CHEAP)


@pytest.mark.parametrize("tier", CHEAP)
async def test_a_cheap_tier_says_same_where_membership_did_not_change(
    audited: Audited, tier: str
) -> None:
    assert same(await audited.audit(tier)) == ALL
    cost = audited.operations
    assert await audited.audit("full")
    assert cost < audited.operations / 2
    (audited.root / "busy/under/new").write_bytes(b"")
    found = await audited.audit(tier)
    assert listed(found) == {b"/busy/under"}
    assert same(found) == ALL - {b"/busy/under"}
    (listing,) = found[b"/busy/under"]
    assert b"new" in split_names(listing.names)
    (told,) = found[b"/calm"]
    st = (audited.root / "calm").stat()
    assert told.silence == (st.st_ctime_ns, st.st_mtime_ns, st.st_ino, st.st_nlink)
    assert told.origin is Origin.AUDIT
    assert told.stamp.f <= told.stamp.at < told.stamp.t


@pytest.mark.parametrize("tier", CHEAP)
async def test_what_was_never_sent_is_listed(audited: Audited, tier: str) -> None:
    audited.recall.clear()
    assert listed(await audited.audit(tier)) == ALL


@pytest.mark.parametrize("tier", CHEAP)
async def test_new_directories_are_found_and_listed(audited: Audited, tier: str) -> None:
    (audited.root / "calm/below/made/deep").mkdir(parents=True)
    found = await audited.audit(tier)
    assert listed(found) == {b"/calm/below", b"/calm/below/made", b"/calm/below/made/deep"}


@pytest.mark.parametrize("tier", CHEAP)
async def test_a_directory_in_the_place_of_another_is_listed(audited: Audited, tier: str) -> None:
    (audited.root / "calm/below").rename(audited.root / "kept")
    (audited.root / "kept").rename(audited.root / "calm/other")
    found = await audited.audit(tier)
    assert {b"/calm", b"/calm/other"} <= listed(found) | same(found)
    assert b"/calm" in listed(found)


async def test_an_in_place_write_is_found_when_its_share_is_looked_at_whole(
    audited: Audited,
) -> None:
    file = audited.root / "calm/below/file-1"
    old = file.stat()
    with file.open("r+b") as opened:
        opened.write(b"two")
    os.utime(file, ns=(old.st_atime_ns, old.st_mtime_ns))
    shares = 3
    whole: set[bytes] = set()
    for which in range(shares):
        whole |= listed(await audited.audit("names", (which, shares)))
    assert whole == ALL


@pytest.mark.parametrize("tier", [*CHEAP, "full"])
async def test_an_audit_that_was_broken_off_goes_on_where_it_was(
    audited: Audited, tier: str
) -> None:
    assert isinstance(audited.source, Resumable)
    assert audited.source.in_order
    (audited.root / "busy" / "leaf").mkdir()
    (audited.root / "calm" / "leaf").mkdir()
    await audited.calm()
    told = list(await audited.audit(tier))
    assert told == sorted({*ALL, b"/busy/leaf", b"/calm/leaf"}, key=walk_order)
    for number, path in enumerate(told):
        assert list(await audited.audit(tier, after=path)) == told[number + 1 :], path
    gone = b"/busy/middle"  # between others, and not there any more
    assert list(await audited.audit(tier, after=gone)) == told[told.index(b"/busy/under") :]


async def test_hidden_and_excluded_names_do_not_count(tmp_path: Path) -> None:
    make(tmp_path)
    audited = Audited(tmp_path, exclude=["*.tmp", "below"])
    await audited.calm()
    (tmp_path / "busy/under" / (".nfs" + "0" * 24)).write_text("")
    found = await audited.audit("names")
    assert b"/busy/under" in listed(found), "its own times have changed"
    await audited.calm()
    assert same(await audited.audit("names")) == ALL - {b"/calm/below"}


@pytest.mark.parametrize("tier", CHEAP)
async def test_on_the_pair_it_costs_a_look_a_directory(pair: NfsPair, tier: str) -> None:
    make(pair.server)
    audited = Audited(pair.one.at, cache_bound=pair.one.cache_s)
    found = await audited.audit("full")
    assert listed(found) == ALL
    for claims in found.values():
        assert claims[0].silence is None, "times of less than two minutes are racy on a network"
    assert listed(await audited.audit(tier)) == ALL
