"""Vouchers: secrets that open one thing once, within a short time. In memory alone.

A browser cannot send a key along when it opens a WebSocket, and a link must hold none: what stands
in an address is written into histories and logs. A voucher may stand there: it is worthless when it
was used, and soon anyway.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
SECRET_BYTES = 32
TEXT_MAX = 256  # characters of what somebody shows that are looked at at all
MOST = 10_000


class Vouchers(Generic[T]):
    """Those of one kind that are open.

    Args:
        lives_s: how long each is good.
        most: open ones that are kept; the oldest is forgotten.
        now_s: a monotonic clock.
    """

    def __init__(
        self, lives_s: float, *, most: int = MOST, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self.lives_s = lives_s
        self._most, self._now_s = most, now_s
        self._open: dict[bytes, tuple[float, T]] = {}  # oldest first

    def __repr__(self) -> str:
        return f"<Vouchers {len(self._open)} open, each for {self.lives_s} s>"

    def __len__(self) -> int:
        return len(self._open)

    def make(self, what: T) -> str:
        """A new voucher, as the text that its holder shows."""
        self._forget()
        text = secrets.token_urlsafe(SECRET_BYTES)
        while len(self._open) >= self._most:
            del self._open[next(iter(self._open))]
        self._open[_digest(text)] = self._now_s() + self.lives_s, what
        return text

    def take(self, text: str) -> T | None:
        """What a voucher opens; None when it was used, is too old or never was."""
        self._forget()
        if len(text) > TEXT_MAX:
            return None
        found = self._open.pop(_digest(text), None)
        return None if found is None else found[1]

    def _forget(self) -> None:
        now = self._now_s()
        while self._open:
            text = next(iter(self._open))
            if self._open[text][0] > now:
                return
            del self._open[text]


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
