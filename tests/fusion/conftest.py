"""A view to stand before."""

from __future__ import annotations

from pathlib import Path

import pytest

from .party import Party


@pytest.fixture
def party(tmp_path: Path) -> Party:
    return Party(tmp_path / "v")
