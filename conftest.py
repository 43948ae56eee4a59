"""What every test of the house shares: the async backend and the search settings."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

# Shared machines are noisy: a slow example is no finding, a wrong one is.
settings.register_profile(
    "house", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("house")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Name of the event loop library that async tests run on."""
    return "asyncio"
