"""Five hundred sessions beside a snapshot at full rate: heartbeats do not wait behind the fold."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest

from fustor_core.claims import Claim, Key, Origin, Row

from .party import FOLLOWING, Party

pytestmark = pytest.mark.anyio

SESSIONS, BATCHES, DIRECTORIES, ROWS = 500, 10, 100, 100


async def test_heartbeats_go_on_beside_a_snapshot(party: Party) -> None:
    party.options = party.options.__class__("v", 30.0, 600.0, 120.0, 1000)
    party.made()
    over, beats = False, 0

    async with party.running() as pipeline:
        leader = await party.agent()
        others = [await party.agent(f"n{number}") for number in range(SESSIONS - 1)]
        await leader.send(leader.root(origin=Origin.SNAPSHOT))

        async def beating() -> None:
            nonlocal beats
            while not over:
                for agent in others:
                    await agent.beat(FOLLOWING)
                    beats += 1
                    await anyio.lowlevel.checkpoint()

        async with anyio.create_task_group() as group:
            group.start_soon(beating)
            for batch in range(BATCHES):
                claims: list[Claim] = []
                for place in range(DIRECTORIES):
                    key = Key(0, 10 + batch * DIRECTORIES + place, 1)
                    rows: dict[bytes, Row | bytes] = {
                        b"f%03d" % i: Row(size=i, ino=1000 + i) for i in range(ROWS)
                    }
                    claims.append(leader.listing(key, rows))
                    await anyio.lowlevel.checkpoint()
                before = beats
                await leader.send(*claims)
                assert beats > before + DIRECTORIES * ROWS // 1000, "none waits for a whole batch"
            over = True
        assert len(pipeline.session_list()) == SESSIONS
