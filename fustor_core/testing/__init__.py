"""For authors of drivers and for tests: conformance kits, drivers in memory, a clock in the hand.

A kit is a plain function, called from a plain test:

    from fustor_core.testing import source_kit

    def test_rooms():
        source_kit(Rooms, Rooms.Config(rooms={"a": 1}))
"""

from __future__ import annotations

from fustor_core.testing.arbitrator_kit import arbitrator_kit
from fustor_core.testing.clock import ManualClock
from fustor_core.testing.door import ListSink, MemoryDoor, MemoryReceiver, MemorySink
from fustor_core.testing.promises import BrokenPromise
from fustor_core.testing.receiver_kit import receiver_kit
from fustor_core.testing.rig import Rig
from fustor_core.testing.sink_kit import sink_kit
from fustor_core.testing.source_kit import source_kit
from fustor_core.testing.store import MemoryArbitrator, MemoryView
from fustor_core.testing.tree import MemorySource, WideSource
from fustor_core.testing.view_kit import view_kit

__all__ = [
    "BrokenPromise",
    "ListSink",
    "ManualClock",
    "MemoryArbitrator",
    "MemoryDoor",
    "MemoryReceiver",
    "MemorySink",
    "MemorySource",
    "MemoryView",
    "Rig",
    "WideSource",
    "arbitrator_kit",
    "receiver_kit",
    "sink_kit",
    "source_kit",
    "view_kit",
]
