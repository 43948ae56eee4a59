"""Links to the page: each gives a key once. And who waits for something to happen."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest

from fustor_core.errors import QueryError, Unauthorized
from fustor_core.fusion import LOGIN_S, Fusion
from fustor_core.key_store import KeyStore

LIMIT_S = 20.0
LINK = {"scopes": ["read"], "views": ["v*"], "pipes": ["*"]}


async def test_a_link_gives_a_key_once() -> None:
    fusion = Fusion({}, keys=KeyStore())
    made = await fusion.command("link", LINK)
    given = await fusion.command("login", {"code": made["code"]})
    access = fusion.access(given["key"])
    assert (access.rights, access.views) == ({"read"}, ("v*",))
    assert given["lives_s"] == LOGIN_S
    with pytest.raises(Unauthorized, match="used up"):
        await fusion.command("login", {"code": made["code"]})


async def test_the_key_of_a_link_ends_by_itself_and_can_be_revoked() -> None:
    fusion = Fusion({}, keys=KeyStore())
    code = (await fusion.command("link", LINK))["code"]
    key = (await fusion.command("login", {"code": code}))["key"]
    listed = (await fusion.command("keys", {}))["keys"]
    assert [one["scopes"] for one in listed] == [["read"]]
    assert listed[0]["expires"] is not None
    await fusion.command("key-revoke", {"id": listed[0]["id"]})
    with pytest.raises(Unauthorized):
        fusion.access(key)


@pytest.mark.parametrize("wrong", [{"scopes": []}, {"scopes": ["king"]}, {"views": ["A/"]}])
async def test_a_link_for_nothing_is_not_made(wrong: dict[str, list[str]]) -> None:
    with pytest.raises(QueryError):
        await Fusion({}, keys=KeyStore()).command("link", {**LINK, **wrong})


async def test_a_key_that_was_lent_for_a_while_ends_then() -> None:
    keys = KeyStore()
    over: list[str] = []

    async def on_end(key_id: str) -> None:
        over.append(key_id)
        group.cancel_scope.cancel()

    with anyio.fail_after(LIMIT_S):
        async with anyio.create_task_group() as group:
            group.start_soon(keys.run, on_end)
            await anyio.lowlevel.checkpoint()  # it waits, and no key has an end yet
            keys.lend(lives_s=0.2)
    assert len(over) == 1


async def test_whoever_waits_hears_what_has_happened_meanwhile() -> None:
    fusion = Fusion({})
    fusion.stir()
    with anyio.fail_after(LIMIT_S):
        seen = await fusion.stirred(0)
        assert seen == 1
        async with anyio.create_task_group() as group:
            group.start_soon(fusion.stirred, seen)
            await anyio.lowlevel.checkpoint()
            fusion.stir()
        fusion.stir()
        fusion.stir()
        assert await fusion.stirred(2) == 4


async def test_asking_stirs_nothing() -> None:
    fusion = Fusion({})
    for command in ("sessions", "jobs", "keys"):
        await fusion.command(command, {})
    with anyio.move_on_after(0.1) as waited:
        await fusion.stirred(0)
    assert waited.cancelled_caught
