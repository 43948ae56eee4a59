"""Events that nobody reads do not hold the program up."""

from __future__ import annotations

import json
import os
import threading
from typing import Any

import pytest

from fustor_core.cli.aside import BEHIND, KEPT, Aside


class Slow:
    """A display that shows nothing before it is let."""

    def __init__(self) -> None:
        self.let, self.asked = threading.Event(), threading.Event()
        self.shown: list[dict[str, Any]] = []
        self.closed = False

    def take(self, event: Any) -> None:
        """Wait, then show."""
        self.asked.set()
        assert self.let.wait(20)
        self.shown.append(event)

    def close(self) -> None:
        """The end."""
        self.closed = True


def numbered(count: int, kind: str, **more: Any) -> list[dict[str, Any]]:
    return [{"event": kind, "n": n, **more} for n in range(count)]


def test_events_come_in_their_order() -> None:
    slow = Slow()
    slow.let.set()
    aside = Aside(slow)
    events = [*numbered(3, "scanning"), *numbered(2, "ready"), *numbered(3, "status")]
    for event in events:
        aside.take(event)
    aside.close()
    assert slow.shown == events
    assert slow.closed


def test_figures_that_nobody_reads_are_kept_once() -> None:
    slow = Slow()
    aside = Aside(slow)
    aside.take({"event": "ready"})
    assert slow.asked.wait(20)
    for event in numbered(BEHIND, "warning"):
        aside.take(event)
    for event in [*numbered(5000, "status", view="a"), *numbered(7, "status", view="b")]:
        aside.take(event)
    slow.let.set()
    aside.close()
    status = [(event["view"], event["n"]) for event in slow.shown if event["event"] == "status"]
    assert status == [("a", 4999), ("b", 6)]
    assert sum(event["event"] == "warning" for event in slow.shown) == BEHIND


def test_what_is_kept_is_bounded() -> None:
    slow = Slow()
    aside = Aside(slow)
    for event in numbered(3 * KEPT, "warning"):
        aside.take(event)
    slow.let.set()
    aside.close()
    assert len(slow.shown) <= 2 * KEPT
    assert slow.shown[-1]["n"] == 3 * KEPT - 1


def test_a_reader_that_has_gone_is_told_of() -> None:
    reading, writing = os.pipe()
    os.close(reading)

    class Gone(Slow):
        def take(self, event: Any) -> None:
            os.write(writing, json.dumps(event).encode())
            raise AssertionError("nobody reads")

    aside = Aside(Gone())
    aside.take({"event": "ready"})
    aside.close()  # the thread has met the error by then
    with pytest.raises(BrokenPipeError):
        aside.take({"event": "status"})
    os.close(writing)
