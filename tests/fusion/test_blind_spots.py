"""Blind spots say which scan saw them first, which agents watch there, and survive a restart."""

from __future__ import annotations

from typing import Any

import pytest

from fustor_core.claims import BEGINS, WHOLE, Key, Origin, edge_row
from fustor_core.contracts import Query
from fustor_core.fusion import Fusion

from .party import FOLLOWING, LEADING, ROOT, TOP, Agent, Party, file

pytestmark = pytest.mark.anyio

NEW = Key(0, 50, 0)


async def ask(party: Party, path: bytes = b"/", **more: Any) -> dict[str, Any]:
    """The document, whole."""
    verb = more.pop("verb", "blind-spots")
    found: list[dict[str, Any]] = []
    document: dict[str, Any] = {}
    name = ""
    async for page in Fusion({"v": party.pipeline}).query("v", Query(verb, path, **more)):
        found += page.items
        document, name = page.document or document, page.list_name or name
    return {**document, name: found}


async def audit(one: Agent, *claims: Any) -> None:
    """An audit, from one proof of root to the other."""
    await one.send(one.root(origin=Origin.AUDIT, course=BEGINS))
    await one.send(*claims)
    await one.send(one.root(origin=Origin.AUDIT, course=WHOLE))


async def audited(party: Party) -> tuple[Agent, Agent]:
    """Two agents; the second audit of the first has found ``/d/x``, its fourth ``/d/new/y``."""
    one, two = await party.agent("alpha"), await party.agent("beta")
    await one.send(*one.tree())
    await two.send(two.root())
    await audit(one)
    await audit(one, one.listing(TOP, {b"b": file(2), b"x": file()}, Origin.AUDIT))
    await audit(one, one.listing(TOP, {b"b": file(2), b"x": file()}, Origin.AUDIT))
    rows = {b"b": file(2), b"x": file(), b"new": edge_row(NEW)}
    await audit(
        one,
        one.listing(TOP, rows, Origin.AUDIT),
        one.listing(NEW, {b"y": file()}, Origin.AUDIT),
    )
    return one, two


def scans(document: dict[str, Any]) -> dict[str, tuple[str, int | None, str]]:
    return {
        item["path"]: (seen["origin"], seen["audit"], seen["agent"])
        for item in document["entries"]
        for seen in [item["first_seen"]]
    }


FOUND = {
    "/d/b": ("audit", 2, "alpha"),
    "/d/x": ("audit", 2, "alpha"),
    "/d/new": ("audit", 4, "alpha"),
    "/d/new/y": ("audit", 4, "alpha"),
}


@pytest.mark.parametrize("clean", [True, False], ids=["stopped", "killed"])
async def test_which_scan_saw_it_first(party: Party, *, clean: bool) -> None:
    async with party.running():
        await audited(party)
        document = await ask(party)
        assert scans(document) == FOUND
        first = {item["path"]: item["first_seen"] for item in document["entries"]}
        assert first["/d/x"]["at_us"] < first["/d/new"]["at_us"]
        assert first["/d/x"]["at"].endswith("Z")
        if not clean:
            party.kill()
    if clean:
        party.made()
    async with party.running() as again:
        document = await ask(party)
        assert {item["path"]: item["first_seen"] for item in document["entries"]} == first
        assert {tuple(item["known_by"]) for item in document["entries"]} == {()}, "nobody is heard"
        assert again.status()["audits"] == 4
        one = await party.agent("alpha")
        await audit(one, one.listing(ROOT, {b"d": edge_row(TOP), b"z": file()}, Origin.AUDIT))
        assert scans(await ask(party))["/z"] == ("audit", 5, "alpha"), "the count goes on"


async def test_an_agent_that_sees_it_clears_it(party: Party) -> None:
    async with party.running():
        _, two = await audited(party)
        await two.send(two.event(b"x", file(), TOP))
        assert "/d/x" not in scans(await ask(party))


async def test_scans_that_are_no_audit_have_no_number(party: Party) -> None:
    async with party.running():
        one, _ = await audited(party)
        rows = {b"a": file(), b"d": edge_row(TOP), b"q": file()}
        await one.send(one.listing(ROOT, rows, Origin.ON_DEMAND))
        assert scans(await ask(party))["/q"] == ("on_demand", None, "alpha")


async def test_which_agents_watch_there(party: Party) -> None:
    async with party.running():
        one, two = await audited(party)
        three = await party.agent("gamma", realtime=False)
        await three.send(three.root())
        await one.beat(LEADING)
        await two.beat(FOLLOWING, uncovered=(b"/d/new",))
        known = {item["path"]: item["known_by"] for item in (await ask(party))["entries"]}
        assert known["/d/x"] == ["alpha", "beta"], "who does not watch sees nothing happen"
        assert known["/d/new"] == ["alpha", "beta"], "its name lies in /d"
        assert known["/d/new/y"] == ["alpha"]
        await one.close()
        known = {item["path"]: item["known_by"] for item in (await ask(party))["entries"]}
        assert known["/d/new/y"] == []


async def test_by_directory(party: Party) -> None:
    async with party.running():
        _, two = await audited(party)
        await two.beat(FOLLOWING, uncovered=(b"/d/new",))
        document = await ask(party, verb="blind-directories")
        told = [
            (item["path"], item["blind"], item["below"], item["known_by"])
            for item in document["directories"]
        ]
        assert told == [("/d", 3, 4, ["alpha", "beta"]), ("/d/new", 1, 1, ["alpha"])]
        top = document["directories"][0]
        assert (top["first_seen"]["audit"], top["last_seen"]["audit"]) == (2, 4)
        assert document["quality"]["blind"] == 4
        pages, cursor = [], None
        for _ in range(2):
            page = await ask(party, verb="blind-directories", limit=1, cursor=cursor)
            pages += page["directories"]
            cursor = page["next_cursor"]
        assert pages == document["directories"]
        assert cursor is None
        below = await ask(party, b"/d/new", verb="blind-directories")
        assert [item["path"] for item in below["directories"]] == ["/d/new"]
        assert not (await ask(party, b"/nowhere", verb="blind-directories")).get("directories")
