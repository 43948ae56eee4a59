"""Durations and sizes as people write them (interfaces.md §1), to seconds and bytes and back."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

_DURATION = {
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "m": Fraction(60),
    "h": Fraction(3600),
    "d": Fraction(86400),
}
_SIZE = {
    "": 1, "B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
    "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40,
}  # fmt: skip
_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
_DURATION_FORM = re.compile(rf"\s*({_NUMBER})\s*(ms|s|m|h|d)?\s*", re.ASCII)
_SIZE_FORM = re.compile(rf"\s*({_NUMBER})\s*([A-Za-z]*)\s*", re.ASCII)


def parse_duration(text: str | int | float) -> float:
    """Seconds in a number or in ``250ms 30s 10m 2h 7d``.

    Raises:
        ValueError: it is no duration; one is never negative.
    """
    if isinstance(text, int | float) and not isinstance(text, bool):
        if text >= 0 and math.isfinite(text):
            return float(text)
    elif isinstance(text, str) and (found := _DURATION_FORM.fullmatch(text)):
        return float(Fraction(found[1]) * _DURATION[found[2] or "s"])
    raise ValueError(f"{text!r} is no duration: use seconds, or 250ms 30s 10m 2h 7d")


def parse_size(text: str | int) -> int:
    """Bytes in a number or in ``64KiB 1MiB 1GB``; K, M, G, T alone are 1024, as in find(1).

    Raises:
        ValueError: it is no size; one is never negative.
    """
    if isinstance(text, int) and not isinstance(text, bool):
        if text >= 0:
            return text
    elif isinstance(text, str) and (found := _SIZE_FORM.fullmatch(text)) and found[2] in _SIZE:
        return int(Fraction(found[1]) * _SIZE[found[2]])
    raise ValueError(f"{text!r} is no size: use bytes, or 64KiB 1MiB 1GB")


def format_duration(seconds: float) -> str:
    """The shortest text that `parse_duration` reads as `seconds`: ``10m``, ``250ms``, ``1.5s``."""
    for unit in ("d", "h", "m", "s"):
        count = seconds / float(_DURATION[unit])
        if count >= 1 and count == int(count):
            return f"{int(count)}{unit}"
    thousandths = round(seconds * 1000)
    if thousandths < 1000 and thousandths / 1000 == seconds:
        return f"{thousandths}ms" if thousandths else "0s"
    return f"{seconds:f}".rstrip("0").rstrip(".") + "s"


def format_size(size_bytes: int) -> str:
    """The shortest text that `parse_size` reads as `size_bytes`: ``256MiB``, ``1GB``, ``1000``."""
    for unit in ("TiB", "TB", "GiB", "GB", "MiB", "MB", "KiB"):
        count, rest = divmod(size_bytes, _SIZE[unit])
        if count and not rest:
            return f"{count}{unit}"
    return str(size_bytes)


def _seconds(value: Any) -> Any:
    return parse_duration(value) if isinstance(value, str | int | float) else value


def _bytes(value: Any) -> Any:
    return parse_size(value) if isinstance(value, str | int) else value


Seconds = Annotated[
    float,
    BeforeValidator(_seconds),
    WithJsonSchema(
        {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": "^ *[0-9$]"}]}
    ),
]
"""A duration in a configuration: a number of seconds, or text with a unit."""

Size = Annotated[
    int,
    BeforeValidator(_bytes),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^ *[0-9$]"}]}
    ),
]
"""A size in a configuration: a number of bytes, or text with a unit."""
