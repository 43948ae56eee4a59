from __future__ import annotations

from fustor_source_rooms import Rooms

from fustor_core.testing import source_kit


def test_rooms() -> None:
    source_kit(Rooms, Rooms.Config(rooms={"kitchen": 12, "hall": 30}))
