"""Wrong keys are answered at leisure: a few at once, then one now and then, by address."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

BURST = 20
EACH_S = 3.0
MOST_ADDRESSES = 4096
NEIGHBOURS_BITS = 64  # of an IPv6 address: whoever has one has the rest of its network


@dataclass(slots=True)
class Bucket:
    """What is left to one address: `tokens` at the time `at_s`."""

    tokens: float
    at_s: float
    told: bool = False


class Throttle:
    """Counts wrong keys. Right keys are never counted and never wait, wherever they come from.

    A secret of 256 bits needs no throttle; the work and the noise of guessing do.

    Args:
        now_s: a monotonic clock.
        warn: told once for each burst of an address.
        most: addresses that are remembered; the one that was quiet for longest is forgotten.
    """

    def __init__(
        self,
        now_s: Callable[[], float],
        warn: Callable[[str], None],
        *,
        burst: int = BURST,
        each_s: float = EACH_S,
        most: int = MOST_ADDRESSES,
    ) -> None:
        self._now_s, self._warn = now_s, warn
        self._burst, self._each_s, self._most = burst, each_s, most
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Throttle {len(self)} of {self._most} addresses>"

    def __len__(self) -> int:
        return len(self._buckets)

    def wrong(self, address: str) -> float:
        """A wrong key came.

        Returns:
            0.0: say so. Else: seconds after which the next one is answered.
        """
        now = self._now_s()
        source = neighbourhood(address)
        bucket = self._buckets.setdefault(source, Bucket(float(self._burst), now))
        self._buckets.move_to_end(source)
        if len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
        bucket.tokens = min(self._burst, bucket.tokens + (now - bucket.at_s) / self._each_s)
        bucket.at_s = now
        if bucket.tokens >= 1.0:
            bucket.told = bucket.told and bucket.tokens < self._burst
            bucket.tokens -= 1.0
            return 0.0
        if not bucket.told:
            bucket.told = True
            self._warn(f"many wrong keys come from {source}: they have to wait from now on")
        return (1.0 - bucket.tokens) * self._each_s


def neighbourhood(address: str) -> str:
    """An address, or the network that stands for it."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "an unknown address"  # as a proxy may send it
    if found.version == 4:
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, NEIGHBOURS_BITS), strict=False))
