"""A site of its own for each journey."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .world import Site, Times, site


@pytest.fixture
def times() -> Times:
    """What the site is configured with; a module may have its own."""
    return Times()


@pytest.fixture
def place(tmp_path: Path, times: Times) -> Iterator[Site]:
    """A site, nothing started yet."""
    with site(tmp_path, times) as made:
        yield made
        made.sound()
