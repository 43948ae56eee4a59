"""A tree, an agent of Fustor 0.8.17 that watches it, and a fusion server of ours."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from .old_agent import COMMAND, Site


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Site]:
    if not os.environ.get(COMMAND):
        pytest.skip(f"{COMMAND} names no fustor-agent of 0.8.17; `nox -s compat` installs it")
    site = Site(tmp_path)
    try:
        yield site
    finally:
        site.close()
