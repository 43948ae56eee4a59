"""Log lines: from any part of the program to whoever shows them, with levels that can be changed.

Parts log with `logging`, below the logger ``fustor``; what belongs to a line as a field is given as
``extra={"fields": {…}}`` (names of interfaces.md §7). Libraries are heard from ``warning`` on. A
line that comes again and again is left out for a while and counted. Secrets that are known are
taken out of every line.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from fustor_core.documents import stamp_text
from fustor_core.errors import QueryError
from fustor_core.machine import Move
from fustor_core.state_runs.context import Scrubber

TOP = "fustor"
LEVELS = ("debug", "info", "warning", "error", "critical")
LIBRARIES = ("asyncio", "httpx", "uvicorn.error")
BURST = 20  # lines of one kind within so many seconds
WITHIN_S = 10.0
KINDS_MOST = 1000
SUBJECTS = {
    "pipeline": "pipe",
    "fusion_pipeline": "view",
    "session": "session",
    "leadership": "view",
}
"""machine → the field that names whose it is."""
_moves = logging.getLogger("fustor.machine")
Take = Callable[[dict[str, Any]], None]


class Emitter(logging.Handler):
    """Makes events of log records.

    Args:
        take: takes them, from any thread; never waits.
        now_s: a monotonic clock.
    """

    def __init__(self, take: Take, now_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._take, self._now_s = take, now_s
        self._kinds: dict[tuple[str, int, str], tuple[float, int]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Hands a record over, unless it is one too many of its kind."""
        left_out = self._spare(record)
        if left_out is None:
            return
        fields = dict(getattr(record, "fields", {}))
        if left_out:
            fields["left_out"] = left_out
        if record.exc_info and record.exc_info[1] is not None:
            fields["err"] = f"{type(record.exc_info[1]).__name__}: {record.exc_info[1]}"
        event = {
            "event": "log",
            "ts": stamp_text(int(record.created * 1e6) * 1000),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **fields,
        }
        try:
            self._take(_hidden.clean(event))
        except OSError:
            return  # nobody can be shown anything any more

    def _spare(self, record: logging.LogRecord) -> int | None:
        """How many of its kind were left out before it; None: it is left out, too."""
        kind, now_s = (record.name, record.levelno, str(record.msg)), self._now_s()
        began_s, count = self._kinds.get(kind, (now_s, 0))
        if now_s - began_s >= WITHIN_S:
            del self._kinds[kind]
            began_s, count, left_out = now_s, 0, max(0, count - BURST)
        else:
            left_out = 0
        if len(self._kinds) >= KINDS_MOST and kind not in self._kinds:
            self._kinds.clear()
        self._kinds[kind] = (began_s, count + 1)
        return left_out if count < BURST else None


def tell_move(move: Move[Any]) -> None:
    """A transition, for those who want to see everything."""
    if _moves.isEnabledFor(logging.DEBUG):
        subject = {SUBJECTS.get(move.machine, "subject"): move.subject}
        states = {"from": str(move.old), "to": str(move.new)}
        fields = {"machine": move.machine, **subject, "trigger": move.event, **states}
        _moves.debug("transition", extra={"fields": fields})


_hidden = Scrubber(())
_secrets: frozenset[str] = frozenset()


def hide(secrets: Iterable[str]) -> None:
    """From now on no line tells these texts."""
    global _hidden, _secrets  # as process-wide as logging is
    _secrets |= frozenset(secrets)
    _hidden = Scrubber(_secrets)


def hidden(text: str) -> str:
    """A text without the secrets that are known."""
    return _hidden.text(text)


@contextmanager
def shown(take: Take) -> Iterator[None]:
    """While inside, log records become events."""
    emitter, top = Emitter(take), logging.getLogger()
    before = top.level
    top.addHandler(emitter)
    top.setLevel(logging.WARNING)
    try:
        yield
    finally:
        top.removeHandler(emitter)
        top.setLevel(before)


def set_level(level: str, logger: str = TOP) -> None:
    """How much is logged from now on.

    Raises:
        QueryError: there is no such level, or no such logger.
    """
    if level not in LEVELS:
        raise QueryError(f"no log level {level!r}", remedy=f"levels: {', '.join(LEVELS)}")
    known = names()
    if logger not in known:
        told = ", ".join(known)
        raise QueryError(f"nothing logs as {logger!r}", remedy=f"loggers: {told}")
    logging.getLogger(logger).setLevel(level.upper())


def reset(level: str) -> None:
    """Every logger of ours logs as the configuration says."""
    for name in names():
        if name != TOP:
            logging.getLogger(name).setLevel(logging.NOTSET)
    logging.getLogger(TOP).setLevel(level.upper())


def names() -> list[str]:
    """The loggers whose level can be set: ours, and those of libraries that matter."""
    known = logging.root.manager.loggerDict
    return sorted({TOP, *LIBRARIES, *(name for name in known if name.startswith(f"{TOP}."))})


def levels() -> dict[str, str]:
    """Logger → its level, of those that have one of their own."""
    found = {TOP: logging.getLogger(TOP).getEffectiveLevel()}
    found |= {name: own for name in names() if (own := logging.getLogger(name).level)}
    return {name: logging.getLevelName(level).lower() for name, level in found.items()}
