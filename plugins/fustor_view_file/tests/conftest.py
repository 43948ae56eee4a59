"""The world that most tests begin with."""

from __future__ import annotations

import pytest

from .world import World, small_world


@pytest.fixture
def world() -> World:
    """``/a`` 10 B, ``/d/b`` 20 B, ``/d/e/c`` 30 B; all listed."""
    return small_world()
