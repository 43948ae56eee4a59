"""A session is bound to the key that opened it, an agent id to the key that first used it."""

from __future__ import annotations

import anyio
import pytest

from fustor_core.contracts import Access, Caller
from fustor_core.errors import Forbidden, SessionObsoletedError
from fustor_core.fusion import Fusion
from fustor_core.key_store import KeyStore
from fustor_core.live import CLOCKED

from .party import Agent, Party, file

pytestmark = pytest.mark.anyio


def caller(key: str, **more: object) -> Caller:
    return Caller(Access(key, **more), "10.0.0.2")  # type: ignore[arg-type]


async def test_another_key_gets_nowhere_and_changes_nothing(party: Party) -> None:
    async with party.running() as pipeline:
        one = await party.agent(key="mine", remote=True)
        await one.send(*one.tree())
        head = pipeline.keeping.journal.last_lsn
        (before, _), *_ = pipeline.session_list()
        session_id, mine = one.grant.session_id, one.key
        party.clock.tick(1_000_000)
        one.key = "other"
        for act in (one.beat, one.close, lambda: one.send(one.event(b"x", file()), seq=2)):
            with pytest.raises(Forbidden, match="another key"):
                await act()
        (after, _), *_ = pipeline.session_list()
        assert after == before, "it proved no life, took no number, ended nothing"
        assert pipeline.keeping.journal.last_lsn == head
        assert "/x" not in party.paths()
        one.key = mine
        assert one.grant.session_id == session_id
        await one.beat()
        with pytest.raises(SessionObsoletedError):
            await pipeline.beat("guessed", None, caller("mine"))  # type: ignore[arg-type]


async def test_a_key_opens_only_what_it_covers(party: Party) -> None:
    async with party.running() as pipeline:
        hello = Agent(party, "a").hello
        for access in (
            caller("k", rights=frozenset({"read"})),
            caller("k", views=("w*",)),
            caller("k", pipes=("q", "r*")),
        ):
            with pytest.raises(Forbidden, match="may not push pipe 'p' into view 'v'"):
                await pipeline.open_session(hello, access)
        assert not pipeline.session_list()
        await pipeline.open_session(hello, caller("k", views=("v*",), pipes=("p",)))
        (session, _), *_ = pipeline.session_list()
        assert (session.key_id, session.client_ip) == ("k", "10.0.0.2")


async def test_two_keys_that_open_at_once_do_not_share_an_agent_id(party: Party) -> None:
    async with party.running() as pipeline:
        refused = []

        async def come(key: str) -> None:
            try:
                await pipeline.open_session(Agent(party, "a").hello, caller(key))
            except Forbidden:
                refused.append(key)

        async with anyio.create_task_group() as group:
            for key in ("one", "two"):
                group.start_soon(come, key)
        assert refused == ["two"]


async def test_a_revoked_key_ends_its_sessions_and_frees_its_agents(party: Party) -> None:
    async with party.running() as pipeline:
        one, two = await party.agent(key="mine"), await party.agent("b", key="other")
        await pipeline.revoke("mine")
        with pytest.raises(SessionObsoletedError) as error:
            await one.beat()
        assert error.value.reason == "revoked"
        assert (await two.leads()).epoch == 2
        one.key = "new"
        await one.open()
        await one.beat()


async def test_a_key_that_was_rotated_or_is_unknown_holds_no_agent(party: Party) -> None:
    keys = KeyStore()
    keys.open()
    async with party.running() as pipeline:
        fusion = Fusion({"v": pipeline}, keys=keys)
        rights = Access("", frozenset({"push"}))
        old = (await keys.create(rights))["id"]
        hello = Agent(party, "a").hello
        await fusion.open(hello, caller(old))
        with pytest.raises(Forbidden):
            await fusion.open(hello, caller((await keys.create(rights))["id"]))
        new = (await keys.rotate(old, overlap_s=60))["id"]
        await fusion.open(hello, caller(new))
        documents = (await fusion.command("sessions", {}))["sessions"]
        assert [d["key_id"] for d in documents] == [new]
        assert documents[0]["client_ip"] == "10.0.0.2"
        assert len(documents[0]["offset_us"]) == 2
        assert not CLOCKED & set(documents[0]), "watchers are told sessions as they are"
        await keys.revoke(new)
        await fusion.open(hello, caller((await keys.create(rights))["id"]))
