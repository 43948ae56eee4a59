"""Wrong keys: a few at once, then they wait; right keys never do."""

from __future__ import annotations

from typing import Any

import pytest
from fustor_receiver_http.throttle import Throttle, neighbourhood

from fustor_core import keys


class World:
    """A clock, and what was warned of."""

    def __init__(self, **options: Any) -> None:
        self.now_s = 1000.0
        self.told: list[str] = []
        self.throttle = Throttle(lambda: self.now_s, self.told.append, **options)

    def wrong(self, times: int, address: str = "192.0.2.1") -> list[float]:
        return [self.throttle.wrong(address) for _ in range(times)]


def test_a_few_are_answered_and_then_one_now_and_then() -> None:
    world = World(burst=3, each_s=2.0)
    assert world.wrong(5) == [0.0, 0.0, 0.0, 2.0, 2.0]
    world.now_s += 1.5
    assert world.wrong(1) == [0.5]
    world.now_s += 0.5
    assert world.wrong(2) == [0.0, 2.0]


def test_a_burst_is_told_once() -> None:
    world = World(burst=3, each_s=2.0)
    world.wrong(100)
    assert len(world.told) == 1
    assert "192.0.2.1" in world.told[0]
    world.now_s += 2.0
    world.wrong(100)
    assert len(world.told) == 1, "the same burst"
    world.now_s += 1000.0
    world.wrong(100)
    assert len(world.told) == 2


def test_addresses_do_not_wait_for_each_other() -> None:
    world = World(burst=3)
    world.wrong(50)
    assert world.wrong(1, "192.0.2.2") == [0.0]


def test_the_table_is_bounded() -> None:
    world = World(most=10)
    for number in range(1000):
        world.wrong(1, f"10.0.{number // 250}.{number % 250}")
    assert len(world.throttle) == 10


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", "an unknown address"),
        ("unknown\r\nX", "an unknown address"),
    ],
)
def test_an_address_stands_for_its_network(address: str, source: str) -> None:
    assert neighbourhood(address) == source


async def test_a_thousand_wrong_keys_disturb_nobody(
    served: Any, caplog: pytest.LogCaptureFixture
) -> None:
    made = await served.ask.keys.create(keys.asked(["read"]))
    statuses = []
    for number in range(1000):
        headers = {"X-API-Key": f"fst_{made['id']}_{number:043d}"}
        reply = await served.tcp.get("/api/v1/views", headers=headers)
        statuses.append(reply.status_code)
        if number % 100 == 99:
            assert reply.status_code == 429
            assert int(reply.headers["Retry-After"]) >= 1
            good = await served.tcp.get("/api/v1/views", headers={"X-API-Key": made["key"]})
            assert good.status_code == 200
    assert set(statuses) <= {401, 429}
    assert statuses.count(401) < 40
    assert made["key"] not in caplog.text
    assert "many wrong keys" in caplog.text
    assert caplog.text.count("many wrong keys") == 1
    assert "fst_" not in caplog.text
