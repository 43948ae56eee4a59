"""A site of its own for each journey."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fustor_core.testing.nfs_pair import NfsClient, NoPair

from .nfs import CACHE_S
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


@pytest.fixture
def mounts(place: Site, tmp_path: Path) -> Iterator[tuple[NfsClient, NfsClient]]:
    """The site's tree as two clients of a network storage have it."""
    made: list[NfsClient] = []
    try:
        for name in ("one", "two"):
            made.append(NfsClient(place.tree, tmp_path / name, CACHE_S))
        yield made[0], made[1]
    except NoPair as why:
        pytest.skip(f"no FUSE mounts here: {why}")
    finally:
        for client in made:
            client.close()
