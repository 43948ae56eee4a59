"""Durations and sizes as people write them (interfaces.md §1), to seconds and bytes and back."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator

_DURATION = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = {
    "": 1, "B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
    "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40,
}  # fmt: skip


def parse_duration(text: str | int | float) -> float:
    """Seconds in a number or in ``250ms 30s 10m 2h 7d``.

    Raises:
        ValueError: it is no duration.
    """
    if isinstance(text, int | float) and not isinstance(text, bool):
        return float(text)
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h|d)?\s*", str(text))
    if found is None:
        raise ValueError(f"{text!r} is no duration: use seconds, or 250ms 30s 10m 2h 7d")
    return float(found[1]) * _DURATION[found[2] or "s"]


def parse_size(text: str | int) -> int:
    """Bytes in a number or in ``64KiB 1MiB 1GB``.

    Raises:
        ValueError: it is no size.
    """
    if isinstance(text, int) and not isinstance(text, bool):
        return text
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*", str(text))
    if found is None or found[2] not in _SIZE:
        raise ValueError(f"{text!r} is no size: use bytes, or 64KiB 1MiB 1GB")
    return int(float(found[1]) * _SIZE[found[2]])


def _seconds(value: Any) -> Any:
    return parse_duration(value) if isinstance(value, str) else value


def _bytes(value: Any) -> Any:
    return parse_size(value) if isinstance(value, str) else value


Seconds = Annotated[float, BeforeValidator(_seconds)]
"""A duration in a configuration: a number of seconds, or text with a unit."""

Size = Annotated[int, BeforeValidator(_bytes)]
"""A size in a configuration: a number of bytes, or text with a unit."""
