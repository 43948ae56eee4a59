"""Every route with every kind of key; generated from the table of routes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import anyio
import httpx
import pytest
from fustor_receiver_http.app import routes_of
from fustor_receiver_http.described import described as described_by
from fustor_receiver_http.metrics import Meter
from fustor_receiver_http.scopes import NOBODY, OPEN, RULES, Gate, Rule, access_of, check
from fustor_receiver_http.streams import Streams
from fustor_receiver_http.tickets import Tickets
from starlette.routing import Route

from fustor_core import keys
from fustor_core.client import BASE
from fustor_core.contracts import Access
from fustor_core.errors import Forbidden, NoSuchView
from fustor_core.testing.receiver_kit import NoAnswers

RIGHTS = ("push", "read", "scan", "admin")
NAMES = {"view": "v", "id": "p", "name": "pipeline", "forest": "f"}
PARAMETERS = {f"{BASE}/views/{{view}}/find": {"pattern": "*"}}
ROUTES = sorted(RULES)
VIEWS = [{"view": "v", "files": 1}, {"view": "w-secret", "files": 2}]
PIPES = [{"id": "p", "view": "v"}, {"id": "q-secret", "view": "w-secret"}]
LISTS = {
    "pipes": {"pipes": PIPES},
    "jobs": {"jobs": [{"id": "p", "view": "v"}, {"id": "j-secret", "view": "w-secret"}]},
    "sessions": {
        "sessions": [
            {"session_id": "s", "pipe": "p", "view": "v"},
            {"session_id": "t-secret", "pipe": "q-secret", "view": "w-secret"},
        ]
    },
}
LIMIT_S = 20.0
CUT_S = 10.0  # promised is a second; the rest is the time of a busy machine


def url(template: str) -> str:
    for name, value in NAMES.items():
        template = template.replace("{" + name + "}", value)
    return template


def other_than(right: str | None) -> list[str]:
    return [one for one in RIGHTS if one != right]


@dataclass
class Keys:
    """Keys of every kind, of a server that serves."""

    served: Any

    async def made(self, rights: list[str], views: str = "*", pipes: str = "*") -> str:
        access = keys.asked(rights, [views], [pipes])
        return (await self.served.ask.keys.create(access))["key"]

    async def text(self, kind: str, rule: Rule) -> str | None:
        """A key of a kind, for a route with this rule."""
        right = rule.right or "read"
        if kind == "none":
            return None
        if kind == "garbage":
            return "fst_a1_" + "x" * 43
        if kind == "wrong scope":
            return await self.made(other_than(right))
        if kind == "other view":
            return await self.made([right], "other*")
        if kind == "other pipe":
            return await self.made([right], "*", "other*")
        text = await self.made([right])
        key_id = keys.id_of(text) or ""
        if kind == "revoked":
            await self.served.ask.keys.revoke(key_id)
        if kind == "expired":
            text = (await self.served.ask.keys.create(keys.asked([right]), lives_s=0.0))["key"]
        return text


def wanted(kind: str, rule: Rule) -> set[int]:
    """The statuses that a key of a kind may get; those of the route itself are left to it."""
    if rule.right is None:
        return set()
    if kind in ("none", "garbage", "expired", "revoked"):
        return {401, 429}
    if kind == "wrong scope":
        return {403}
    if kind == "other view" and rule.reach:
        return {403}
    if kind == "other pipe" and rule.reach in ("pipe", "everything"):
        return {403}
    return set()


KINDS = (
    "none", "garbage", "expired", "revoked", "wrong scope", "other view", "other pipe", "right",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("method", "template"), ROUTES, ids=[" ".join(one) for one in ROUTES])
async def test_a_route_is_for_those_who_may(
    served: Any, method: str, template: str, kind: str
) -> None:
    rule = RULES[method, template]
    if rule.reach in ("pipe", "job"):  # what is named there belongs to no other pipe or view
        served.ask.lists = LISTS
    members = [] if kind == "other view" else [{"forest": "f"}]
    served.ask.lists = {**served.ask.lists, "forests": {"forests": members}}
    text = await Keys(served).text(kind, rule)
    headers = {"Authorization": f"Bearer {text}"} if text else {}
    served.ask.told.clear()
    reply = await served.tcp.request(
        method, url(template), headers=headers, params=PARAMETERS.get(template)
    )
    allowed = wanted(kind, rule)
    if allowed:
        assert reply.status_code in allowed, reply.text
        assert reply.headers["Content-Type"] == "application/problem+json"
        assert (text or "nothing") not in reply.text
        lists = [name for name, _ in served.ask.told if name in ("pipes", "jobs", "forests")]
        assert [name for name, _ in served.ask.told] == lists, "nothing was done"
        assert served.ask.asked == []
    else:
        assert reply.status_code not in (401, 403, 429), reply.text
        assert reply.status_code < 500


@pytest.mark.parametrize("kind", ["none", "right"])
@pytest.mark.parametrize(("method", "template"), ROUTES, ids=[" ".join(one) for one in ROUTES])
async def test_the_socket_is_for_its_owner_who_may_everything(
    served: Any, method: str, template: str, kind: str
) -> None:
    headers = {} if kind == "none" else {"Authorization": "Bearer nonsense"}
    params = PARAMETERS.get(template)
    reply = await served.unix.request(method, url(template), headers=headers, params=params)
    assert reply.status_code not in (401, 403, 429), reply.text


def fastapi() -> Any:
    """What describes its routes."""
    ask = NoAnswers()
    streams = Streams(heartbeat_s=1, stall_s=1, ended=ask.ended)
    return described_by(ask, routes_of(ask, streams, Meter(ask, streams), Tickets(1)))


def described() -> set[tuple[str, str]]:
    """Every route of the application, hot ones too."""
    api = fastapi()
    schema = api.openapi()["paths"]
    found = {(verb.upper(), path) for path, verbs in schema.items() for verb in verbs}
    return found | {
        (method, route.path)
        for route in api.routes
        if isinstance(route, Route)
        for method in (route.methods or ())
        if method != "HEAD"
    }


def test_every_route_is_in_the_table_and_every_row_is_a_route() -> None:
    found = described()
    assert len(found) > 40
    assert found - RULES.keys() == set(), "routes without a row: nobody may use them"
    assert RULES.keys() - found == set(), "rows without a route"


def test_a_row_says_what_its_route_says() -> None:
    """The matrix is made from the table: a row that is too generous has to be found by others."""
    reaches = {"/views/{view}": "view", "/forests/{": "forest", "/jobs/{": "job"}
    reaches |= {"/pipes/{": "pipe", "/keys": "everything", "/config": "everything"}
    reaches |= {"/login/links": "everything"}
    for path, verbs in fastapi().openapi()["paths"].items():
        for verb, operation in verbs.items():
            rule = RULES[verb.upper(), path]
            if operation["tags"] not in (["health"], ["login"]):
                assert operation["tags"] == [rule.right], path
            reach = [reach for begin, reach in reaches.items() if path.startswith(BASE + begin)]
            assert [rule.reach] == (reach or [rule.reach]), path
            if rule.right == "admin":
                assert rule.reach, f"{path}: an admin of some views is none of all"


async def test_a_route_without_a_row_is_nobodys(
    served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = {row: rule for row, rule in RULES.items() if row != ("GET", f"{BASE}/machines")}
    monkeypatch.setattr("fustor_receiver_http.scopes.RULES", without)
    reply = await served.unix.get(f"{BASE}/machines")
    assert reply.status_code == 403
    assert "no right is stated" in reply.json()["detail"]
    assert served.ask.told == []


async def _never(*_: Any) -> None:
    raise AssertionError


@pytest.mark.parametrize("place", ["/api/v1/nowhere/", "/", "/api/v1/views/"])
def test_a_hot_route_without_one_right_is_not_served(place: str) -> None:
    with pytest.raises(LookupError, match="rights for"):
        Gate(place, _never)


async def test_a_hot_route_needs_its_right() -> None:
    transport = httpx.ASGITransport(Gate(f"{BASE}/pipe/sessions/", _never))
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        reply = await client.post(f"{BASE}/pipe/sessions/x/batches")
    assert (reply.status_code, reply.json()["type"]) == (403, "urn:fustor:problem:forbidden")


def test_who_has_shown_nothing_may_nothing() -> None:
    for scope in ({}, {"fustor.access": None}, {"fustor.access": "admin"}):
        assert access_of(scope) is NOBODY
    assert not any(NOBODY.covers(right) for right in ("push", "read", "scan", "admin"))
    assert len(OPEN) == 5


LISTED = ["/views", "/status", "/sessions", "/pipes", "/jobs", "/forests"]


@pytest.mark.parametrize("path", LISTED)
async def test_a_list_shows_what_the_key_covers(
    served: Any, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.ask.lists = LISTS
    monkeypatch.setattr(served.ask, "views", lambda: VIEWS)
    monkeypatch.setattr(served.ask, "status", lambda: {"views": VIEWS, "pipes": PIPES})
    name = path[1:]
    for views, pipes in (("v", "*"), ("[v]", "p")):
        text = await Keys(served).made(["read", "scan"], views, pipes)
        reply = await served.tcp.get(BASE + path, headers={"X-API-Key": text})
        assert "secret" not in reply.text
        if path == "/forests":
            assert served.ask.told[-1] == ("forests", {"views": (views,)})
            continue
        shown = reply.json()["views" if name == "status" else name]
        assert len(shown) == 1
        assert shown[0].get("view") == "v"
    text = await Keys(served).made(["read", "scan"])
    reply = await served.tcp.get(BASE + path, headers={"X-API-Key": text})
    assert path == "/forests" or "secret" in reply.text


async def test_a_pipe_without_a_view_here_is_told_of_by_its_name() -> None:
    access = keys.asked(["read"], ["v"], ["p*"])
    from fustor_receiver_http.scopes import covered_of

    pipes = [{"id": "p", "view": None}, {"id": "x", "view": None}, {"id": "p2", "view": "w"}]
    assert [one["id"] for one in covered_of(access, "read", pipes, pipe="id")] == ["p"]


async def test_metrics_tell_of_the_views_that_the_key_covers(
    served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served.ask, "status", lambda: {"views": VIEWS, "pipes": PIPES})
    text = await Keys(served).made(["read"], "v")
    page = (await served.tcp.get("/metrics", headers={"X-API-Key": text})).text
    assert 'fustor_view_files{view="v"} 1.0' in page
    assert "fustor_http_requests_total" in page
    assert "secret" not in page
    assert "w-secret" in (await served.unix.get("/metrics")).text


async def test_without_a_key_health_names_no_view(
    served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served.ask, "views", lambda: VIEWS)
    reply = await served.tcp.get("/readyz?verbose")
    assert reply.status_code == 200
    assert "view:" not in reply.text
    assert "view:w-secret" in (await served.unix.get("/readyz?verbose")).text


async def test_names_of_other_views_stand_in_no_error(served: Any) -> None:
    served.ask.faults["stat"] = NoSuchView("v", ["v2", "w-secret"])
    text = await Keys(served).made(["read"], "v*")
    reply = await served.tcp.get(f"{BASE}/views/v/stat", headers={"X-API-Key": text})
    assert reply.status_code == 404
    assert reply.json()["known"] == ["v2"]
    assert "secret" not in reply.text


@pytest.mark.parametrize("reach", ["pipe", "job"])
async def test_what_is_hidden_and_what_is_not_there_look_alike(served: Any, reach: str) -> None:
    served.ask.lists = LISTS
    access = keys.asked(["read"], ["v"])
    told = []
    for name in ("q-secret", "j-secret", "nothing"):
        with pytest.raises(Forbidden) as caught:
            await check(served.ask, access, Rule("read", reach), {"id": name})  # type: ignore[arg-type]
        told.append(caught.value.message.replace(name, "X"))
    assert len(set(told)) == 1
    await check(served.ask, access, Rule("read", reach), {"id": "p"})  # type: ignore[arg-type]


FOLLOWED = f"{BASE}/views/v/changes?follow=true"


@pytest.mark.parametrize("accept", ["application/x-ndjson", "text/event-stream"])
@pytest.mark.parametrize("how", ["revoked", "expired"])
async def test_an_open_stream_ends_with_its_key(served: Any, how: str, accept: str) -> None:
    store = served.ask.keys
    lives_s = 0.3 if how == "expired" else None
    made = await store.create(keys.asked(["read"]), lives_s=lives_s)
    headers = {"Authorization": f"Bearer {made['key']}", "Accept": accept}
    received = b""
    async with served.tcp.stream("GET", FOLLOWED, headers=headers) as reply:
        assert reply.status_code == 200
        parts = reply.aiter_bytes()
        received += await anext(parts)
        if how == "revoked":
            await store.revoke(made["id"])
        with anyio.fail_after(CUT_S):
            async for part in parts:
                received += part
    line = received.strip().splitlines()[-1].removeprefix(b"data: ")
    document = json.loads(line)
    document = document.get("problem", document)
    assert document["type"] == "urn:fustor:problem:unauthorized"
    await served.ask.until_following(0)
    again = await served.tcp.get(FOLLOWED, headers=headers)
    assert again.status_code in (401, 429)


async def test_other_streams_go_on(served: Any) -> None:
    store = served.ask.keys
    made, other = [await store.create(keys.asked(["read"])) for _ in range(2)]
    headers = {"Authorization": f"Bearer {other['key']}", "Accept": "application/x-ndjson"}
    async with served.tcp.stream("GET", FOLLOWED, headers=headers) as reply:
        lines = reply.aiter_lines()
        await anext(lines)
        await store.revoke(made["id"])
        served.ask.change("/still")
        with anyio.fail_after(LIMIT_S):
            assert json.loads(await anext(lines))["path"] == "/still"


async def test_a_client_that_takes_nothing_is_cut_off_with_its_key(served: Any) -> None:
    store = served.ask.keys
    made = await store.create(keys.asked(["read"]))
    host, port = served.tcp.base_url.host, served.tcp.base_url.port
    async with await anyio.connect_tcp(host, port) as stream:
        head = f"GET {FOLLOWED} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {made['key']}\r\n"
        await stream.send(f"{head}Accept: application/x-ndjson\r\n\r\n".encode())
        await served.ask.until_following(1)
        for _ in range(40):  # more than the socket's buffers hold
            served.ask.change("/" + "x" * 1_000_000)
        with anyio.fail_after(LIMIT_S):
            while served.ask.wakes < 2:
                await anyio.lowlevel.checkpoint()
        await store.revoke(made["id"])
        page = ""
        with anyio.fail_after(CUT_S):
            while "fustor_http_open_streams 0.0" not in page.splitlines():
                page = (await served.unix.get("/metrics")).text


def test_all_rights_are_used() -> None:
    assert {rule.right for rule in RULES.values()} == {None, "push", "read", "scan", "admin"}
    assert Access().rights == set(RIGHTS)
