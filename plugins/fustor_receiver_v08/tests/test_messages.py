"""What an agent says, decoded; what it cannot mean, refused."""

from __future__ import annotations

import contextlib
import json
import stat
from typing import Any

import pytest
from fustor_receiver_v08.messages import Opening, Push, read, read_push
from hypothesis import given
from hypothesis import strategies as st

from fustor_core.claims import CLOSED, WRITING, Origin, unpack_row
from fustor_core.errors import MalformedClaim

from .conftest import deleted, event, folder, row

NS = 1_000_000_000


def said(*events: Any, **more: Any) -> Push:
    return read_push(json.dumps({"events": events, "source_type": "message", **more}).encode())


def test_a_row_of_a_file() -> None:
    push = said(event(row("/a/f", 7, 1795271248.6515915, is_atomic_write=True), index=42))
    (told,) = push.events
    (sight,) = told.sights
    value = unpack_row(sight.row or b"")
    assert (told.origin, told.index) == (Origin.REALTIME, 42)
    assert sight.path == b"/a/f"
    assert (value.size, value.mode, value.ino, value.nlink) == (7, stat.S_IFREG, 0, 0)
    assert abs(value.mtime_ns - 1795271248651591500) < 1000
    assert sight.flags == CLOSED
    (other,) = said(event(row("/a/f", is_atomic_write=False))).events
    assert other.sights[0].flags == WRITING


def test_rows_of_directories_and_of_what_is_gone() -> None:
    push = said(event(folder("/"), folder("/a", audit_skipped=True), source="audit"), deleted("/b"))
    audit, gone = push.events
    assert [(s.path, s.is_dir, s.silent) for s in audit.sights] == [
        (b"/", True, False),
        (b"/a", True, True),
    ]
    assert audit.origin is Origin.AUDIT
    assert gone.sights[0].row is None


@pytest.mark.parametrize("mtime", [-1.5, 0.0, 7258118400.0, 4e9])
def test_times_before_1970_and_after_2200(mtime: float) -> None:
    (told,) = said(event(row("/f", mtime=mtime))).events
    assert unpack_row(told.sights[0].row or b"").mtime_ns == round(mtime * NS)


BAD = [
    {"path": "/f"},
    {"path": "/f", "size": 1, "modified_time": None, "created_time": 1.0},
    row("relative"),
    row("/a/../b"),
    row("/a//b"),
    row("/a/"),
    row(""),
    row("/nul\0"),
    row("/" + "n" * 5000),
    row("/f", -1),
    row("/f", 1 << 64),
    row("/f", mtime=1e300),
    row("/f", size="1"),  # type: ignore[arg-type]
    row("/"),
    "no row",
    None,
    7,
    [],
]


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_row_is_left_out_and_the_others_count(bad: Any) -> None:
    both = {**event(row("/good")), "rows": [bad, row("/good")]}
    push = said(both)
    assert [s.path for one in push.events for s in one.sights] == [b"/good"]
    assert push.bad == 1
    assert push.why
    with pytest.raises(MalformedClaim, match="none of the 1 rows"):
        said({**event(row("/x")), "rows": [bad]})


def test_the_root_is_never_deleted() -> None:
    with pytest.raises(MalformedClaim):
        said(deleted("/"))


def test_a_bad_event_is_left_out() -> None:
    push = said(7, {"rows": []}, event(row("/a"), kind="odd"), event(row("/good")))
    assert push.bad == 3
    assert len(push.events) == 1
    assert said(event(row("/a"), source="elsewhere"), event(row("/good"))).bad == 1


def test_events_of_other_schemas_are_no_business_of_ours() -> None:
    push = said({**event(row("/f")), "event_schema": "mysql", "rows": [{"id": 1}]})
    assert (push.events, push.bad, push.foreign) == ([], 0, 1)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"\xff\xfe", b'{"events": 1}', b"[" * 100_000, b'{"is_end": "no"}']
)
def test_what_is_no_push_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedClaim, match="body"):
        read_push(body)


@given(st.binary(max_size=200))
def test_garbage_is_refused_and_nothing_else(body: bytes) -> None:
    with contextlib.suppress(MalformedClaim):
        assert read_push(body).events == []


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("a:p", ("a", "p")),
        ("a:p:q", ("a", "p:q")),
        ("alone", ("alone", "alone")),
        (":p", (":p", ":p")),
    ],
)
def test_a_task_names_agent_and_pipe(task: str, expected: tuple[str, str]) -> None:
    assert Opening(task).agent_pipe == expected


@pytest.mark.parametrize(
    "document",
    [{}, {"task_id": ""}, {"task_id": 7}, {"task_id": "a:p", "session_timeout_seconds": -1}],
)
def test_what_opens_no_session(document: dict[str, Any]) -> None:
    with pytest.raises(MalformedClaim):
        read(json.dumps(document).encode(), Opening)
