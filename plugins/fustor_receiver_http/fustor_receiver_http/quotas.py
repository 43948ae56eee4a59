"""How much one key and one address may ask for: more is answered with 429 and when to come again.

What agents tell has its own bounds (bodies, back-pressure) and is not counted: no load of questions
may end a session. The Unix socket is for its owner, who has no limits.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from starlette.types import Scope

from fustor_core.client import BASE
from fustor_receiver_http.limits import Limits
from fustor_receiver_http.throttle import neighbourhood

BURST_S = 10.0  # what was not asked for may be asked for later, up to so much
MINUTE_S = 60.0
MOST = 10_000  # keys and addresses that are remembered
STREAM_RETRY_S = 5.0
TOLD = f"{BASE}/pipe/sessions/"


class Exceeded(Exception):
    """Too much was asked for.

    Attributes:
        wait_s: when to come again. told: what there is too much of.
    """

    def __init__(self, told: str, wait_s: float) -> None:
        super().__init__(told)
        self.told, self.wait_s = told, wait_s


@dataclass(slots=True)
class _Left:
    """What is left of one quota at a time."""

    tokens: float
    at_s: float


class Rate:
    """So many a second, for each of many, with a burst.

    Args:
        per_s: 0 = no limit. burst: at once, after a pause. now_s: a monotonic clock.
    """

    def __init__(self, per_s: float, burst: float, now_s: Callable[[], float]) -> None:
        self._per_s, self._burst, self._now_s = per_s, max(1.0, burst), now_s
        self._left: OrderedDict[str, _Left] = OrderedDict()

    def take(self, who: str) -> float:
        """One more.

        Returns:
            0.0: it may be. Else: the seconds after which it may; nothing was taken.
        """
        if not self._per_s:
            return 0.0
        now_s = self._now_s()
        left = self._left.setdefault(who, _Left(self._burst, now_s))
        self._left.move_to_end(who)
        if len(self._left) > MOST:
            self._left.popitem(last=False)
        left.tokens = min(self._burst, left.tokens + (now_s - left.at_s) * self._per_s)
        left.at_s = now_s
        if left.tokens < 1.0:
            return (1.0 - left.tokens) / self._per_s
        left.tokens -= 1.0
        return 0.0


class Quotas:
    """Counts what is asked for.

    Args:
        limits: how much it may be. now_s: a monotonic clock.
    """

    def __init__(self, limits: Limits, now_s: Callable[[], float]) -> None:
        self._keys = Rate(limits.key_requests, limits.key_requests * BURST_S, now_s)
        by_address = limits.address_requests
        self._addresses = Rate(by_address, by_address * BURST_S, now_s)
        self._scans = Rate(limits.key_scans / MINUTE_S, limits.key_scans, now_s)
        self._most_streams = limits.key_streams
        self._streams: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"<Quotas {sum(self._streams.values())} open streams>"

    def arrives(self, scope: Scope, address: str) -> None:
        """A request has come; whose it is is not known yet.

        Raises:
            Exceeded: too many come from there.
        """
        if not scope["path"].startswith(TOLD):
            wait_s = self._addresses.take(neighbourhood(address))
            if wait_s:
                raise Exceeded("too many requests come from this address", wait_s)

    @contextmanager
    def asks(self, scope: Scope, key_id: str) -> Iterator[None]:
        """A request with a good key, while it is answered.

        Raises:
            Exceeded: the key asks for too much.
        """
        path = scope["path"]
        if not path.startswith(TOLD):
            wait_s = self._keys.take(key_id)
            if wait_s:
                raise Exceeded("too many requests come with this key", wait_s)
        if path.endswith("/scan") and scope.get("method") == "POST":
            wait_s = self._scans.take(key_id)
            if wait_s:
                raise Exceeded("too many scans are asked for with this key", wait_s)
        if not _lasts(scope) or not self._most_streams:
            yield
            return
        if self._streams[key_id] >= self._most_streams:
            raise Exceeded("too many streams are open with this key", STREAM_RETRY_S)
        self._streams[key_id] += 1
        try:
            yield
        finally:
            self._streams[key_id] -= 1
            if not self._streams[key_id]:
                del self._streams[key_id]


def _lasts(scope: Scope) -> bool:
    """Whether the answer has no end of its own."""
    return scope["type"] == "websocket" or b"follow=" in scope["query_string"]
