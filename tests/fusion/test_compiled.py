"""What admits the listings of a view that the program builds is compiled code, where there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from fustor_core import building
from fustor_core.building import Builder
from fustor_core.config import up_config
from fustor_core.files.compiled import Compiled
from fustor_core.registry import Registry
from fustor_core.soundness import stores
from fustor_core.state import StateDirectory

from .party import Party


async def test_the_program_has_it_asked(party: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []

    def asks(names: bytes, rows: bytes) -> bool:
        asked.append(names)
        return stores(names, rows)

    monkeypatch.setattr(building, "compiled", lambda: Compiled(stores=asks))
    state = StateDirectory(party.folder.parent)
    loaded = up_config([Path("/")], name="v")
    more = {"warn": lambda *told, **facts: None, "moved": party._note}
    party.pipeline = Builder(loaded, Registry(), state, "fusion", **more).view("v")
    async with party.running():
        agent = await party.agent()
        await agent.leads()
        claims = agent.tree()
        ack = await agent.send(*claims)
    assert not ack.quarantined
    assert asked == [b"a\0d", b"b"]
