"""`--examples N`: how many requests of each kind each route gets; `--same`: the same ones again.

Without schemathesis, which is heavy and comes with `nox -s fuzz`, nothing here is collected.
"""

from __future__ import annotations

from importlib.util import find_spec

import pytest

collect_ignore_glob = [] if find_spec("schemathesis") else ["test_*.py"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--examples", type=int, default=50, help="requests for each route")
    parser.addoption("--same", type=int, help="a number from which the requests follow")
