"""`--seeds N`: how many storms of each kind; `--way WAY`: how the tree is watched."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fustor_core.files.fanotify import refused

WAYS = ("inotify", "fanotify")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seeds", type=int, default=20, help="storms of each kind")
    parser.addoption("--way", choices=WAYS, help="how the tree is watched; else in turn by seed")
    parser.addoption("--operations", type=int, default=20_000, help="operations of each storm")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", range(metafunc.config.getoption("--seeds")))


@pytest.fixture
def way(request: pytest.FixtureRequest, seed: int, tmp_path: Path) -> str:
    """How the tree is watched."""
    way = str(request.config.getoption("--way") or WAYS[seed % len(WAYS)])
    if way == "fanotify":
        fd = os.open(tmp_path, os.O_PATH)
        why, _ = refused(fd)
        os.close(fd)
        if why:
            pytest.skip(f"no fanotify here: {why}")
    return way


@pytest.fixture
def operations(request: pytest.FixtureRequest) -> int:
    """How many operations a storm has."""
    return int(request.config.getoption("--operations"))
