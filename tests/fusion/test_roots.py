"""One storage has one identity and one way to make keys, fixed by who came first."""

from __future__ import annotations

import pytest

from fustor_core.claims import Key

from .party import ROOT, TOP, Party, file

pytestmark = pytest.mark.anyio


async def test_the_first_source_fixes_how_keys_are_made(party: Party) -> None:
    async with party.running():
        one = await party.agent(birth="handle")
        two = await party.agent("b", birth="btime")
        assert (one.grant.birth, two.grant.birth) == ("handle", "handle")
        party.kill()
    async with party.running():
        assert (await party.agent("c")).grant.birth == "handle"


async def test_who_does_not_say_is_known_by_its_first_proof(party: Party) -> None:
    async with party.running():
        one = await party.agent(birth="stars")
        assert one.grant.birth == "btime", "what most have, until it is known"
        await one.send(one.root(birth="none"))
        assert (await party.agent("b")).grant.birth == "none"
    party.made()
    async with party.running():
        assert (await party.agent("b")).grant.birth == "none"


@pytest.mark.parametrize(
    ("identity", "key"), [("other disk", ROOT), ("disk", Key(0, 1, 77)), ("disk", Key(0, 2, 0))]
)
async def test_another_root_is_refused_and_changes_nothing(
    party: Party, identity: str, key: Key
) -> None:
    async with party.running() as pipeline:
        one, two = await party.agent(), await party.agent("b")
        await one.send(*one.tree())
        ack = await two.send(two.event(b"seen", file()))
        assert not ack.quarantined, "realtime does not wait for a proof"
        ack = await two.send(two.root(identity, key), two.event(b"a", None))
        assert [q.reason for q in ack.quarantined] == ["unproven_root"], "it is of another storage"
        assert any("not the one that was watched" in text for text in party.alarms)
        await one.close()
        await two.leads()
        refused = await two.send(two.root(identity, key), two.listing(TOP, {}), epoch=2)
        assert [q.reason for q in refused.quarantined] == ["unproven_root"]
        assert party.paths() == {"/a", "/d", "/d/b", "/seen"}
        assert pipeline.moment().stale
        healed = await two.send(two.root(), two.listing(TOP, {}), epoch=2)
        assert not healed.quarantined
        assert party.paths() == {"/a", "/d", "/seen"}
