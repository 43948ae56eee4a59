"""The table of the README has every row once, and names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROWS = 36


def rows() -> list[tuple[int, str]]:
    text = Path(__file__).with_name("README.md").read_text("utf-8")
    return [(int(n), line) for n, line in re.findall(r"^\| (\d+) \|(.*)$", text, re.MULTILINE)]


def test_every_row_has_a_test_that_exists_or_says_why_not() -> None:
    assert [number for number, _ in rows()] == list(range(1, ROWS + 1))
    for number, line in rows():
        named = re.findall(r"`((?:tests|plugins)/[^`:]+\.py)(?:::(\w+))?`", line)
        assert named or "not" in line, f"row {number} names no test and no reason"
        for file, test in named:
            assert (ROOT / file).is_file(), f"row {number}: there is no {file}"
            there = f"def {test}(" in (ROOT / file).read_text("utf-8")
            assert there or not test, f"row {number}: {file} has no {test}"
