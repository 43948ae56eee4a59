"""What every test of the house shares: the async backend and the search settings."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# Shared machines are noisy: a slow example is no finding, a wrong one is. Who installs it sees the
# same examples each time; those who work on it look for new ones, with one of the other profiles.
settings.register_profile(
    "house",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
    derandomize=True,
)
settings.load_profile("house")
# `--hypothesis-profile search`: others each time, as `nox` does it.
settings.register_profile("search", settings.get_profile("house"), derandomize=False)
# `--hypothesis-profile long`: as many examples as a night has room for.
settings.register_profile("long", settings.get_profile("search"), max_examples=20_000)

# A shell starts what runs behind it with SIGINT ignored, and so would every program of a test be.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Name of the event loop library that async tests run on."""
    return "asyncio"


@pytest.fixture(autouse=True)
def stack_limit() -> Iterator[None]:
    """Commands run inside the tests' process, and one of them raises the limit for itself."""
    limit = sys.getrecursionlimit()
    yield
    sys.setrecursionlimit(limit)
