"""How much is tried, and what happens to faults that this machine cannot make."""

from __future__ import annotations

from pathlib import Path

import pytest

from fustor_core.testing.sim.runs import commit_of

from .ledger import Ledger
from .machine import Machine


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, default=1000, help="kill -9 of the fusion server")
    parser.addoption("--cuts", type=int, default=300, help="power cuts of the fusion server")
    parser.addoption("--agent-kills", type=int, default=60, help="kill -9 of an agent")
    parser.addoption("--trials", type=int, default=100, help="vanished mounts and wrong disks")
    parser.addoption("--crowd", type=int, default=10_000, help="sessions at the same time")
    parser.addoption("--flips", type=int, default=40, help="bits flipped in each state file")
    parser.addoption("--worlds", type=int, default=20, help="seeds of faulty network mounts")
    parser.addoption("--world", type=int, default=1, help="the first of those seeds")
    parser.addoption("--minutes", type=int, default=20, help="how long the soak test lasts")
    parser.addoption("--ledger", type=Path, help="a file to which campaigns add what they made")
    parser.addoption(
        "--nightly", action="store_true", help="a fault that the machine cannot make is a failure"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for a seed runs once for each."""
    if "seed" in metafunc.fixturenames:
        first, count = (metafunc.config.getoption(name) for name in ("--world", "--worlds"))
        metafunc.parametrize("seed", range(first, first + count))


@pytest.fixture
def machine(request: pytest.FixtureRequest) -> Machine:
    """What this machine can do."""
    return Machine(nightly=bool(request.config.getoption("--nightly")))


@pytest.fixture(scope="session")
def commit() -> str:
    """What is run, as it was when the run began."""
    return commit_of(Path(__file__).parent)


@pytest.fixture
def ledger(request: pytest.FixtureRequest, commit: str) -> Ledger:
    """Where campaigns tell what they made."""
    return Ledger(request.config.getoption("--ledger"), commit)


@pytest.fixture
def amount(request: pytest.FixtureRequest) -> int:
    """How often: of the option that the test's marker `amount` names."""
    named = request.node.get_closest_marker("amount")
    assert named is not None, "a test that asks for an amount names its option"
    return int(request.config.getoption(named.args[0]))
