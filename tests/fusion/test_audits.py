"""What fusion makes of the short words of an audit: it believes nothing that it does not hold."""

from __future__ import annotations

import msgspec
import pytest

from fustor_core.claims import (
    BEGINS,
    KEY,
    SILENCE,
    WHOLE,
    Calm,
    Claim,
    Key,
    Listing,
    Origin,
    Row,
    Same,
    Silence,
    digest_of,
    edge_row,
)
from fustor_core.recall import Recall

from .party import ROOT, TOP, Agent, Party, file

pytestmark = pytest.mark.anyio

CALM = Silence(1, 2, TOP.ino, 2)
OLD = {b"b": Row(size=2, ino=4)}


def whole(agent: Agent, rows: dict[bytes, Row | bytes], silence: Silence | None = CALM) -> Listing:
    return msgspec.structs.replace(agent.listing(TOP, rows, Origin.AUDIT), silence=silence)


def short(agent: Agent, rows: dict[bytes, Row | bytes]) -> Listing:
    told = whole(agent, rows)
    return msgspec.structs.replace(
        told, names=b"", rows=b"", digest=digest_of(told.names, told.rows)
    )


def same(agent: Agent, key: Key = TOP, silence: Silence = CALM) -> Same:
    return Same(dir=key, silence=silence, stamp=agent.stamp(), origin=Origin.AUDIT)


async def told(party: Party) -> Agent:
    """A leader that has told the tree, /d with a silence."""
    agent = await party.agent()
    claims: list[Claim] = [*agent.tree()[:2], whole(agent, dict(OLD))]
    ack = await agent.send(*claims)
    assert not ack.owed
    return agent


async def owed(agent: Agent, claim: Claim) -> list[bytes]:
    ack = await agent.send(claim)
    assert not ack.quarantined
    return [one.path for one in ack.owed]


async def test_the_digest_of_what_fusion_holds_is_a_listing(party: Party) -> None:
    async with party.running():
        agent = await told(party)
        before = party.pipeline.view.known(TOP)
        assert before is not None
        assert before.base is not None
        at = before.base.hi
        assert not await owed(agent, short(agent, dict(OLD)))
        after = party.pipeline.view.known(TOP)
        assert after is not None
        assert after.base is not None
        assert after.base.hi > at, "it was looked at, every file"
        assert party.paths() == {"/a", "/d", "/d/b"}


async def test_another_digest_owes_a_listing_and_takes_nothing_away(party: Party) -> None:
    async with party.running():
        agent = await told(party)
        assert await owed(agent, short(agent, {b"other": file()})) == [b"/d"]
        assert party.paths() == {"/a", "/d", "/d/b"}
        assert not await owed(agent, whole(agent, {b"other": file()}))
        assert party.paths() == {"/a", "/d", "/d/other"}


async def test_what_an_event_has_changed_meanwhile_makes_an_old_digest_wrong(party: Party) -> None:
    async with party.running():
        agent = await told(party)
        digest = short(agent, dict(OLD))
        await agent.send(agent.event(b"new", file(), TOP))
        late = msgspec.structs.replace(digest, stamp=agent.stamp())
        assert await owed(agent, late) == [b"/d"]
        assert party.paths() == {"/a", "/d", "/d/b", "/d/new"}


async def test_same_is_believed_of_the_silence_that_fusion_has(party: Party) -> None:
    async with party.running():
        agent = await told(party)
        assert not await owed(agent, same(agent))
        for field in CALM._fields:
            other = CALM._replace(**{field: 99})
            assert await owed(agent, same(agent, silence=other)) == [b"/d"], field
            assert not await owed(agent, whole(agent, dict(OLD)))


async def test_a_racy_listing_leaves_nothing_to_be_silent_about(party: Party) -> None:
    async with party.running():
        agent = await told(party)
        await agent.send(whole(agent, {b"c": file()}, silence=None))
        assert await owed(agent, same(agent)) == [b"/d"]


async def test_same_of_a_directory_that_was_never_listed(party: Party) -> None:
    async with party.running():
        agent = await told(party)
        await agent.send(agent.event(b"new", edge_row(Key(0, 50, 0)), ROOT))
        assert await owed(agent, same(agent, Key(0, 50, 0))) == [b"/new"]


async def test_what_is_recalled_is_what_fusion_holds(party: Party) -> None:
    """The two ends agree on what an unchanged directory is."""
    async with party.running():
        agent, recall = await told(party), Recall()
        listing = whole(agent, {b"b": file(7), b"c": edge_row(Key(0, 51, 0))})
        recall.note(listing)
        await agent.send(listing)
        again = whole(agent, {b"b": file(7), b"c": edge_row(Key(0, 51, 0))})
        assert recall.unchanged(again)
        assert recall.silent(TOP, CALM) is False
        rows = {b"b": file(7), b"c": edge_row(Key(0, 51, 0))}
        assert b"/d" not in await owed(agent, short(agent, rows))


def calm(agent: Agent, *pairs: tuple[Key, Silence]) -> Calm:
    return Calm(
        keys=b"".join(KEY.pack(*key) for key, _ in pairs),
        silences=b"".join(SILENCE.pack(*silence) for _, silence in pairs),
        stamp=agent.stamp(),
        origin=Origin.AUDIT,
    )


async def test_each_of_many_calm_directories_is_taken_as_if_it_were_alone(party: Party) -> None:
    async with party.running():
        agent = await told(party)
        known = party.pipeline.view.known(TOP)
        assert known is not None
        base = known.base
        assert not await owed(agent, calm(agent, (TOP, CALM)))
        assert known.base == base, "membership says nothing of the files"
        for field in CALM._fields:
            other = CALM._replace(**{field: 99})
            assert await owed(agent, calm(agent, (TOP, other))) == [b"/d"], field
            assert not await owed(agent, whole(agent, dict(OLD)))


async def test_among_many_calm_directories_only_those_that_are_not_are_owed(party: Party) -> None:
    async with party.running():
        agent = await told(party)
        keys = [Key(0, 100 + i, 0) for i in range(50)]
        names = {b"n%02d" % i: edge_row(key) for i, key in enumerate(keys)}
        claims = [
            msgspec.structs.replace(
                agent.listing(key, {b"f": file()}, Origin.AUDIT),
                silence=CALM._replace(ino=key.ino),
                path=b"/d/n%02d" % i,
            )
            for i, key in enumerate(keys)
        ]
        await agent.send(whole(agent, {**OLD, **names}), *claims)
        pairs = [(key, CALM._replace(ino=key.ino)) for key in keys]
        assert not await owed(agent, calm(agent, *pairs))
        pairs[7] = keys[7], CALM
        pairs[30] = keys[30], CALM
        assert await owed(agent, calm(agent, *pairs)) == [b"/d/n07", b"/d/n30"]


async def test_calm_directories_under_a_root_that_is_not_proven_prove_nothing(party: Party) -> None:
    async with party.running():
        agent = await told(party)
        other = msgspec.structs.replace(agent.root(), identity="another disk")
        ack = await agent.send(other, calm(agent, (TOP, CALM)))
        assert [one.reason for one in ack.quarantined] == ["unproven_root"]
        assert not ack.owed


async def half_an_audit(party: Party) -> Agent:
    """Its leader has listed the root and no more."""
    agent = await told(party)
    await agent.send(agent.root(origin=Origin.AUDIT, course=BEGINS, after=b""))
    rows: dict[bytes, Row | bytes] = {b"a": Row(size=1, ino=2), b"d": edge_row(TOP)}
    listing = msgspec.structs.replace(agent.listing(ROOT, rows, Origin.AUDIT), path=b"/")
    await agent.send(listing)
    return agent


@pytest.mark.parametrize("end", ["stopped", "killed"])
async def test_the_next_leader_is_told_how_far_an_audit_came(party: Party, end: str) -> None:
    """Over a restart of fusion too, a clean one or not."""
    async with party.running():
        first = await half_an_audit(party)
        begun = first.grant.session_id
        if end == "killed":
            party.kill()
    if end == "stopped":
        party.made()
    async with party.running() as pipeline:
        assert pipeline.status()["audits"] == 0
        second = await party.agent("second")
        await pipeline.close_session(begun)
        answer = await second.leads()
        assert answer.rest is not None
        assert (answer.rest.after, answer.rest.session) == (b"/", begun)
        assert answer.rest.age_s > 0
        epoch = answer.epoch
        on = second.root(origin=Origin.SNAPSHOT, course=BEGINS, after=b"/")
        await second.send(on, epoch=epoch)
        assert (await second.beat()).rest is None, "it is its own now"
        rest = msgspec.structs.replace(second.listing(TOP, dict(OLD)), path=b"/d")
        over = second.root(origin=Origin.SNAPSHOT, course=WHOLE)
        await second.send(rest, over, epoch=epoch)
        assert pipeline.status()["audits"] == 1, "the audit that the first one began"


async def test_an_audit_that_was_broken_off_is_not_over_with_the_next_proof(party: Party) -> None:
    async with party.running() as pipeline:
        agent = await half_an_audit(party)
        await agent.send(agent.root())
        assert (pipeline.status()["audits"], pipeline.status()["last_audit"]) == (0, None)
        await agent.close()
        again = await party.agent("a")
        await again.leads()
        await again.send(again.root())
        assert (pipeline.status()["audits"], pipeline.status()["last_audit"]) == (0, None)


async def test_a_session_that_follows_is_told_nothing(party: Party) -> None:
    async with party.running():
        await half_an_audit(party)
        second = await party.agent("second")
        assert second.grant.rest is None
        assert (await second.beat()).rest is None
