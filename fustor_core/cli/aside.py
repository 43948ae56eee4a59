"""Events shown in a thread of their own: who does not read them must not hold the program up.

A full pipe, or a terminal that was stopped with Ctrl-S, blocks whoever writes to it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Hashable

from fustor_core.cli.display import Display, Event

KEPT = 10_000
BEHIND = 100  # with so many waiting, nobody looks
PASSING = frozenset({"scanning", "status"})  # each makes the one before it worthless
CLOSE_S = 2.0


class Aside:
    """A display behind a queue.

    While nobody reads, the newest figures of each view and pipe are kept, and the last `KEPT` of
    all.

    Args:
        display: shows the events; used by the one thread alone.
    """

    def __init__(self, display: Display) -> None:
        self._display = display
        self._changed = threading.Condition()
        self._waiting: deque[Event] = deque(maxlen=KEPT)
        self._ending = False
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._run, name="fustor-display", daemon=True)
        self._thread.start()

    def take(self, event: Event) -> None:
        """Hand an event over; never waits.

        Raises:
            OSError: nobody can be shown anything any more.
        """
        with self._changed:
            if self._error is not None:
                raise self._error
            if len(self._waiting) >= BEHIND and event.get("event") in PASSING:
                subject = _subject(event)
                rest = (e for e in self._waiting if _subject(e) != subject)
                self._waiting = deque(rest, maxlen=KEPT)
            self._waiting.append(event)
            self._changed.notify()

    def close(self) -> None:
        """Show what waits, unless nobody looks, and end."""
        with self._changed:
            self._ending = True
            self._changed.notify()
        self._thread.join(CLOSE_S)
        if not self._thread.is_alive():
            self._display.close()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._ending)
                events = list(self._waiting)
                self._waiting.clear()
                if not events:
                    return
            try:
                for event in events:
                    self._display.take(event)
            except OSError as error:
                with self._changed:
                    self._error = error
                return

    def __repr__(self) -> str:
        return f"<Aside {self._display!r} {len(self._waiting)} waiting>"


def _subject(event: Event) -> Hashable:
    """What an event makes worthless when it comes again; another for each event that stays."""
    if event.get("event") not in PASSING:
        return id(event)
    return event.get("event"), event.get("view"), event.get("pipe")
