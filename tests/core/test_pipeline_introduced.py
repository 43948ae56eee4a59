"""A pipe whose sink has no sessions but wants to know whose claims it gets."""

from __future__ import annotations

import pytest

from fustor_core.claims import Root
from fustor_core.contracts import Hello, Introduced, Sessioned
from fustor_core.errors import Unreachable
from fustor_core.testing import ListSink, Rig

pytestmark = pytest.mark.anyio


class Guest(ListSink):
    """Notes who is introduced, and when it ended."""

    def __init__(self, *faults: Exception) -> None:
        super().__init__(self.Config())
        self.said: list[Hello | str] = []
        self.begins = list(faults)

    async def begin(self, hello: Hello) -> None:
        if self.begins:
            raise self.begins.pop(0)
        self.said.append(hello)

    async def end(self) -> None:
        self.said.append("end")


async def test_it_is_told_who_sends_before_the_first_batch_and_the_end_after_the_last() -> None:
    sink = Guest()
    assert isinstance(sink, Introduced)
    assert not isinstance(sink, Sessioned)
    rig = Rig(sink=sink, audit_interval_sec=0)
    async with rig.running():
        await rig.reach(66)
        assert rig.pipe.document()["role"] == "leader", "a sink without sessions leads always"
    hello, end = sink.said
    assert isinstance(hello, Hello)
    assert (hello.agent_id, hello.pipe) == ("agent-1", "p")
    assert end == "end"
    assert isinstance(sink.batches[0].claims[0], Root), "the proof of the root goes first"
    assert rig.states[:6] == [1, 2, 258, 2, 34, 66]


async def test_one_that_cannot_begin_is_tried_again_after_the_back_off() -> None:
    sink = Guest(Unreachable("the folder is not there"))
    rig = Rig(sink=sink, audit_interval_sec=0)
    async with rig.running():
        await rig.settle()
        assert rig.pipe.document()["last_error"] == "the folder is not there"
        assert not sink.batches
        await rig.clock.advance(5)
        await rig.reach(66)
    assert len(sink.said) == 2


async def test_errors_of_sending_do_not_introduce_it_anew() -> None:
    sink = Guest()
    rig = Rig(sink=sink, audit_interval_sec=0)
    async with rig.running():
        await rig.reach(66)
        sink.faults.append(Unreachable("no"))
        rig.source.write("f")
        await rig.settle()
        await rig.clock.advance(5)
        await rig.reach(66)
        claims = [claim for batch in sink.batches for claim in batch.claims]
        assert b"f" in [getattr(claim, "name", b"") for claim in claims]
    assert len(sink.said) == 2
