"""Files of plugins for browsers: for everybody, under a policy that forbids all else."""

from __future__ import annotations

from typing import Any

import pytest

from fustor_core.contracts import Asset

PAGE = Asset("/", "text/html; charset=utf-8", b"<!doctype html><title>page</title>")
SCRIPT = Asset("/assets/1f/page.js", "text/javascript; charset=utf-8", b"export {};", lasting=True)


async def test_a_page_needs_no_key_and_the_rest_does(serve: Any) -> None:
    async with serve(tcp=True, files=[PAGE, SCRIPT]) as served:
        for asset in (PAGE, SCRIPT):
            for client in (served.tcp, served.unix):
                reply = await client.get(asset.path)
                assert (reply.status_code, reply.content) == (200, asset.content)
                assert reply.headers["Content-Type"] == asset.media_type
                bare = await client.head(asset.path)
                assert (bare.status_code, bare.content) == (200, b"")
        for path in ("/assets/1f/", "/assets", "/index.html", "/api/v1/views", "/docs"):
            assert (await served.tcp.get(path)).status_code == 401


async def test_what_never_changes_is_kept_and_the_page_is_asked_for_again(serve: Any) -> None:
    async with serve(tcp=True, files=[PAGE, SCRIPT]) as served:
        page, script = await served.tcp.get("/"), await served.tcp.get(SCRIPT.path)
    assert page.headers["Cache-Control"] == "no-cache"
    assert "immutable" in script.headers["Cache-Control"]


async def test_the_policy_lets_nothing_in_from_elsewhere_or_from_markup(serve: Any) -> None:
    async with serve(tcp=True, files=[PAGE]) as served:
        headers = (await served.tcp.get("/")).headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "require-trusted-types-for 'script'" in policy
    assert "frame-ancestors 'none'" in policy
    assert not any(word in policy for word in ("unsafe", "*", "http:", "https:", "blob:"))
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_files_are_only_read(serve: Any, method: str) -> None:
    async with serve(tcp=True, files=[PAGE]) as served:
        reply = await served.tcp.request(method, "/")
    assert (reply.status_code, reply.headers["Allow"]) == (405, "GET, HEAD")


async def test_a_foreign_host_gets_no_page(serve: Any) -> None:
    async with serve(tcp=True, files=[PAGE]) as served:
        reply = await served.tcp.get("/", headers={"Host": "evil.example"})
    assert reply.status_code == 421
