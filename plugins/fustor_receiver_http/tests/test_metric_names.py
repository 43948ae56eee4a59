"""What is monitored exists: rules, dashboard and page name the metrics that the server tells."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fustor_receiver_http import counters
from fustor_receiver_http.metrics import GAUGES, lag
from prometheus_client.parser import text_string_to_metric_families
from ruamel.yaml import YAML

FOLDER = Path(__file__).parents[3] / "contrib" / "monitoring"
PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "watch-it-with-prometheus.md"
NAME = re.compile(r"\bfustor_[a-z_]+")
# Unit or kind at the end, as the conventions of Prometheus have it.
UNITS = ("_seconds", "_bytes", "_total", "_info")
PER_KIND = {kind: {told.name for told in gauges} for kind, gauges in GAUGES.items()}
OF_SERVER = {
    "fustor_http_requests_total",
    "fustor_http_first_byte_seconds_bucket",
    "fustor_http_refusals_total",
    "fustor_http_open_streams",
    "fustor_build_info",
}
COUNTED = {
    "fustor_source_events_total",
    "fustor_scan_entries_total",
    "fustor_scan_duration_seconds_bucket",
    "fustor_arbitration_decisions_total",
    "fustor_config_last_reload_successful",
    "fustor_config_last_reload_success_timestamp_seconds",
    "fustor_audit_log_records_total",
    "fustor_audit_log_lost_total",
}
ALL = OF_SERVER.union(COUNTED, *PER_KIND.values())


def rules() -> list[dict[str, Any]]:
    document = YAML(typ="safe", pure=True).load((FOLDER / "alerts.yaml").read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in rules())
    board = json.loads((FOLDER / "dashboard.json").read_text())
    for panel in board["panels"]:
        yield from (target["expr"] for target in panel["targets"])
    yield from (one["query"] for one in board["templating"]["list"])


def test_every_name_that_is_used_exists() -> None:
    used = {name for expression in expressions() for name in NAME.findall(expression)}
    assert used
    assert used <= ALL


def test_every_metric_is_on_the_page() -> None:
    named = set(NAME.findall(PAGE.read_text()))
    assert {name.removesuffix("_bucket") for name in ALL} <= named
    assert named <= {name.removesuffix("_bucket") for name in ALL}


def test_rules_say_what_to_do() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed here")
def test_prometheus_accepts_the_rules() -> None:
    command = ["promtool", "check", "rules", str(FOLDER / "alerts.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_names_have_base_units() -> None:
    for name in ALL:
        assert not re.search(r"_(s|ms|us|kb|mb)$", name)
        if "bytes" in name or "seconds" in name or "total" in name:
            assert name.removesuffix("_bucket").endswith(UNITS)


async def test_labels_are_views_and_pipes_alone(served: Any) -> None:
    page = (await served.unix.get("/metrics")).text
    seen = set()
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            for kind, names in PER_KIND.items():
                if sample.name in names:
                    seen.add(sample.name)
                    assert set(sample.labels) == {kind}
    assert {"fustor_view_files", "fustor_leader", "fustor_pipe_state"} <= seen


@pytest.mark.parametrize(
    ("document", "seconds"),
    [
        ({"queue": 0, "unacked_bytes": 0, "last_ack_at": "2020-01-01T00:00:00Z"}, False),
        ({"queue": 3, "unacked_bytes": 0, "last_ack_at": "2020-01-01T00:00:00Z"}, True),
        ({"queue": 3, "unacked_bytes": 9, "last_ack_at": None}, False),
    ],
)
def test_a_pipe_lags_only_while_something_waits(document: dict[str, Any], seconds: bool) -> None:
    assert (lag(document) > 0) is seconds


STATUS = {
    "reload": {"generation": 2, "successful": False, "successful_at": "2026-01-01T00:00:00Z"},
    "audit_log": {"records": 7, "head": "ab", "lost": 1},
}
SCANS = {"snapshot": {"seconds": 12.5, "entries": 40, "within": [0, 1, 0, 1, 0, 0, 0, 1]}}


def told(families: Iterator[Any]) -> dict[str, list[tuple[dict[str, str], float]]]:
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in families:
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def test_what_is_counted_elsewhere_is_told() -> None:
    pipes = {"p": {"tallies": {"events": {"cell": 3, "owe": 1}, "scans": SCANS}}, "q": {}}
    found = told(counters.of_pipes(pipes))
    assert found["fustor_source_events_total"] == [
        ({"pipe": "p", "kind": "cell"}, 3), ({"pipe": "p", "kind": "owe"}, 1),
    ]  # fmt: skip
    by = {"pipe": "p", "origin": "snapshot"}
    assert found["fustor_scan_entries_total"] == [(by, 40)]
    assert found["fustor_scan_duration_seconds_sum"] == [(by, 12.5)]
    assert found["fustor_scan_duration_seconds_count"] == [(by, 3)]
    buckets = {
        labels["le"]: value for labels, value in found["fustor_scan_duration_seconds_bucket"]
    }
    assert (buckets["0.1"], buckets["1.0"], buckets["60.0"], buckets["+Inf"]) == (0, 1, 2, 3)
    views = {"v": {"tallies": {"judged": {"accepted": 5}}}}
    decisions = told(counters.of_views(views))["fustor_arbitration_decisions_total"]
    assert decisions == [({"view": "v", "verdict": "accepted"}, 5)]
    found = told(counters.of_process(STATUS))
    assert found["fustor_config_last_reload_successful"] == [({}, 0)]
    assert found["fustor_config_last_reload_success_timestamp_seconds"] == [({}, 1767225600)]
    assert found["fustor_audit_log_records_total"] == [({}, 7)]
    assert found["fustor_audit_log_lost_total"] == [({}, 1)]
    assert not list(counters.of_process({"audit_log": None}))


def test_the_names_are_those_of_the_list() -> None:
    suffix = {counters.SCANS: "_bucket", counters.RELOADED: "", counters.RELOADED_AT: ""}
    assert {name + suffix.get(name, "_total") for name in counters.COUNTERS} == COUNTED
