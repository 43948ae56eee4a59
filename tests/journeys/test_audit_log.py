"""Who did what to a running program stands in its audit log, whichever way it came."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest

from fustor_core.acts import records, verify
from fustor_core.bootstrap import House
from fustor_core.config import load_config
from fustor_core.state import socket_address

pytestmark = pytest.mark.anyio

LIMIT_S = 60.0
CONFIG = """
version: 1
audit_log: {enabled: %s}
views: {data: {}}
pipes:
  here: {source: {driver: fs, root: %s}, sink: {driver: view, view: data}}
receivers: {main: {driver: http, listen: ["unix", "127.0.0.1:0"]}}
"""


@asynccontextmanager
async def running(folder: Path, enabled: str = "null") -> AsyncIterator[House]:
    """A program that serves on a socket and on TCP."""
    (folder / "tree").mkdir(exist_ok=True)
    path = folder / "fustor.yaml"
    path.write_text(CONFIG % (enabled, folder / "tree"))
    stop = anyio.Event()
    with ExitStack() as held:
        house = House(load_config([path], os.environ), folder / "h", lambda event: None)
        house.open(held)
        async with anyio.create_task_group() as group:
            group.start_soon(house.live, stop)
            with anyio.fail_after(LIMIT_S):
                await house.premises.serving.wait()
                receiver: Any = house.premises.receivers["main"]
                while not receiver.ready.is_set():
                    await anyio.lowlevel.checkpoint()
            yield house
            stop.set()


@asynccontextmanager
async def local(house: House) -> AsyncIterator[httpx.AsyncClient]:
    with socket_address(house.state.socket("fusion")) as address:
        transport = httpx.AsyncHTTPTransport(uds=address)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://localhost/api/v1", timeout=LIMIT_S
        ) as client:
            yield client


def far(house: House, key: str) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    url = house.premises.urls()[0]
    return httpx.AsyncClient(base_url=f"{url}/api/v1", headers=headers, timeout=LIMIT_S)


def log(folder: Path, part: str = "fusion") -> list[dict[str, Any]]:
    return list(records(folder / "h" / part / "audit"))


async def test_every_act_has_its_record_before_it_is_answered(tmp_path: Path) -> None:
    async with running(tmp_path) as house, local(house) as owner:
        made = (await owner.post("/keys", json={"scopes": ["scan", "admin"]})).json()
        asked: list[tuple[str, str, Any, str]] = [
            ("POST", "/views/data/scan", {"path": "/"}, "scan"),
            ("POST", "/pipes/here/pause", {}, "pause"),
            ("POST", "/pipes/here/resume", {}, "resume"),
            ("POST", "/reload", {}, "reload"),
            ("POST", "/views/data/confirm", {"reject": True}, "confirm"),
            ("POST", "/login/links", {}, "link"),
            ("POST", f"/keys/{made['id']}/rotate", {"overlap": 600}, "key-rotate"),
            ("DELETE", f"/keys/{made['id']}", None, "key-revoke"),
        ]
        async with far(house, made["key"]) as other:
            for method, path, body, act in asked:
                reply = await other.request(method, path, json=body)
                assert reply.status_code < 500, reply.text
                last = [one for one in log(tmp_path) if one["act"] == act][-1]
                assert last["actor"] == {"way": "key", "key": made["id"], "address": "127.0.0.1"}
                assert last["outcome"] == ("done" if reply.is_success else "failed"), last
            assert (await other.get("/views")).status_code == 401
        assert log(tmp_path)[0]["act"] == "start"
        (created,) = [one for one in log(tmp_path) if one["act"] == "key-create"]
        assert created["actor"] == {"way": "socket", "uid": os.getuid()}
        assert created["object"]["id"] == made["id"]
        assert (await owner.post("/stop", json={})).status_code == 200
    acts = [one["act"] for one in log(tmp_path)]
    assert acts[-1] == "end"
    assert {"stop", "request", "leader-change", "key-end"} <= set(acts)
    assert verify(tmp_path / "h" / "fusion" / "audit").fault is None
    assert made["key"].split("_", 2)[2] not in json.dumps(log(tmp_path))


async def test_it_goes_on_over_a_restart_and_a_hang_up(tmp_path: Path) -> None:
    async with running(tmp_path):
        pass
    async with running(tmp_path) as house:
        head = house.minutes.document()
        assert head is not None
        await house.hung_up()
    acts = [(one["act"], one["actor"]["way"]) for one in log(tmp_path)]
    assert acts.count(("start", "program")) == 2
    assert ("reload", "signal") in acts
    assert verify(tmp_path / "h" / "fusion" / "audit").fault is None


async def test_guessing_keys_fills_no_disk(tmp_path: Path) -> None:
    async with running(tmp_path) as house, far(house, "fst_no_such-key-was-ever-made") as thief:
        for _ in range(50):
            assert (await thief.get("/views")).status_code in (401, 429)
    refused = [one for one in log(tmp_path) if one["act"] == "request"]
    assert len(refused) == 2, "the first, and all others together"
    assert refused[1]["object"]["times"] > 10


async def test_it_can_be_switched_off(tmp_path: Path) -> None:
    async with running(tmp_path, "false") as house, local(house) as owner:
        assert (await owner.post("/reload", json={})).status_code == 200
        assert (await owner.get("/status")).json()["audit_log"] is None
    assert not (tmp_path / "h" / "fusion" / "audit").exists()


async def test_its_head_can_be_remembered_elsewhere(tmp_path: Path) -> None:
    async with running(tmp_path) as house, local(house) as owner:
        await owner.post("/reload", json={})
        head = (await owner.get("/status")).json()["audit_log"]
        (at,) = [one for one in log(tmp_path) if one["seq"] == head["records"]]
        assert at["hash"] == head["head"]


async def test_the_log_level_changes_as_it_runs_and_is_an_act(tmp_path: Path) -> None:
    async with running(tmp_path) as house, local(house) as owner:
        asked = {"level": "debug", "logger": "fustor.machine"}
        told = (await owner.post("/log-level", json=asked)).json()["levels"]
        assert told["fustor.machine"] == "debug"
        assert (await owner.get("/log-levels")).json() == {"levels": told}
        wrong = await owner.post("/log-level", json={"level": "debug", "logger": "fustr"})
        assert (wrong.status_code, "fustor.machine" in wrong.json()["remedy"]) == (400, True)
        await owner.post("/reload", json={})
        told = (await owner.get("/log-levels")).json()["levels"]
        assert told["fustor"] == "info"
        assert "fustor.machine" not in told
    acts = [(one["act"], one["outcome"]) for one in log(tmp_path)]
    assert [one for one in acts if one[0] == "log-level"] == [
        ("log-level", "done"), ("log-level", "failed"),
    ]  # fmt: skip


async def test_what_happens_is_counted(tmp_path: Path) -> None:
    async with running(tmp_path) as house, local(house) as owner:
        with anyio.fail_after(LIMIT_S):
            while not house.premises.scanned:
                await anyio.lowlevel.checkpoint()
        for number in range(3):
            (tmp_path / "tree" / f"f{number}").write_text("x")
        await owner.post("/views/data/scan", json={"path": "/"})
        wanted = (
            'fustor_source_events_total{kind="cell",pipe="here"}',
            'fustor_arbitration_decisions_total{verdict="accepted",view="data"}',
            'fustor_scan_duration_seconds_count{origin="snapshot",pipe="here"} 1.0',
            'fustor_scan_duration_seconds_count{origin="on_demand",pipe="here"}',
            'fustor_scan_entries_total{origin="on_demand",pipe="here"}',
            "fustor_config_last_reload_successful 1.0",
            "fustor_audit_log_lost_total 0.0",
        )
        page = ""
        with anyio.move_on_after(LIMIT_S):
            while not all(line in page for line in wanted):
                page = (await owner.get("http://localhost/metrics")).text
        assert not [line for line in wanted if line not in page]
        assert str(tmp_path) not in page
        config = tmp_path / "fustor.yaml"
        config.write_text(config.read_text() + "nonsense: 1\n")
        assert (await owner.post("/reload", json={})).status_code == 422
        page = (await owner.get("http://localhost/metrics")).text
        assert "fustor_config_last_reload_successful 0.0" in page
