"""Durations and sizes: read as written, written as read."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, ValidationError

from fustor_core.units import (
    Seconds,
    Size,
    format_duration,
    format_size,
    parse_duration,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25), ("30s", 30), ("10m", 600), ("2h", 7200), ("7d", 604800), ("1.5h", 5400),
        ("0", 0), ("3ms", 0.003), (" 5 s ", 5), (12, 12), (0.5, 0.5), ("42", 42), (0, 0),
    ],
)  # fmt: skip
def test_durations(text: str | float, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "s", "-1s", "1x", "1 w", "1h30", "ten", "1e3", True, -1, math.inf, math.nan, "٣s"]
)
def test_no_durations(text: Any) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("64KiB", 65536), ("1MiB", 1 << 20), ("1GB", 10**9), ("1.5k" + "B", 1500), ("2G", 2 << 30),
        ("10", 10), (7, 7), ("0B", 0), (" 3 TiB", 3 << 40), ("9007199254740993", 2**53 + 1),
        ("9007199254740993B", 2**53 + 1), ("0.1MB", 100_000),
    ],
)  # fmt: skip
def test_sizes(text: str | int, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize("text", ["", "B", "-1", "1kib", "1 Gb", "1.2.3", "lots", True, -5, 1.5])
def test_no_sizes(text: Any) -> None:
    with pytest.raises(ValueError, match="is no size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.25, "250ms"), (30, "30s"), (90, "90s"), (600, "10m"), (5400, "90m"),
     (7200, "2h"), (604800, "7d"), (1.5, "1.5s")],
)  # fmt: skip
def test_durations_are_written_short(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0"), (1000, "1000"), (1024, "1KiB"), (10**9, "1GB"), (256 << 20, "256MiB"), (1, "1")],
)
def test_sizes_are_written_short(size_bytes: int, text: str) -> None:
    assert format_size(size_bytes) == text


@given(st.integers(0, 10**13))
def test_whole_milliseconds_come_back(thousandths: int) -> None:
    seconds = thousandths / 1000
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, rel=1e-12)


@given(st.integers(0, 1 << 60))
def test_sizes_come_back(size_bytes: int) -> None:
    assert parse_size(format_size(size_bytes)) == size_bytes


class Limits(BaseModel):
    wait: Seconds = Field(default=1.0, gt=0)
    room: Size | None = None


def test_in_a_model() -> None:
    limits = Limits.model_validate({"wait": "10m", "room": "64KiB"})
    assert (limits.wait, limits.room) == (600.0, 65536)
    for wrong in ({"wait": True}, {"wait": "soon"}, {"wait": 0}, {"room": "x"}, {"wait": -1}):
        with pytest.raises(ValidationError):
            Limits.model_validate(wrong)
    properties = Limits.model_json_schema()["properties"]
    assert {kind["type"] for kind in properties["wait"]["anyOf"]} == {"number", "string"}
