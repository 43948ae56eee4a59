"""Runs that never end are ended."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

AGAIN_S = 1.0
"""CPU seconds to the next try, where something has caught the first."""


class Endless(AssertionError):
    """The run does not end."""


@contextmanager
def bounded(most_s: float) -> Iterator[list[str]]:
    """What needs more CPU time is ended by `Endless`, in the main thread alone.

    Args:
        most_s: seconds of CPU time of this process.

    Yields:
        What says ``endless`` once that has happened, whoever caught it.
    """
    ended: list[str] = []

    def over(number: int, frame: object) -> None:
        ended[:] = ["endless"]
        raise Endless(f"not ended after {most_s:g} s of CPU time")

    before = signal.signal(signal.SIGVTALRM, over)
    signal.setitimer(signal.ITIMER_VIRTUAL, most_s, AGAIN_S)
    try:
        yield ended
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
