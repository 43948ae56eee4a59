"""What replies that are no success mean to a pipe."""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from fustor_core.errors import PipeError, Refused, SlowDown, TooLarge, Unreachable

SLOW_S = 1.0
SLOWEST_S = 300.0  # nobody makes a pipe wait for longer
LATER = (408, 409, 421, 425)  # not for what was sent: a repeat may be taken
TEXT_MAX = 200


def error_for(server: str, status: int, headers: Mapping[str, str], body: bytes) -> PipeError:
    """The error that a reply stands for.

    Args:
        server: for the text. headers: of the reply; names in lower case.
    """
    said = _said(body)
    text = f"{server} answers with status {status}{said}"
    if 300 <= status < 400:
        return Refused(f"{text}: a redirect is not followed; set `url` to the final address")
    if status == 413:
        return TooLarge(f"{text}: it takes no request of this size; lower `max_body`")
    wait_s = _wait_s(headers.get("retry-after", ""))
    if status == 429 or (status == 503 and wait_s is not None):
        return SlowDown(text, retry_after_s=SLOW_S if wait_s is None else wait_s)
    if status >= 500 or status in LATER:
        return Unreachable(f"{text}; it is tried again")
    if status in (401, 403):
        return Refused(f"{text}; do both ends have the same `secret`, and the right time?")
    return Refused(f"{text}; is `url` right, and does it take what is sent?")


def _wait_s(text: str) -> float | None:
    """Seconds of a Retry-After, bounded; None when there is none that can be read."""
    text = text.strip()
    if text.isascii() and text.isdecimal():
        return min(max(float(text[:9]), SLOW_S), SLOWEST_S)
    try:
        until = parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None
    return min(max(until - time.time(), SLOW_S), SLOWEST_S)


def _said(body: bytes) -> str:
    """The beginning of a reply, as far as it can be read."""
    text = " ".join(body[: 4 * TEXT_MAX].decode("utf-8", "replace").split())[:TEXT_MAX]
    return f" ({text})" if text and text.isprintable() and not text.startswith("<") else ""
