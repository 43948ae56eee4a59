"""The sink keeps its promises against a real receiver, whatever happens in between."""

from __future__ import annotations

from typing import Any

import pytest
from fustor_sink_fusion import FusionSink

from fustor_core.contracts import Attached, Sessioned
from fustor_core.testing import sink_kit


@pytest.mark.parametrize("compress", ["never", "always"])
@pytest.mark.parametrize("way", ["unix", "tcp"])
def test_it_keeps_every_promise_of_a_sink(beside: Any, way: str, compress: str) -> None:
    sink_kit(FusionSink, beside.sink(getattr(beside, way), compress=compress).config)


def test_its_powers_are_found(beside: Any) -> None:
    sink = beside.sink()
    assert isinstance(sink, Sessioned)
    assert not isinstance(sink, Attached)
