"""Who asks is said to whoever writes it down: by key, address, or user of the socket."""

from __future__ import annotations

import os
from typing import Any

import pytest

from fustor_core.contracts import ASKER, Access, Asker

KEY = "fst_test_a-secret-of-the-tests"
BEARER = {"Authorization": f"Bearer {KEY}"}
WRONG = {"Authorization": "Bearer fst_no_such-key-was-ever-made-here"}


async def test_the_user_of_the_socket_is_known(served: Any) -> None:
    assert (await served.unix.post("/api/v1/reload", json={})).status_code == 200
    assert served.ask.askers == [Asker("socket", uid=os.getuid())]


async def test_a_key_is_known_with_its_address(served: Any) -> None:
    assert (await served.tcp.post("/api/v1/reload", json={}, headers=BEARER)).status_code == 200
    assert served.ask.askers == [Asker("key", "test", "127.0.0.1")]


async def test_one_request_says_nothing_of_another(served: Any) -> None:
    for _ in range(2):
        await served.tcp.post("/api/v1/reload", json={}, headers=BEARER)
        await served.unix.post("/api/v1/reload", json={})
    assert [one.way for one in served.ask.askers] == ["key", "socket"] * 2
    assert ASKER.get() == Asker(), "nothing leaks out of a request"


async def test_a_link_is_followed_by_nobody_known(served: Any) -> None:
    await served.tcp.post("/api/v1/login", json={"code": "x"})
    assert served.ask.askers == [Asker("network", address="127.0.0.1")]


@pytest.mark.parametrize(
    ("headers", "status", "why"),
    [
        ({}, 401, "unauthorized"),
        (WRONG, 401, "unauthorized"),
        ({**BEARER, "Host": "evil.example"}, 421, "misdirected"),
    ],
)
async def test_who_is_refused_is_told(served: Any, headers: Any, status: int, why: str) -> None:
    reply = await served.tcp.get("/api/v1/views?ticket=secret", headers=headers)
    assert reply.status_code == status
    told = ("GET /api/v1/views", why, Asker("network", address="127.0.0.1"))
    assert served.ask.refusals == [told]


async def test_a_key_without_the_right_is_told_by_its_id(served: Any) -> None:
    made = await served.ask.keys.create(Access("", frozenset({"read"})))
    headers = {"Authorization": f"Bearer {made['key']}"}
    reply = await served.tcp.post("/api/v1/stop", json={}, headers=headers)
    assert reply.status_code == 403
    told = ("POST /api/v1/stop", "forbidden", Asker("key", made["id"], "127.0.0.1"))
    assert served.ask.refusals == [told]
    assert not served.ask.told


async def test_what_was_answered_is_no_refusal(served: Any) -> None:
    await served.tcp.get("/api/v1/views", headers=BEARER)
    await served.tcp.get("/api/v1/nothing", headers=BEARER)
    assert served.ask.refusals == []
