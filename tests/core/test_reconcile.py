"""What leads from one configuration to another."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fustor_core.config import AGENT, FUSION, Config
from fustor_core.reconcile import Difference, Plan, reconcile


def pipe(**changes: Any) -> dict[str, Any]:
    return {
        "source": {"driver": "fs", "root": "/srv"},
        "sink": {"driver": "fusion", "url": "https://h", "view": "v"},
        **changes,
    }


def config(**sections: Any) -> Config:
    return Config.model_validate(sections)


def change(kind: str, before: Any, after: Any) -> Difference | None:
    """What is to be done about one thing."""
    section = f"{kind}s"
    plan = reconcile(config(**{section: {"x": before}}), config(**{section: {"x": after}}))
    found = [one for one in plan.differences if one.kind == kind]
    label = "x" if kind == "pipe" else f"{kind}:x"
    assert bool(found) is (label not in plan.untouched)
    return found[0] if found else None


def test_nothing_has_changed() -> None:
    whole = config(pipes={"a": pipe()}, views={"v": {}}, forests={"f": {"views": ["v"]}})
    plan = reconcile(whole, whole)
    assert plan == Plan((), ("a", "view:v", "forest:f", "receiver:main"), ())


def test_things_that_come_and_go() -> None:
    old = config(pipes={"a": pipe(), "b": pipe()}, views={"v": {}})
    new = config(pipes={"b": pipe(), "c": pipe()}, views={"w": {}})
    plan = reconcile(old, new)
    assert plan.labels("stop") == ["a", "view:v"]
    assert plan.labels("start") == ["c", "view:w"]
    assert plan.untouched == ("b", "receiver:main")


def test_a_disabled_pipe_is_one_that_is_not_there() -> None:
    old, new = config(pipes={"a": pipe()}), config(pipes={"a": pipe(disabled=True)})
    assert reconcile(old, new).labels("stop") == ["a"]
    assert reconcile(new, old).labels("start") == ["a"]
    assert reconcile(new, new).differences == ()
    assert "a" not in reconcile(new, new).untouched


@pytest.mark.parametrize(
    ("changes", "act", "keys"),
    [
        ({"audit_interval_sec": 5}, "adopt", ("audit_interval_sec",)),
        ({"sentinel_interval_sec": 5, "audit": {"deep_every": 2}}, "adopt",
         ("audit", "sentinel_interval_sec")),
        ({"error_retry_interval": 1, "max_consecutive_errors": 2, "backoff_multiplier": 3,
          "max_backoff_seconds": 9, "on_max_errors": "stop"}, "adopt", None),
        ({"heartbeat_interval_sec": 3}, "adopt", ("heartbeat_interval_sec",)),
        ({"audit_interval_sec": 600}, "adopt", ("audit_interval_sec",)),
        ({"session_timeout_seconds": 60}, "restart", ("session_timeout_seconds",)),
        ({"follower": "standby"}, "restart", ("follower",)),
        ({"source": {"driver": "fs", "root": "/other"}}, "restart", ("source.root",)),
        ({"source": {"driver": "fs", "root": "/srv", "exclude": ["x"]}}, "restart",
         ("source.exclude",)),
        ({"source": {"driver": "s3", "root": "/srv"}}, "restart", ("source.driver",)),
        ({"sink": {"driver": "view", "view": "v"}}, "restart", ("sink.driver", "sink.url")),
        ({"audit_interval_sec": 5, "follower": "standby"}, "restart", None),
    ],
)  # fmt: skip
def test_what_a_pipe_takes_as_it_runs(
    changes: dict[str, Any], act: str, keys: tuple[str, ...] | None
) -> None:
    found = change("pipe", pipe(), pipe(**changes))
    assert found is not None
    assert found.act == act
    assert keys is None or found.keys == keys
    assert not found.drivers


def test_a_sink_is_asked_whether_it_takes_other_options() -> None:
    sink = {"driver": "fusion", "url": "https://h", "view": "v", "key": "fst_a_b"}
    found = change("pipe", pipe(), pipe(sink=sink))
    assert found == Difference("pipe", "x", "adopt", ("sink.key",), ("sink",))
    both = change("pipe", pipe(), pipe(sink=sink, audit_interval_sec=1))
    assert both is not None
    assert (both.act, both.drivers) == ("adopt", ("sink",))


@pytest.mark.parametrize(
    ("changes", "act", "drivers"),
    [
        ({"session_timeout_seconds": 5, "audit_interval_sec": 6, "max_sessions": 7}, "adopt", ()),
        ({"mass_delete_guard": {"count": 5}}, "adopt", ("view",)),
        ({"arbitrator": {"hot_file_threshold": 5}}, "adopt", ("arbitrator",)),
        ({"memory_budget": 5, "arbitrator": {"loose_age": 5}}, "adopt", ("arbitrator", "view")),
        ({"driver": "other"}, "restart", ()),
        ({"arbitrator": {"driver": "other"}}, "restart", ()),
    ],
)
def test_what_a_view_takes_as_it_serves(
    changes: dict[str, Any], act: str, drivers: tuple[str, ...]
) -> None:
    found = change("view", {}, changes)
    assert found is not None
    assert (found.act, found.drivers) == (act, drivers)


def test_receivers_begin_anew_and_forests_are_only_looked_up() -> None:
    here, there = {"driver": "http", "listen": ["unix"]}, {"driver": "http", "listen": ["[::1]:1"]}
    assert change("receiver", here, there) == Difference("receiver", "x", "restart", ("listen",))
    found = change("forest", {"views": ["a"]}, {"views": ["a", "b"]})
    assert found == Difference("forest", "x", "adopt", ("views",))


def test_an_option_that_is_null_is_not_one_that_is_left_out() -> None:
    assert change("view", {}, {"memory_budget": None}) is not None


def test_hooks_are_taken_at_the_start_alone() -> None:
    assert reconcile(Config(hooks=["a.py"]), Config(hooks=["a.py"])).program == ()
    assert reconcile(Config(hooks=["a.py"]), Config(hooks=["b.py"])).program == ("hooks",)


def test_what_only_the_program_takes() -> None:
    old, new = config(), config(agent={"id": "a"}, log={"level": "debug", "format": "json"})
    assert reconcile(old, new).program == ("agent.id", "log.format")


def test_one_part_alone() -> None:
    old = config(pipes={"a": pipe()}, views={"v": {}})
    new = config(pipes={"b": pipe()}, views={"w": {}})
    assert [one.kind for one in reconcile(old, new, (AGENT,)).differences] == ["pipe", "pipe"]
    fusion = reconcile(old, new, (FUSION,))
    assert {one.kind for one in fusion.differences} == {"view"}
    assert fusion.untouched == ("receiver:main",)


pipes = st.dictionaries(
    st.sampled_from("abcd"),
    st.builds(
        lambda root, audit, off: pipe(
            source={"driver": "fs", "root": root}, audit_interval_sec=audit, disabled=off
        ),
        st.sampled_from(["/a", "/b"]),
        st.sampled_from([0, 60]),
        st.booleans(),
    ),
)


@given(pipes, pipes)
def test_each_pipe_stands_in_one_place_and_the_way_back_is_the_mirror(old: Any, new: Any) -> None:
    there, back = (
        reconcile(config(pipes=a), config(pipes=b), (AGENT,)) for a, b in ((old, new), (new, old))
    )
    places = [*there.labels("start", "stop", "adopt", "restart"), *there.untouched]
    runs = {name for side in (old, new) for name, one in side.items() if not one["disabled"]}
    assert sorted(places) == sorted(runs)
    assert set(there.labels("start")) == set(back.labels("stop"))
    assert set(there.labels("adopt", "restart")) == set(back.labels("adopt", "restart"))
    assert set(there.untouched) == set(back.untouched)
