"""Which files of plugins are served to browsers."""

from __future__ import annotations

import pytest

from fustor_core.contracts import Asset
from fustor_core.shelf import shelved


def file(path: str, content: bytes = b"x") -> Asset:
    return Asset(path, "text/plain", content)


@pytest.mark.parametrize("path", ["/", "/assets/a.js", "/assets/1f/deep/a.css"])
def test_what_lies_where_it_may_is_served(path: str) -> None:
    assert shelved([[file(path)]]) == ([file(path)], [])


@pytest.mark.parametrize(
    "path",
    ["", "a.js", "/a.js", "/assets", "/assets/", "/assets//a", "/assets/../api/v1/views", "/livez",
     "/assets/./a", "/assets/a?b", "/assets/a b", "/assets/%2e", "/assets/é", "/assets/a\\b"],
)  # fmt: skip
def test_what_lies_elsewhere_is_told_and_left_out(path: str) -> None:
    served, faults = shelved([[file(path), file("/")]])
    assert served == [file("/")]
    assert len(faults) == 1
    assert repr(path) in faults[0]


def test_a_path_has_one_owner() -> None:
    served, faults = shelved([[file("/", b"mine")], [file("/", b"yours"), file("/assets/b")]])
    assert [asset.content for asset in served] == [b"mine", b"x"]
    assert faults == ["'/' is served already: two plugins bring it"]
