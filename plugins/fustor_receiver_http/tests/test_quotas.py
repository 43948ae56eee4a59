"""More than a key or an address may ask for is answered with 429 and when to come again."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from fustor_receiver_http.limits import Limits
from fustor_receiver_http.quotas import MOST, Exceeded, Quotas, Rate

from fustor_core.contracts import Access

LIMIT_S = 20.0
KEY = "fst_test_a-secret-of-the-tests"
BEARER = {"Authorization": f"Bearer {KEY}"}


def test_so_many_a_second_with_a_burst() -> None:
    now = [0.0]
    rate = Rate(2.0, 4.0, lambda: now[0])
    assert [rate.take("a") for _ in range(5)] == [0.0, 0.0, 0.0, 0.0, 0.5]
    assert rate.take("b") == 0.0, "others have their own"
    now[0] += 0.25
    assert rate.take("a") == 0.25, "who is refused loses nothing"
    now[0] += 0.25
    assert [rate.take("a"), rate.take("a")] == [0.0, 0.5]
    now[0] += 1000.0
    assert [rate.take("a") for _ in range(5)] == [0.0, 0.0, 0.0, 0.0, 0.5]


def test_what_is_remembered_is_bounded() -> None:
    rate = Rate(1.0, 1.0, lambda: 0.0)
    for number in range(MOST + 10):
        rate.take(str(number))
    assert len(rate._left) == MOST


def test_nothing_is_counted_without_a_limit() -> None:
    rate = Rate(0.0, 0.0, lambda: 0.0)
    assert {rate.take("a") for _ in range(100)} == {0.0}


def test_streams_count_while_they_are_open() -> None:
    quotas = Quotas(Limits(key_streams=2), lambda: 0.0)
    scope = {"type": "websocket", "path": "/x", "query_string": b""}
    with quotas.asks(scope, "k"), quotas.asks(scope, "k"):
        with pytest.raises(Exceeded), quotas.asks(scope, "k"):
            pass
        with quotas.asks(scope, "other"):
            pass
    with quotas.asks(scope, "k"):
        assert repr(quotas) == "<Quotas 1 open streams>"
    assert repr(quotas) == "<Quotas 0 open streams>"


async def test_a_key_that_asks_too_often_is_told_when_to_come_again(serve: Any) -> None:
    async with serve(tcp=True, limits={"key_requests": 0.2}) as served:
        replies = [await served.tcp.get("/api/v1/views", headers=BEARER) for _ in range(3)]
        assert [reply.status_code for reply in replies] == [200, 200, 429]
        refused = replies[-1]
        assert 1 <= int(refused.headers["Retry-After"]) <= 5
        assert refused.json()["type"] == "urn:fustor:problem:slow-down"
        assert "with this key" in refused.json()["detail"]
        assert "limits" in refused.json()["remedy"]
        other = await served.ask.keys.create(Access("", frozenset({"read"})))
        bearer = {"Authorization": f"Bearer {other['key']}"}
        assert (await served.tcp.get("/api/v1/views", headers=bearer)).status_code == 200
        for _ in range(5):
            assert (await served.unix.get("/api/v1/views")).status_code == 200
        page = (await served.unix.get("/metrics")).text
        assert 'fustor_http_refusals_total{reason="slow-down"} 1.0' in page


async def test_an_address_has_a_limit_too_with_or_without_a_key(serve: Any) -> None:
    async with serve(tcp=True, limits={"address_requests": 0.2}) as served:
        told = [(await served.tcp.get("/livez")).status_code for _ in range(3)]
        assert told == [200, 200, 429]
        reply = await served.tcp.get("/api/v1/views", headers=BEARER)
        assert (reply.status_code, "this address" in reply.json()["detail"]) == (429, True)


async def test_no_load_of_questions_ends_a_session(serve: Any) -> None:
    limits = {"key_requests": 0.2, "address_requests": 0.2}
    async with serve(tcp=True, limits=limits) as served:
        for _ in range(3):
            await served.tcp.get("/api/v1/views", headers=BEARER)
        for _ in range(20):
            url = "/api/v1/pipe/sessions/s/heartbeat"
            reply = await served.tcp.post(url, json={}, headers=BEARER)
            assert reply.status_code != 429


async def test_scans_have_a_limit_of_their_own(serve: Any) -> None:
    async with serve(tcp=True, limits={"key_scans": 2}) as served:
        url = "/api/v1/views/v/scan"
        told = [
            (await served.tcp.post(url, json={"path": "/"}, headers=BEARER)).status_code
            for _ in range(3)
        ]
        assert told == [202, 202, 429]
        assert (await served.tcp.get("/api/v1/views", headers=BEARER)).status_code == 200


async def test_streams_that_are_open_have_one(serve: Any) -> None:
    async with serve(tcp=True, limits={"key_streams": 1}) as served:
        url = "/api/v1/views/v/changes?follow=true"
        async with served.tcp.stream("GET", url, headers=BEARER) as stream:
            assert stream.status_code == 200
            assert (await served.tcp.get(url, headers=BEARER)).status_code == 429
        with anyio.fail_after(LIMIT_S):
            await served.ask.until_following(0)
            while True:
                async with served.tcp.stream("GET", url, headers=BEARER) as stream:
                    if stream.status_code == 200:
                        break


def test_what_is_no_limit_is_refused() -> None:
    with pytest.raises(ValueError, match="greater than or equal"):
        Limits(key_requests=-1)
