"""Who searches all names takes turns with who tells of changes, and with who asks for little."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest

from fustor_core.claims import Key, Origin, Row, edge_row
from fustor_core.contracts import Query
from fustor_core.fusion import Fusion

from .party import ROOT, Party, file

pytestmark = pytest.mark.anyio

ROWS = 100
SEARCHERS, BATCHES, SEARCHES = 3, 20, 3
NAMES_A_STEP = 5000
LIMIT_S = 120.0


@pytest.mark.parametrize(
    "directories",
    [pytest.param(200, id="20,000"), pytest.param(10_000, marks=pytest.mark.long, id="1,000,000")],
)
async def test_a_regex_over_all_names_keeps_nobody_waiting(party: Party, directories: int) -> None:
    searched = told = answered = 0
    steps: list[int] = []

    async with party.running() as pipeline, anyio.create_task_group() as group:
        fusion = Fusion({"v": pipeline})
        agent = await party.agent()
        keys = {b"d%05d" % n: Key(0, 100 + n, 1) for n in range(directories)}
        await agent.send(
            agent.root(origin=Origin.SNAPSHOT),
            agent.listing(ROOT, {name: edge_row(key) for name, key in keys.items()}),
        )
        for first in range(0, directories, 100):
            some = list(keys.values())[first : first + 100]
            rows = {b"m%04d.txt" % i: Row(size=i, ino=7 + i) for i in range(ROWS)}
            await agent.send(*(agent.listing(key, dict(rows)) for key in some))

        async def search() -> None:
            nonlocal searched
            while True:
                pages = matches = 0
                query = Query("find", pattern=rb"m.*9[0-4]\.txt$", regex=True, limit=None)
                async for page in fusion.query("v", query):
                    pages += 1
                    matches += len(page.items)
                assert matches >= directories * 5
                steps.append(pages)
                searched += 1

        async def ask() -> None:
            nonlocal answered
            while True:
                async for page in fusion.query("v", Query("stat", b"/d00001")):
                    assert page.document is not None
                answered += 1
                await anyio.lowlevel.checkpoint()

        for act in (*[search] * SEARCHERS, ask):
            group.start_soon(act)
        with anyio.fail_after(LIMIT_S):
            while told < BATCHES or searched < SEARCHES or answered < BATCHES:
                await agent.send(agent.event(b"new%04d" % told, file(1 + told)))
                told += 1
        group.cancel_scope.cancel()
    assert min(steps) >= directories * ROWS // NAMES_A_STEP, "a step looks at so many at most"
