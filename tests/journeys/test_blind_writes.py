"""A tree that nobody watches: what others write there, times restored, is found by audits."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from fustor_core.bootstrap import House
from fustor_core.config import load_config
from fustor_core.contracts import Query
from fustor_core.pipeline import AgentPipeline

pytestmark = pytest.mark.anyio

LIMIT_S = 60.0
DIRECTORIES = 6
AUDITS = {"audit_interval_sec": 0.2, "audit": {"directories": 0, "full": 0, "deep_every": 4}}


@asynccontextmanager
async def running(folder: Path, **pipe: Any) -> AsyncIterator[House]:
    """A house on the tree, which it does not watch."""
    source = {"driver": "fs", "root": str(folder / "tree"), "watch": "off"}
    sink = {"driver": "view", "view": "v"}
    document = {
        "version": 1,
        "pipes": {"p": {"source": source, "sink": sink, "sentinel_interval_sec": 1, **pipe}},
        "views": {"v": {}},
    }
    path = folder / "fustor.yaml"
    path.write_text(json.dumps(document))
    stop = anyio.Event()
    with ExitStack() as held:
        house = House(load_config([path], os.environ), folder / "home", lambda event: None)
        house.open(held)
        async with anyio.create_task_group() as group:
            group.start_soon(house.live, stop)
            with anyio.fail_after(LIMIT_S):
                pipe = house.pipes["p"]
                await pipe._stage.until(lambda: int(pipe.state) == 66)
            yield house
            stop.set()


async def found(house: House) -> dict[str, int]:
    """Size of every file that the view shows."""
    sizes: dict[str, int] = {}
    query = Query("find", pattern=b"*", types=frozenset({"file"}), limit=None)
    async for page in house.fusion.query("v", query):
        sizes |= {item["path"]: item["size"] for item in page.items}
    return sizes


async def until(house: House, wanted: Callable[[dict[str, int]], bool]) -> None:
    """Wait until the view shows it."""
    with anyio.fail_after(LIMIT_S):
        fed = house.views["v"].fed
        while not wanted(await found(house)):
            await fed.wait()
            fed = house.views["v"].fed


async def audits(pipe: AgentPipeline, more: int) -> None:
    """Wait for so many more audits."""
    after = pipe.audits.done + more
    with anyio.fail_after(LIMIT_S):
        await pipe._stage.until(lambda: pipe.audits.done >= after)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    for i in range(DIRECTORIES):
        (root / f"d{i}").mkdir(parents=True)
        (root / f"d{i}" / "file").write_bytes(b"one")
    return root


def rewrite(path: Path, content: bytes) -> None:
    """In place, with the times of before as far as anybody can restore them."""
    before = path.stat()
    with path.open("r+b") as file:
        file.write(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


async def test_writes_in_place_with_restored_times_are_found_in_so_many_audits(
    tmp_path: Path, tree: Path
) -> None:
    async with running(tmp_path, **AUDITS) as house:
        pipe = house.pipes["p"]
        await audits(pipe, 2)  # no directory is racy any more
        for i in range(DIRECTORIES):
            rewrite(tree / f"d{i}" / "file", b"another")
        await audits(pipe, 1 + AUDITS["audit"]["deep_every"])  # type: ignore[index]
        sizes = await found(house)
        assert sizes == {f"/d{i}/file": 7 for i in range(DIRECTORIES)}


async def test_the_cheapest_tier_finds_names_and_no_content(tmp_path: Path, tree: Path) -> None:
    audit = {"directories": 0.2, "full": 0}
    async with running(tmp_path, audit_interval_sec=0, audit=audit) as house:
        await until(house, lambda sizes: len(sizes) == DIRECTORIES)
        (tree / "d0" / "new").write_bytes(b"new")
        (tree / "d1" / "file").unlink()
        (tree / "d2" / "deep").mkdir()
        (tree / "d2" / "deep" / "er").write_bytes(b"deeper")
        (tree / "d3").rename(tree / "d4" / "moved")
        rewrite(tree / "d5" / "file", b"another")
        wanted = {
            "/d0/file": 3,
            "/d0/new": 3,
            "/d2/file": 3,
            "/d2/deep/er": 6,
            "/d4/file": 3,
            "/d4/moved/file": 3,
        }
        await until(house, lambda sizes: sizes.items() >= wanted.items())
        sizes = await found(house)
        assert sizes.keys() == {*wanted, "/d5/file"}
        assert house.pipes["p"].audits.done == 0


async def test_the_full_tier_finds_content(tmp_path: Path, tree: Path) -> None:
    audit = {"directories": 0, "full": 0.3}
    async with running(tmp_path, audit_interval_sec=0, audit=audit) as house:
        rewrite(tree / "d5" / "file", b"another")
        await until(house, lambda sizes: sizes.get("/d5/file") == 7)
