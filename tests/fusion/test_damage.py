"""What a start cannot read back is owed a look, and not only said."""

from __future__ import annotations

import sqlite3

import anyio
import pytest

from fustor_core.chores import Chores
from fustor_core.contracts import Query
from fustor_core.errors import DiskFull

from .party import Agent, Party

pytestmark = pytest.mark.anyio


def complete(party: Party) -> bool:
    """Whether the view says that it knows all of it."""
    document: dict[str, object] = {}
    for page in party.pipeline.view.read(Query("status"), party.pipeline.moment()):
        document = page.document or document
    quality = document["quality"]
    assert isinstance(quality, dict)
    return bool(quality["complete"])


async def with_a_lost_directory(party: Party) -> Agent:
    """An agent whose tree is known; the record of one of its directories is damaged then."""
    async with party.running():
        one = await party.agent()
        await one.send(*one.tree())
        assert complete(party)
    (store,) = party.folder.rglob("packs.sqlite")
    base = sqlite3.connect(store)
    place, size = base.execute("SELECT max(place), length(record) FROM directory").fetchone()
    base.execute("UPDATE directory SET record=? WHERE place=?", (bytes(size), place))
    base.commit()
    base.close()
    party.made()
    return one


async def test_a_lost_directory_is_owed_until_all_was_looked_at(party: Party) -> None:
    one = await with_a_lost_directory(party)
    async with party.running():
        assert any("damaged" in text for text in party.alarms)
        assert not complete(party), "nobody knows what was in it"
        party.clock.tick(1000)
        await one.open()
        await one.leads()
        await one.send(*one.tree(), epoch=one.grant.epoch)
        assert complete(party)
        assert party.paths() == {"/a", "/d", "/d/b"}


async def test_a_full_disk_puts_it_off(party: Party) -> None:
    """The view serves meanwhile."""
    tries: list[int] = []
    over = anyio.Event()

    async def owe() -> None:
        tries.append(1)
        if len(tries) < 3:
            raise DiskFull("planted")
        over.set()

    chores = Chores(lambda event: None, party.alarms.append, party.clock.sleep)
    async with anyio.create_task_group() as tasks:
        await tasks.start(chores.mend, owe)
        assert len(tries) == 1, "it has begun to serve"
        await party.clock.advance(3)
        with anyio.fail_after(10):
            await over.wait()
    assert len(tries) == 3
