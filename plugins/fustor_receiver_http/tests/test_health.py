"""Health, version and metrics."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from fustor_core.errors import StateError


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/startupz"])
async def test_a_healthy_server_says_so(served: Any, path: str) -> None:
    reply = await served.unix.get(path)
    assert reply.status_code == 200
    assert reply.json() == {"status": "ok"}


async def test_readiness_names_its_checks_when_asked(served: Any) -> None:
    document = (await served.unix.get("/readyz?verbose")).json()
    checks = {check["name"]: check for check in document["checks"]}
    assert checks["view:v"]["ok"] is True
    assert checks["view:v"]["detail"] == "complete"
    assert checks["views"]["ok"] is checks["server"]["ok"] is True


async def test_views_that_cannot_be_asked_are_not_ready_but_alive(served: Any) -> None:
    served.ask.faults["views"] = StateError("the disk is gone")
    for path in ("/readyz", "/startupz"):
        reply = await served.unix.get(path)
        assert reply.status_code == 503
        assert reply.json()["checks"][0]["detail"] == "the disk is gone"
    assert (await served.unix.get("/livez")).status_code == 200


async def test_the_version_names_program_and_protocol(served: Any) -> None:
    document = (await served.unix.get("/version")).json()
    assert document["version"]
    assert document["protocol"] == [1]


async def metrics(client: Any) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    reply = await client.get("/metrics")
    assert reply.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(reply.text)
        for sample in family.samples
    }


async def test_metrics_count_requests_by_route_and_never_by_what_was_asked(serve: Any) -> None:
    async with serve() as served:
        for path in ("/a", "/b"):
            await served.unix.get("/api/v1/views/v/stat", params={"path": path})
        await served.unix.get("/made-up-1")
        await served.unix.get("/made-up-2")
        found = await metrics(served.unix)
    name = "fustor_http_requests_total"
    labels = (("method", "GET"), ("route", "/api/v1/views/{view}/stat"), ("status", "200"))
    assert found[name, labels] == 2
    unrouted = (("method", "GET"), ("route", "none"), ("status", "404"))
    assert found[name, unrouted] == 2


async def test_metrics_show_views_and_pipes(served: Any) -> None:
    found = await metrics(served.unix)
    assert found["fustor_view_size_bytes", (("view", "v"),)] == 3
    assert found["fustor_view_complete", (("view", "v"),)] == 1
    assert found["fustor_view_age_seconds", (("view", "v"),)] == 0.25
    assert found["fustor_pipe_state", (("pipe", "p"),)] == 66
    assert found["fustor_http_open_streams", ()] == 0
    assert found["process_open_fds", ()] > 0


async def test_metrics_survive_views_that_cannot_be_asked(served: Any) -> None:
    served.ask.faults["views"] = StateError("the disk is gone")
    found = await metrics(served.unix)
    assert found["fustor_http_open_streams", ()] == 0


async def test_open_streams_are_counted(served: Any) -> None:
    async with served.unix.stream("GET", "/api/v1/views/v/changes?follow=true"):
        await served.ask.until_following(1)
        found = await metrics(served.unix)
        assert found["fustor_http_open_streams", ()] == 1
