"""Bad input through the one way in: named, its directory owed, the rest counts, nothing breaks."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fustor_core.claims import (
    KEY,
    SILENCE,
    Batch,
    Calm,
    Cell,
    Claim,
    Key,
    Listing,
    Origin,
    Owe,
    Root,
    Row,
    Same,
    Silence,
    Stamp,
    decode_batch,
    edge_row,
    encode_batch,
)
from fustor_core.contracts import Query
from fustor_core.errors import MalformedClaim, PipeError

from .party import ROOT, TOP, Agent, Party, file

NEGATIVE = Row(size=(1 << 63) + 5, ino=7)


def _reasons(party: Party) -> list[str]:
    document: dict[str, Any] = {}
    for page in party.pipeline.view.read(Query("status"), party.pipeline.moment()):
        document = page.document or document
    return [item["reason"] for item in document["quality"]["unscanned"]]


def bad_cells(one: Agent) -> list[Cell]:
    """Each of them is broken in another way."""
    good = one.event(b"x", file())
    stamp = good.stamp
    make = msgspec.structs.replace
    return [
        make(good, value=NEGATIVE.pack()),
        make(good, value=b"short"),
        make(good, value=b""),
        make(good, name=b"a/b"),
        make(good, name=b".."),
        make(good, name=b"n" * 5000),
        make(good, stamp=Stamp(stamp.t, stamp.f - 1, 1, "e")),
        make(good, stamp=Stamp(stamp.f, stamp.t, 1, "z")),
        make(good, stamp=Stamp(stamp.f, stamp.t, 1, "")),
        make(good, stamp=Stamp(1 << 62, 1 << 62, 1, "e")),
        make(good, stamp=Stamp(-(1 << 63), 1 << 62, 1, "e")),
        make(good, stamp=Stamp(stamp.f, stamp.t, (1 << 64) - 1, "e")),
        make(good, stamp=Stamp(stamp.f + 10**9, stamp.t + 10**9, 1, "e")),
        make(good, dir=Key(0, -1, 0)),
        make(good, dir=Key(1 << 63, 1, 0)),
        make(good, dir=Key(0, 1, 1 << 63)),
    ]


@pytest.mark.anyio
@pytest.mark.parametrize("number", range(16))
async def test_a_bad_cell_is_named_and_owes_its_directory(party: Party, number: int) -> None:
    async with party.running():
        one = await party.agent()
        await one.send(*one.tree())
        bad = bad_cells(one)[number]
        ack = await one.send(bad, one.event(b"good", file()))
        assert [(q.index, q.name) for q in ack.quarantined] == [(0, bad.name)], ack
        assert party.paths() == {"/a", "/d", "/d/b", "/good"}
        assert _reasons(party) == ["quarantine"]
        assert [o.path for o in ack.owed] == [b"/"]
        party.kill()
    async with party.running():
        assert _reasons(party) == ["quarantine"], "replay knows it too"
        again = await one.send(seq=2)
        assert again.quarantined == ack.quarantined
        await one.send(one.listing(ROOT, {b"d": edge_row(TOP)}))
        assert not _reasons(party), "a fresh listing settles it"


@pytest.mark.anyio
async def test_the_other_rows_of_a_listing_count(party: Party) -> None:
    async with party.running():
        one = await party.agent()
        await one.send(*one.tree())
        rows = {b"b": file(5), b"bad": NEGATIVE, b"c": file(6), b"worse": NEGATIVE}
        ack = await one.send(one.listing(TOP, rows))
        assert [(q.index, q.name) for q in ack.quarantined] == [(0, b"bad"), (0, b"worse")]
        assert party.paths() == {"/a", "/d", "/d/b", "/d/c"}
        assert _reasons(party) == ["quarantine"]
        party.kill()
    async with party.running():
        assert party.paths() == {"/a", "/d", "/d/b", "/d/c"}
        await one.send(one.listing(TOP, {b"b": file(5)}))
        assert party.paths() == {"/a", "/d", "/d/b"}
        assert not _reasons(party)


@pytest.mark.anyio
async def test_nobody_looks_into_what_is_refused(party: Party) -> None:
    """Neither the clock of ctimes, nor what other lines are to watch, nor what a digest is for."""
    async with party.running():
        one, other = await party.agent(), await party.agent("b")
        await one.send(*one.tree())
        await other.send(other.root())
        await one.send(one.event(b"new", edge_row(Key(0, 99, 99))))  # for the other to watch
        short = msgspec.structs.replace(other.event(b"x", file()), value=b"")
        assert len((await other.send(short)).quarantined) == 1
        good = one.listing(TOP, {})
        for odd in (
            msgspec.structs.replace(good, names=b"", rows=b"", digest=b"d" * 16, own=b""),
            msgspec.structs.replace(good, names=b"", rows=b"", digest=b"d" * 15),
            msgspec.structs.replace(good, names=b"a", rows=file().pack(), digest=b"d" * 16),
        ):
            assert [q.index for q in (await one.send(odd)).quarantined] == [0], odd
        party.kill()
    async with party.running():
        assert "/d/b" in party.paths()


@pytest.mark.anyio
async def test_a_reply_names_so_many_and_no_more(party: Party) -> None:
    async with party.running():
        one = await party.agent()
        await one.send(*one.tree())
        ack = await one.send(*[bad_cells(one)[0]] * 3000)
        assert len(ack.quarantined) == 1000


# ---- fuzz

big = st.integers(-(1 << 63), (1 << 64) - 1)
numbers = st.one_of(st.integers(-2, 5), big, st.sampled_from([1 << 62, (1 << 63) - 1, 1 << 63]))
keys = st.one_of(st.sampled_from([ROOT, TOP]), st.builds(Key, numbers, numbers, numbers))
names = st.one_of(
    st.sampled_from([b"", b"a", b"b", b"d", b".", b"..", b"a/b", b"a\0b"]), st.binary(max_size=6)
)
edges = keys.filter(
    lambda k: -(1 << 63) <= k.dev < 1 << 63 and 0 <= k.ino < 1 << 64 and abs(k.birth) < 1 << 63
).map(edge_row)
rows = st.one_of(edges, st.binary(min_size=48, max_size=48), st.just(NEGATIVE.pack()))
values = st.one_of(st.none(), rows, st.binary(max_size=60))
origins = st.sampled_from(list(Origin))
kinds = st.one_of(st.sampled_from(list("ewlksm")), st.text(max_size=2))
paths = st.binary(max_size=5)


@st.composite
def stamps(draw: st.DrawFn) -> Stamp:
    """Mostly a look of just now: the rig adds its clock to small numbers."""
    f = draw(numbers)
    t = draw(st.one_of(st.just(f), numbers))
    return Stamp(f, t, draw(numbers), draw(kinds))


@st.composite
def listings(draw: st.DrawFn) -> Listing:
    listed = sorted(set(draw(st.lists(names, max_size=4))))
    some = [draw(rows) for _ in listed]
    return Listing(
        dir=draw(keys),
        names=b"\0".join(listed),
        rows=b"".join(some) + draw(st.sampled_from([b"", b"", b"", b"x"])),
        stamp=draw(stamps()),
        origin=draw(origins),
        own=draw(values),
        weak=tuple(draw(st.lists(names, max_size=2))),
        complete=draw(st.booleans()),
        reason=draw(st.sampled_from(["", "hung", "excluded", "y" * 100])),
        errno=draw(numbers),
        silence=draw(st.one_of(st.none(), st.builds(Silence, big, big, big, big))),
        via=draw(st.one_of(st.none(), st.tuples(keys, names))),
        digest=draw(st.one_of(st.none(), st.none(), st.binary(max_size=20))),
    )


claims: st.SearchStrategy[Claim] = st.one_of(
    st.builds(
        Cell,
        dir=keys,
        name=names,
        value=values,
        stamp=stamps(),
        origin=origins,
        flags=numbers,
        path=paths,
    ),
    listings(),
    st.builds(
        Same,
        dir=keys,
        silence=st.builds(Silence, big, big, big, big),
        stamp=stamps(),
        origin=origins,
        path=paths,
    ),
    st.builds(
        Calm,
        keys=st.binary(max_size=72) | st.builds(KEY.pack, *[st.integers(0, 9)] * 3),
        silences=st.binary(max_size=96) | st.builds(SILENCE.pack, *[st.integers(0, 9)] * 4),
        stamp=stamps(),
        origin=origins,
        path=paths,
    ),
    st.builds(
        Owe,
        dir=keys,
        deep=st.booleans(),
        reason=st.sampled_from(["", "overflow", "excluded", "z" * 200]),
        stamp=stamps(),
        origin=origins,
        errno=numbers,
    ),
    st.builds(
        Root,
        key=keys,
        identity=st.sampled_from(["disk", "", "else", "i" * 5000]),
        stamp=stamps(),
        origin=origins,
        present=st.booleans(),
    ),
)


def of_now(claim: Claim, now_us: int) -> Claim:
    """Small stamps are looks of the last instants."""
    stamp = claim.stamp
    if not -3 < stamp.f < 6 or not -3 < stamp.t < 6:
        return claim
    return msgspec.structs.replace(
        claim, stamp=Stamp(now_us + stamp.f - 9, now_us + stamp.t - 9, stamp.at, stamp.kind)
    )


@pytest.mark.long
@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.lists(claims, max_size=6), max_size=4), st.booleans())
def test_no_batch_breaks_anything(batches: list[list[Claim]], remote: bool) -> None:
    """Declared errors only, replay tells the same, and the view still answers and works."""

    async def go(folder: Path) -> None:
        party = Party(folder / "v")
        async with party.running():
            one = await party.agent(remote=remote)
            await one.send(*one.tree())
            for told in batches:
                party.clock.tick(20)
                told = [of_now(claim, one.raw_us()) for claim in told]
                body = encode_batch(Batch(1, one.seq + 1, one.grant.epoch, told))
                try:
                    decode_batch(body)
                except MalformedClaim:
                    continue
                try:
                    await one.send(*told)
                except PipeError:
                    one.seq -= 1
            held, owed = party.paths(), _reasons(party)
            party.kill()
        async with party.running() as again:
            assert party.paths() == held
            assert sorted(_reasons(party)) == sorted(owed)
            party.clock.tick(1000)
            await one.send(one.root(), one.event(b"last", file()))
            assert "/last" in party.paths()
            for verb in ("tree", "debts", "suspects", "explain"):
                for _ in again.view.read(Query(verb, b"/"), again.moment()):
                    pass

    with TemporaryDirectory() as folder:
        anyio.run(go, Path(folder))
