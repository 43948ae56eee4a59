"""Events and log lines as they stand in a log: a line of JSON each, on stderr."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from fustor_core.cli.screen import Screen

Event = Mapping[str, Any]
LEVELS = {
    "scanning": logging.DEBUG,
    "status": logging.DEBUG,
    "warning": logging.WARNING,
    "frozen": logging.ERROR,
}
"""Of the events of `up`; others are of the level info."""
SECRET = ("key", "page")  # of `ready`: a log is read by more people than a terminal


class Logged:
    """Every event that the log level lets through, as a line of JSON on stderr.

    Args:
        screen: with --quiet only warnings go there, and what is worse.
    """

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._least = logging.WARNING if screen.quiet else logging.DEBUG

    def take(self, event: Event) -> None:
        """Writes it, if it is worth it."""
        level = level_of(event)
        least = max(self._least, logging.getLogger("fustor").getEffectiveLevel())
        if event.get("event") == "log":
            least = self._least  # its own logger has let it through
        if level >= least:
            self._screen.say(json.dumps(line_of(event), ensure_ascii=True, default=str))

    def close(self) -> None:
        """Nothing is left open."""


def level_of(event: Event) -> int:
    """How much an event matters."""
    if event.get("event") == "log":
        named = logging.getLevelNamesMapping().get(str(event.get("level")).upper())
        return logging.INFO if named is None else named
    return LEVELS.get(str(event.get("event")), logging.INFO)


def least_of(event: Event, *, quiet: bool) -> int:
    """From which level on a log line is shown to people: who has acted knows of it."""
    if quiet:
        return logging.WARNING
    acts = logging.getLogger("fustor.audit")
    told = event.get("logger") == acts.name and not acts.isEnabledFor(logging.DEBUG)
    return logging.WARNING if told else logging.NOTSET


def line_of(event: Event) -> dict[str, Any]:
    """An event in the form of interfaces.md §7."""
    rest = {key: value for key, value in event.items() if key not in ("event", "ts", *SECRET)}
    is_log = event.get("event") == "log"
    level = logging.getLevelName(level_of(event)).lower()
    told = rest.pop("message", "") if is_log else event.get("event")
    logger = rest.pop("logger", "fustor")
    rest.pop("level", None)
    return {"ts": event.get("ts"), "level": level, "event": told, "logger": logger, **rest}


def text_of(event: Event) -> str:
    """A log line for people: what is told, and its fields."""
    known = ("event", "ts", "level", "logger", "message")
    fields = " ".join(f"{key}={value}" for key, value in event.items() if key not in known)
    time = str(event.get("ts"))[11:19]
    logger = str(event.get("logger")).removeprefix("fustor.")
    level = str(event.get("level"))
    mark = "" if level in ("info", "debug") else f"{level}: "
    return f"{time} {logger}: {mark}{event.get('message')}{' ' if fields else ''}{fields}"
