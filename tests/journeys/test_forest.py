"""A forest of real views: the same path in several trees, one of them fed by nobody."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

import anyio
import pytest

from fustor_core.bootstrap import House
from fustor_core.config import load_config
from fustor_core.problems import Problem

pytestmark = pytest.mark.anyio

LIMIT_S = 30.0


@pytest.fixture
def trees(tmp_path: Path) -> Path:
    """Three trees; the second holds most of `runs/7`, the third nothing."""
    for tree, names in (("one", "a"), ("two", "ab"), ("three", "")):
        (tmp_path / tree / "runs").mkdir(parents=True)
        for name in names:
            (tmp_path / tree / "runs" / "7").mkdir(exist_ok=True)
            file = tmp_path / tree / "runs" / "7" / name
            file.write_bytes(name.encode() * 10)
            os.utime(file, (1_700_000_000, 1_700_000_000))
    return tmp_path


async def test_where_is_it_and_which_copy_is_best(trees: Path) -> None:
    names = ("one", "two", "three")
    pipes = "".join(
        f"  {name}: {{source: {{driver: fs, root: {trees / name}}},"
        f" sink: {{driver: view, view: {name}}}}}\n"
        for name in names
    )
    file = trees / "c.yaml"
    file.write_text(
        f"version: 1\npipes:\n{pipes}views: {{one: {{}}, two: {{}}, three: {{}}, dark: {{}}}}\n"
        "forests:\n  all: {views: [one, two, three, dark]}\n  fed: {views: [one, two, three]}\n"
    )
    ready: set[str] = set()
    news = anyio.Event()

    def tell(event: dict[str, object]) -> None:
        if event["event"] == "ready":
            ready.add(str(event["view"]))
        if ready >= set(names):
            news.set()

    stop = anyio.Event()
    with anyio.fail_after(LIMIT_S), ExitStack() as held:
        house = House(load_config([file], os.environ), trees / "h", tell)
        house.open(held)
        async with anyio.create_task_group() as group:
            group.start_soon(house.live, stop)
            await news.wait()
            ask = house.fusion.command

            told = await ask("best", {"forest": "all", "path": b"/runs/7"})
            assert (told["best"]["view"], told["best"]["rollup"]["files"]) == ("two", 2)
            assert [one["existence"] for one in told["all"]] == [
                "present",
                "present",
                "absent",
                "unknown",
            ]
            one_file = await ask("best", {"forest": "all", "path": b"/runs/7/a"})
            assert one_file["best"]["view"] == "one", "of equal ones the first by name"
            assert one_file["best"]["rollup"]["bytes"] == 10

            for forest, slug in (("fed", "absent"), ("all", "unknown-path")):
                with pytest.raises(Problem) as caught:
                    await ask("best", {"forest": forest, "path": b"/runs/8"})
                assert caught.value.slug == slug
            stop.set()
