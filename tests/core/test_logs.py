"""Log lines: as events, with their fields, without secrets, not without end."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from fustor_core import logs
from fustor_core.cli.logged import Logged, line_of, text_of
from fustor_core.cli.screen import Screen
from fustor_core.errors import QueryError
from fustor_core.machine import Move
from fustor_core.reporting import event
from fustor_core.states import ALL

SECRET = "a-secret-that-nobody-may-read"


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    yield
    logs.reset("warning")
    logging.getLogger(logs.TOP).setLevel(logging.NOTSET)


@pytest.fixture
def told() -> Iterator[list[dict[str, Any]]]:
    """The events that log records become."""
    events: list[dict[str, Any]] = []
    with logs.shown(events.append):
        logs.reset("info")
        yield events


def on_stderr(events: list[dict[str, Any]], *, quiet: bool = False) -> list[dict[str, Any]]:
    stream = io.StringIO()
    logged = Logged(Screen(sys.stdout, stream, {}, quiet=quiet))
    for one in events:
        logged.take(one)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_record_has_its_fields(told: list[dict[str, Any]]) -> None:
    log = logging.getLogger("fustor.part")
    log.warning("it is %s", "late", extra={"fields": {"view": "data", "session": "s1"}})
    (line,) = on_stderr(told)
    assert list(line) == ["ts", "level", "event", "logger", "view", "session"]
    assert (line["level"], line["event"], line["logger"]) == ("warning", "it is late", log.name)
    assert line["ts"].endswith("Z")
    assert text_of(told[0])[9:] == "part: warning: it is late view=data session=s1"


def test_an_error_is_named_without_its_trace(told: list[dict[str, Any]]) -> None:
    try:
        raise OSError("the disk is gone")
    except OSError:
        logging.getLogger("fustor.part").exception("failed")
    (line,) = on_stderr(told)
    assert line["err"] == "OSError: the disk is gone"


def test_secrets_stand_in_no_line(told: list[dict[str, Any]]) -> None:
    logs.hide([SECRET])
    log = logging.getLogger("fustor.part")
    log.error("it was %s", SECRET, extra={"fields": {"url": f"http://u:{SECRET}@h/"}})
    try:
        raise ValueError(SECRET)
    except ValueError:
        log.exception("failed with %r", {"key": SECRET})
    log.error("see http://me:hidden@host/")
    assert SECRET not in json.dumps(told)
    assert "hidden" not in json.dumps(told)
    assert len(told) == 3


def test_what_comes_again_and_again_is_counted() -> None:
    now, events = [0.0], list[dict[str, Any]]()
    emitter = logs.Emitter(events.append, lambda: now[0])
    for number in range(1000):
        emitter.handle(logging.makeLogRecord({"name": "fustor.x", "msg": "n %d", "args": number}))
    emitter.handle(logging.makeLogRecord({"name": "fustor.x", "msg": "other"}))
    assert len(events) == logs.BURST + 1
    now[0] += logs.WITHIN_S
    emitter.handle(logging.makeLogRecord({"name": "fustor.x", "msg": "n %d", "args": 7}))
    assert events[-1]["left_out"] == 1000 - logs.BURST


def test_levels_change_as_it_runs(told: list[dict[str, Any]]) -> None:
    part = logging.getLogger("fustor.part")
    part.debug("no")
    logs.set_level("debug", "fustor.part")
    part.debug("yes")
    logging.getLogger("fustor.other").debug("no")
    assert [one["message"] for one in told] == ["yes"]
    assert logs.levels()["fustor.part"] == "debug"
    logs.set_level("error")
    logging.getLogger("fustor.other").warning("no")
    part.debug("yes")
    logs.reset("info")
    part.debug("no")
    part.info("yes")
    assert [one["message"] for one in told] == ["yes"] * 3
    assert "fustor.part" not in logs.levels()


@pytest.mark.parametrize(("level", "logger"), [("loud", logs.TOP), ("info", "fustr")])
def test_what_cannot_be_set_is_said(level: str, logger: str) -> None:
    with pytest.raises(QueryError) as caught:
        logs.set_level(level, logger)
    assert caught.value.remedy


def test_libraries_are_heard_when_it_matters(told: list[dict[str, Any]]) -> None:
    logging.getLogger("httpx").info("a request")
    logging.getLogger("httpx").warning("trouble")
    assert [one["message"] for one in told] == ["trouble"]


def test_transitions_are_for_those_who_want_everything(told: list[dict[str, Any]]) -> None:
    table = ALL["leadership"]
    move: Move[Any] = Move("leadership", "data", "elect", table.initial, table.initial)
    logs.tell_move(move)
    assert not told
    logs.set_level("debug", "fustor.machine")
    logs.tell_move(move)
    (line,) = on_stderr(told)
    assert (line["machine"], line["view"], line["from"], line["to"]) == (
        "leadership", "data", "VACANT", "VACANT",
    )  # fmt: skip


def test_events_stand_in_the_log_by_their_level() -> None:
    logs.reset("info")
    events = [
        event("scanning", view="data"),
        event("ready", view="data", key=SECRET, page=f"http://h/#code={SECRET}"),
        event("warning", message="late", view="data"),
        event("frozen", view="data"),
    ]
    lines = on_stderr(events)
    assert [(line["event"], line["level"]) for line in lines] == [
        ("ready", "info"), ("warning", "warning"), ("frozen", "error"),
    ]  # fmt: skip
    assert SECRET not in json.dumps(lines), "who reads logs is not who may come in"
    assert lines[1]["message"] == "late"
    assert [line["event"] for line in on_stderr(events, quiet=True)] == ["warning", "frozen"]
    logs.set_level("error")
    assert [line["event"] for line in on_stderr(events)] == ["frozen"]
    assert line_of(events[0])["level"] == "debug"
