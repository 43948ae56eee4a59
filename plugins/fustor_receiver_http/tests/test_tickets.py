"""How a browser gets in: links that give a key once."""

from __future__ import annotations

from typing import Any

import pytest

from fustor_core.errors import Unauthorized

KEY = "fst_test_a-secret-of-the-tests"
BEARER = {"Authorization": f"Bearer {KEY}"}


async def test_a_link_is_asked_for_with_the_rights_that_it_shall_have(served: Any) -> None:
    body = {"scopes": ["read"], "views": ["v*"]}
    reply = await served.tcp.post("/api/v1/login/links", headers=BEARER, json=body)
    assert reply.status_code == 201
    assert served.ask.told == [("link", {**body, "pipes": ["*"]})]


@pytest.mark.parametrize(
    "body", [{"scopes": []}, {"scopes": ["push"]}, {"scope": "read"}, {"views": "v"}]
)
async def test_a_link_that_makes_no_sense_is_refused(served: Any, body: Any) -> None:
    reply = await served.tcp.post("/api/v1/login/links", headers=BEARER, json=body)
    assert reply.status_code == 400
    assert served.ask.told == []


async def test_a_login_needs_no_key_but_a_code(served: Any) -> None:
    reply = await served.tcp.post("/api/v1/login", json={"code": "c0de"})
    assert reply.status_code == 200
    assert served.ask.told == [("login", {"code": "c0de"})]
    for body in ({}, {"code": 1}, {"code": "x" * 300}, {"code": "x", "more": 1}):
        assert (await served.tcp.post("/api/v1/login", json=body)).status_code == 400


async def test_a_wrong_code_is_unauthorized(served: Any) -> None:
    served.ask.faults["login"] = Unauthorized("used up", remedy="make a new one")
    reply = await served.tcp.post("/api/v1/login", json={"code": "c0de"})
    assert (reply.status_code, reply.json()["remedy"]) == (401, "make a new one")
