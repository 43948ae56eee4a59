"""`--seeds N`: how many storms of each kind."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seeds", type=int, default=20, help="storms of each kind")
    parser.addoption("--operations", type=int, default=20_000, help="operations of each storm")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", range(metafunc.config.getoption("--seeds")))


@pytest.fixture
def operations(request: pytest.FixtureRequest) -> int:
    """How many operations a storm has."""
    return int(request.config.getoption("--operations"))
