"""Times as text: RFC 3339, UTC, microseconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NS_MIN, _NS_MAX = -(1 << 63), (1 << 63) - 1


@lru_cache(maxsize=256)  # all changes of a batch have the same
def rfc3339(at_ns: int) -> str:
    """An instant in ns since 1970 as text; clamped to the years that 64 bits can say."""
    at = _EPOCH + timedelta(microseconds=min(max(at_ns, _NS_MIN), _NS_MAX) // 1000)
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")
