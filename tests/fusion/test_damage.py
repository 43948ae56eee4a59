"""What a start cannot read back is owed a look, and not only said."""

from __future__ import annotations

import sqlite3

import anyio
import pytest
from fustor_view_file import FileView

from fustor_core.chores import Chores
from fustor_core.contracts import Query
from fustor_core.errors import DiskFull

from .party import Agent, Party, file

pytestmark = pytest.mark.anyio


def complete(party: Party) -> bool:
    """Whether the view says that it knows all of it."""
    document: dict[str, object] = {}
    for page in party.pipeline.view.read(Query("status"), party.pipeline.moment()):
        document = page.document or document
    quality = document["quality"]
    assert isinstance(quality, dict)
    return bool(quality["complete"])


def all_is_owed(party: Party) -> bool:
    """Whether everything has to be listed anew."""
    view = party.pipeline.view
    assert isinstance(view, FileView)
    root = view.registers.tree.root
    return root is not None and root.owed is not None and root.deep


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
        assert all_is_owed(party)
        party.clock.tick(1000)
        await one.open()
        await one.leads()
        await one.send(*one.tree(), epoch=one.grant.epoch)
        assert complete(party)
        assert party.paths() == {"/a", "/d", "/d/b"}


async def test_all_is_owed_when_the_journal_has_lost_what_was_acknowledged(party: Party) -> None:
    async with party.running():
        one = await party.agent()
        await one.send(*one.tree())
        (journal,) = party.folder.rglob("*.journal")
        begin = journal.stat().st_size
        await one.send(one.event(b"lost", file()))
        await one.send(one.event(b"kept", file()))
        party.kill()
    (journal,) = party.folder.rglob("*.journal")
    content = bytearray(journal.read_bytes())
    content[begin + 40] ^= 1
    journal.write_bytes(content)
    async with party.running():
        assert any("the journal was damaged" in text for text in party.alarms)
        assert party.paths() >= {"/a", "/d", "/d/b"}
        assert not complete(party), "something was acknowledged, and nobody knows what"
        assert all_is_owed(party)


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
