"""The routes that are no queries: each is one command."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from fustor_receiver_http.documents import BODY_BYTES_MAX

from fustor_core.contracts import Ask
from fustor_core.errors import FustorError, IllegalTransition
from fustor_core.problems import Problem

ODD = b"/a/\xff"
COMMANDS: list[tuple[str, str, Any, str, dict[str, Any], int]] = [
    ("GET", "/sessions", None, "sessions", {"view": None}, 200),
    ("GET", "/sessions?view=v", None, "sessions", {"view": "v"}, 200),
    ("GET", "/pipes", None, "pipes", {}, 200),
    ("GET", "/pipes/p%201", None, "pipe", {"id": "p 1"}, 200),
    ("GET", "/machines", None, "machines", {}, 200),
    ("GET", "/machines/pipeline", None, "machine", {"name": "pipeline"}, 200),
    ("GET", "/plugins", None, "plugins", {}, 200),
    ("GET", "/config", None, "config", {}, 200),
    ("GET", "/log-levels", None, "log-levels", {}, 200),
    (
        "POST",
        "/log-level",
        {"level": "debug", "logger": "fustor.machine"},
        "log-level",
        {"level": "debug", "logger": "fustor.machine", "role": None},
        200,
    ),
    ("GET", "/forests", None, "forests", {}, 200),
    (
        "GET",
        "/forests/all/best?path=/a&by=total_size",
        None,
        "best",
        {"forest": "all", "path": b"/a", "by": "total_size"},
        200,
    ),
    (
        "GET",
        f"/forests/a%20b/best?path_b64={base64.b64encode(ODD).decode()}",
        None,
        "best",
        {"forest": "a b", "path": ODD, "by": None},
        200,
    ),
    ("GET", "/jobs", None, "jobs", {}, 200),
    ("GET", "/jobs/7", None, "job", {"id": "7"}, 200),
    ("DELETE", "/jobs/7", None, "cancel", {"id": "7"}, 200),
    ("DELETE", "/views/v", None, "drop", {"view": "v"}, 200),
    (
        "POST",
        "/views/v/scan",
        {"path": "/a", "recursive": False},
        "scan",
        {"view": "v", "path": b"/a", "recursive": False},
        202,
    ),
    (
        "POST",
        "/views/v/scan",
        {"path_b64": base64.b64encode(ODD).decode()},
        "scan",
        {"view": "v", "path": ODD, "recursive": True},
        202,
    ),
    ("GET", "/keys", None, "keys", {}, 200),
    (
        "POST",
        "/keys",
        None,
        "key-create",
        {"scopes": ["read"], "views": ["*"], "pipes": ["*"], "expires_s": None},
        201,
    ),
    (
        "POST",
        "/keys",
        {"scopes": ["push", "scan"], "views": ["a*"], "pipes": ["p"], "expires": "2d"},
        "key-create",
        {"scopes": ["push", "scan"], "views": ["a*"], "pipes": ["p"], "expires_s": 172_800.0},
        201,
    ),
    ("DELETE", "/keys/7", None, "key-revoke", {"id": "7"}, 200),
    ("POST", "/keys/7/rotate", None, "key-rotate", {"id": "7", "overlap_s": 0.0}, 201),
    ("POST", "/keys/7/rotate", {"overlap": 5}, "key-rotate", {"id": "7", "overlap_s": 5.0}, 201),
    ("POST", "/views/v/scan", None, "scan", {"view": "v", "path": b"/", "recursive": True}, 202),
    (
        "POST",
        "/views/v/confirm",
        None,
        "confirm",
        {"view": "v", "root": None, "reject": False},
        200,
    ),
    (
        "POST",
        "/views/v/confirm",
        {"root": "/r", "reject": True},
        "confirm",
        {"view": "v", "root": b"/r", "reject": True},
        200,
    ),
    ("POST", "/pipes/p/pause", None, "pause", {"id": "p"}, 200),
    ("POST", "/pipes/p/resume", {}, "resume", {"id": "p"}, 200),
    ("POST", "/pipes/p/restart", None, "restart", {"id": "p"}, 200),
    ("POST", "/stop", None, "stop", {"role": None}, 200),
    ("POST", "/stop", {"role": "agent"}, "stop", {"role": "agent"}, 200),
    (
        "POST",
        "/reload",
        {"role": "fusion", "restart": False},
        "reload",
        {"role": "fusion", "restart": False},
        200,
    ),
]


@pytest.mark.parametrize(("method", "path", "body", "name", "arguments", "status"), COMMANDS)
async def test_a_route_is_a_command(
    served: Any, method: str, path: str, body: Any, name: str, arguments: Any, status: int
) -> None:
    reply = await served.unix.request(method, "/api/v1" + path, json=body)
    assert reply.status_code == status, reply.text
    assert reply.json() == {"id": "7", "did": name}
    assert served.ask.told == [(name, arguments)]


async def test_a_scan_says_where_its_job_is(served: Any) -> None:
    reply = await served.unix.post("/api/v1/views/v/scan")
    assert reply.headers["Location"] == "/api/v1/jobs/7"
    assert (await served.unix.get(reply.headers["Location"])).status_code == 200


async def test_views_and_status_come_as_they_are(served: Any) -> None:
    views = await served.unix.get("/api/v1/views")
    assert views.json() == {"views": served.ask.views()}
    status = await served.unix.get("/api/v1/status")
    assert status.json() == served.ask.status()


REFUSED: list[tuple[str, bytes, str, int, str]] = [
    ("/views/v/scan", b"{", "application/json", 400, "malformed"),
    ("/views/v/scan", b"[]", "application/json", 400, "malformed"),
    ("/views/v/scan", b"null", "application/json", 400, "malformed"),
    ("/views/v/scan", b'"\xff"', "application/json", 400, "malformed"),
    ("/views/v/scan", b'{"path": "\\ud800"}', "application/json", 400, "malformed"),
    ("/views/v/scan", b'{"path": 1}', "application/json", 400, "malformed"),
    ("/views/v/scan", b'{"path": "/a/../b"}', "application/json", 400, "malformed"),
    ("/views/v/scan", b'{"paht": "/a"}', "application/json", 400, "malformed"),
    ("/views/v/scan", b'{"recursive": ' + b"9" * 5000 + b"}", "application/json", 400, "malformed"),
    ("/views/v/scan", b"[" * 60_000, "application/json", 400, "malformed"),
    ("/views/v/scan", b'{"path":' + b'{"a":' * 10_000, "application/json", 400, "malformed"),
    ("/views/v/scan", b"path=/a", "application/x-www-form-urlencoded", 415, "unsupported-media"),
    ("/views/v/scan", b" " * BODY_BYTES_MAX + b"{}", "application/json", 413, "too-large"),
    ("/views/v/confirm", b'{"root": "r"}', "application/json", 400, "malformed"),
    ("/views/v/confirm", b'{"root": "/", "root_b64": "Lw"}', "application/json", 400, "malformed"),
    ("/stop", b"\x0c", "application/json", 400, "malformed"),
    ("/stop", b" \r\n", "application/json", 400, "malformed"),
    ("/stop", b'{"role": "king"}', "application/json", 400, "malformed"),
    ("/pipes/p/pause", b'{"x": 1}', "application/json", 400, "malformed"),
    ("/keys", b'{"scopes": ["king"]}', "application/json", 400, "malformed"),
    ("/keys", b'{"scopes": []}', "application/json", 400, "malformed"),
    ("/keys", b'{"scopes": "read"}', "application/json", 400, "malformed"),
    ("/keys", b'{"expires": 0}', "application/json", 400, "malformed"),
    ("/keys", b'{"expires": 1e300}', "application/json", 400, "malformed"),
    ("/keys", b'{"expires": "NaN"}', "application/json", 400, "malformed"),
    ("/keys/7/rotate", b'{"overlap": -1}', "application/json", 400, "malformed"),
]


@pytest.mark.parametrize(("path", "body", "kind", "status", "slug"), REFUSED)
async def test_a_body_that_makes_no_sense_does_nothing(
    served: Any, path: str, body: bytes, kind: str, status: int, slug: str
) -> None:
    headers = {"Content-Type": kind}
    reply = await served.unix.post("/api/v1" + path, content=body, headers=headers)
    document = reply.json()
    assert reply.status_code == status, document
    assert document["type"] == f"urn:fustor:problem:{slug}"
    assert document["instance"] == "/api/v1" + path
    assert served.ask.told == []


async def test_a_body_too_large_is_refused_while_it_comes(served: Any) -> None:
    sent = 0

    async def endless() -> Any:
        nonlocal sent
        while sent < 100 * BODY_BYTES_MAX:
            sent += BODY_BYTES_MAX // 4
            yield b" " * (BODY_BYTES_MAX // 4)

    reply = await served.unix.post("/api/v1/views/v/scan", content=endless())
    assert reply.status_code == 413
    assert reply.json()["limit"] == BODY_BYTES_MAX


async def test_a_misspelt_member_gets_a_suggestion(served: Any) -> None:
    reply = await served.unix.post("/api/v1/views/v/scan", json={"recursiv": True})
    assert reply.json()["suggestion"] == "recursive"


@pytest.mark.parametrize("path", [path for method, path, *_ in COMMANDS if method == "GET"])
async def test_lists_take_no_other_parameters(served: Any, path: str) -> None:
    reply = await served.unix.get(f"/api/v1{path.partition('?')[0]}?nonsense=1")
    assert reply.status_code == 400
    assert served.ask.told == []


@pytest.mark.parametrize(
    ("error", "status", "slug"),
    [
        (IllegalTransition("pipeline", "STOPPED", "pause", ["start"]), 409, "illegal-transition"),
        (
            Problem({"type": "urn:fustor:problem:no-such-pipe", "status": 404, "detail": "no x"}),
            404,
            "no-such-pipe",
        ),
    ],
)
async def test_a_refused_command_says_why(
    served: Any, error: FustorError, status: int, slug: str
) -> None:
    served.ask.faults["pause"] = error
    reply = await served.unix.post("/api/v1/pipes/p/pause")
    assert reply.status_code == status
    assert reply.json()["type"].endswith(slug)
    assert reply.json()["detail"] == error.message


# tried in test_ingest.py
PUSHED = [("POST", ""), ("DELETE", "{id}"), ("POST", "{id}/heartbeat"), ("POST", "{id}/batches")]
# tried in test_live.py and test_tickets.py
WATCHED = [
    ("GET", "state/ws"), ("POST", "state/tickets"), ("POST", "login/links"), ("POST", "login")
]  # fmt: skip


async def test_every_route_is_described_and_tried(served: Any) -> None:
    schema = (await served.unix.get("/openapi.json")).json()
    assert schema["openapi"].startswith("3.")
    described = {
        (method.upper(), path)
        for path, operations in schema["paths"].items()
        for method in operations
    }
    tried = {
        (method, "/api/v1" + _template(path.partition("?")[0])) for method, path, *_ in COMMANDS
    }
    verbs = "ls stat tree du find stable changes suspects debts blind-spots explain status".split()
    tried |= {("GET", f"/api/v1/views/{{view}}/{verb}") for verb in verbs}
    tried |= {("GET", f"/api/v1/{name}") for name in ("views", "status", "views/{view}")}
    health = ("livez", "readyz", "startupz", "version", "metrics")
    tried |= {("GET", f"/{name}") for name in health}
    tried |= {(method, f"/api/v1/pipe/sessions/{rest}") for method, rest in PUSHED}
    tried |= {(method, f"/api/v1/{path}") for method, path in WATCHED}
    assert described == tried
    for operations in schema["paths"].values():
        for operation in operations.values():
            assert operation["summary"]


def _template(path: str) -> str:
    kinds = {"views": "view", "machines": "name", "forests": "forest"}
    first, *rest = path.strip("/").split("/")
    if rest:
        rest[0] = "{" + kinds.get(first, "id") + "}"
    return "/" + "/".join([first, *rest])


async def test_the_page_for_people_lists_the_routes_and_loads_nothing(served: Any) -> None:
    page = await served.unix.get("/docs")
    schema = (await served.unix.get("/openapi.json")).json()
    assert page.headers["content-type"].startswith("text/html")
    for path in schema["paths"]:
        assert f"<code>{path}</code>" in page.text
    assert "http://" not in page.text
    assert "https://" not in page.text
    assert "<script" not in page.text


async def test_a_parameter_is_described_as_it_is_written(served: Any) -> None:
    schema = (await served.unix.get("/openapi.json")).json()
    find = schema["paths"]["/api/v1/views/{view}/find"]["get"]
    names = {parameter["name"] for parameter in find["parameters"]}
    assert {"pattern", "path_b64", "whole_path", "size", "in", "view"} <= names
    scan = schema["paths"]["/api/v1/views/{view}/scan"]["post"]
    assert "recursive" in json.dumps(scan["requestBody"])


def test_the_answers_of_these_tests_keep_the_contract(served: Any) -> None:
    ask: Ask = served.ask
    assert ask.views()
