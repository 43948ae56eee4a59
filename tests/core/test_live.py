"""What changed between two documents, and how a reader that missed something catches up."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fustor_core.live import (
    Reel,
    applied,
    difference,
    is_sampled,
    live_document,
    picked,
    spelled,
    union,
)

NAMES = st.sampled_from(["a", "b", "c.d", "", "files", "state"])
FIELDS = st.integers(0, 2) | st.booleans() | st.lists(st.integers(0, 1), max_size=2) | st.none()
DOCUMENTS = st.recursive(
    st.dictionaries(NAMES, FIELDS, max_size=3),
    lambda inner: st.dictionaries(NAMES, FIELDS | inner, max_size=3),
    max_leaves=12,
)
QUALITY = {"complete": True, "age_s": 1.5, "as_of": "2026-01-01T00:00:00Z", "suspects": 0}
VIEW = {"view": "v", "files": 1, "fusion_time_us": 7, "quality": QUALITY, "state": 2}
STATUS = {"pid": 1, "uptime_s": 3.0, "views": [VIEW], "pipes": [{"id": "p", "queue": 0}]}


def changed(document: dict[str, Any], field: str, value: object) -> dict[str, Any]:
    """The live document with another value for a field of the view."""
    view = {**document["views"]["v"], field: value}
    return {**document, "views": {"v": view}}


def caught_up(state: dict[str, Any], reel: Reel, seq: int) -> dict[str, Any]:
    """What a reader has who was at `seq` with `state` and takes one update."""
    update = reel.since(seq)
    if update is None:
        return state
    return applied(state if update.base_seq else {}, update.mask, update.payload)


@given(DOCUMENTS, DOCUMENTS)
def test_a_difference_leads_from_one_document_to_the_other(
    old: dict[str, Any], new: dict[str, Any]
) -> None:
    before = repr(old)
    mask = difference(old, new)
    assert _sorted(applied(old, mask, picked(new, mask))) == _sorted(new)
    assert repr(old) == before, "the old document was written to"
    assert bool(mask) == (_sorted(old) != _sorted(new))


def _sorted(value: Any) -> str:
    """As text, in which 1 is not True and no dictionary is a list."""
    if isinstance(value, dict):
        return "dict" + repr([(name, _sorted(value[name])) for name in sorted(value)])
    return repr(value)


@given(st.lists(DOCUMENTS, min_size=1, max_size=6), st.integers(-1, 8), st.booleans())
def test_a_reader_at_any_number_catches_up_with_one_update(
    states: list[dict[str, Any]], at: int, sampled: bool
) -> None:
    reel = Reel(updates=3)
    seen: dict[int, dict[str, Any]] = {0: {}}
    for state in states:
        reel.turn(state, sampled=sampled)
        seen[reel.seq] = dict(reel.state)
    assert caught_up(seen.get(at, {"never": "was"}), reel, at) == reel.state
    if sampled:
        assert reel.state == states[-1]


def test_only_fields_that_differ_are_named() -> None:
    live = live_document(STATUS, [], [])
    later = changed(live, "state", 8)
    assert difference(live, later) == [("views", "v", "state")]
    assert picked(later, difference(live, later)) == {"views": {"v": {"state": 8}}}


def test_of_a_run_only_the_time_of_its_nodes_flows() -> None:
    node = {"status": "executing", "execution_time": 0.5, "output_payload": None}
    run = {"id": "pipeline_1", "nodes": {"snapshot_files": node}}
    live = live_document(STATUS, [], [], [run])
    place = ("runs", "pipeline_1", "nodes", "snapshot_files")
    done = {**node, "status": "succeeded", "execution_time": 2.0, "output_payload": {"files": 3}}
    later = live_document(STATUS, [], [], [{**run, "nodes": {"snapshot_files": done}}])
    mask = difference(live, later)
    assert set(mask) == {(*place, field) for field in node}
    assert [path[-1] for path in mask if is_sampled(path)] == ["execution_time"]
    assert not is_sampled((*place, "output_payload", "files")), "a result is a fact"


@pytest.mark.parametrize(
    ("old", "new"), [({"a": 1}, {"a": True}), ({"a": 0}, {"a": None}), ({"a": {}}, {"a": []})]
)
def test_values_of_another_kind_differ(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert difference(old, new) == [("a",)]


def test_a_thing_that_came_or_went_is_named_whole() -> None:
    live = live_document(STATUS, [], [])
    more = live_document(STATUS, [{"session_id": "s", "state": "ACTIVE"}], [])
    assert difference(live, more) == difference(more, live) == [("sessions", "s")]
    gone = applied(more, [("sessions", "s")], {})
    assert gone["sessions"] == {}
    assert more["sessions"] == {"s": {"session_id": "s", "state": "ACTIVE"}}


def test_what_time_alone_changes_is_not_told() -> None:
    later = {
        **STATUS,
        "uptime_s": 9.0,
        "views": [{**VIEW, "fusion_time_us": 8, "quality": {**QUALITY, "age_s": 7.5}}],
    }
    assert difference(live_document(STATUS, [], []), live_document(later, [], [])) == []


def test_what_flows_waits_for_the_tick_and_facts_do_not() -> None:
    reel = Reel()
    live = live_document(STATUS, [], [])
    assert reel.turn(live, sampled=False)
    assert not reel.turn(changed(live, "files", 2), sampled=False)
    both = changed(changed(live, "files", 2), "state", 8)
    assert reel.turn(both, sampled=False)
    update = reel.since(1)
    assert update is not None
    assert update.mask == (("views", "v", "state"),)
    assert reel.turn(both, sampled=True)
    assert reel.state["views"]["v"]["files"] == 2


def test_a_view_may_be_called_like_a_field() -> None:
    assert not is_sampled(("views", "files"))
    assert is_sampled(("views", "files", "files"))
    assert is_sampled(("jobs", "j", "progress", "directories"))
    assert not is_sampled(("views", "v", "quality", "complete"))


def test_of_many_masks_no_path_stands_below_another_one() -> None:
    masks = [[("a", "b", "c"), ("d",)], [("a", "b")], [("a", "b", "x"), ("d",)]]
    assert union(masks) == [("d",), ("a", "b")]


def test_a_reader_who_is_too_late_gets_everything() -> None:
    reel = Reel(paths=3)
    for number in range(5):
        reel.turn({"views": {"v": {"state": number}}, "pipes": {}}, sampled=True)
    late, never, latest = reel.since(1), reel.since(77), reel.since(4)
    assert late is not None
    assert never is not None
    assert latest is not None
    assert (late.base_seq, never.base_seq, latest.base_seq) == (0, 0, 4)
    assert late.mask == (("views",), ("pipes",))
    assert reel.since(5) is None


def test_the_message_is_that_of_the_seed() -> None:
    reel = Reel()
    reel.turn({"nodes": {"transform.csv": {"status": "pending"}}}, sampled=True)
    reel.turn({"nodes": {"transform.csv": {"status": "executing"}}}, sampled=True)
    update = reel.since(1)
    assert update is not None
    assert update.message("r1", 1689876543.215) == {
        "event_type": "state_update",
        "run": "r1",
        "seq": 2,
        "base_seq": 1,
        "update_mask": ["nodes.transform\\.csv.status"],
        "timestamp": 1689876543.215,
        "payload": {"nodes": {"transform.csv": {"status": "executing"}}},
    }
    assert spelled(("a\\", "b")) == "a\\\\.b"
