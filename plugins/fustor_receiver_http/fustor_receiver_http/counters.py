"""What is counted outside of this receiver: from the documents of the status.

`COUNTERS` is the whole list: name, meaning, labels. What begins anew counts from 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import accumulate
from typing import Any

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from fustor_core.tallies import BOUNDS_S

Document = Mapping[str, Any]

EVENTS = "fustor_source_events"
ENTRIES = "fustor_scan_entries"
SCANS = "fustor_scan_duration_seconds"
DECISIONS = "fustor_arbitration_decisions"
RELOADED = "fustor_config_last_reload_successful"
RELOADED_AT = "fustor_config_last_reload_success_timestamp_seconds"
RECORDS = "fustor_audit_log_records"
LOST = "fustor_audit_log_lost"

COUNTERS: dict[str, tuple[str, tuple[str, ...]]] = {
    EVENTS: ("Claims that the source has told as they happened", ("pipe", "kind")),
    ENTRIES: ("Entries that whole scans have read", ("pipe", "origin")),
    SCANS: ("How long whole scans took", ("pipe", "origin")),
    DECISIONS: ("Claims that were judged", ("view", "verdict")),
    RELOADED: ("1 when the configuration could be followed, the last time it was read", ()),
    RELOADED_AT: ("When the configuration was last read and followed, since 1970", ()),
    RECORDS: ("Records in the audit log, those that are gone by their age too", ()),
    LOST: ("Records that could not be written since the start", ()),
}


def of_pipes(pipes: Mapping[str, Document]) -> Iterator[Metric]:
    """What was counted of pipes, by their ids."""
    events, entries = _counter(EVENTS), _counter(ENTRIES)
    meaning, labels = COUNTERS[SCANS]
    scans = HistogramMetricFamily(SCANS, meaning, labels=labels)
    for pipe, document in pipes.items():
        told: Document = document.get("tallies") or {}
        for kind, count in (told.get("events") or {}).items():
            events.add_metric([pipe, kind], count)
        for origin, one in (told.get("scans") or {}).items():
            entries.add_metric([pipe, origin], one["entries"])
            counts = accumulate(one["within"])
            bounds = [*(str(bound) for bound in BOUNDS_S), "+Inf"]
            buckets = [(bound, float(count)) for bound, count in zip(bounds, counts, strict=True)]
            scans.add_metric([pipe, origin], buckets, one["seconds"])
    yield from (family for family in (events, entries, scans) if family.samples)


def of_views(views: Mapping[str, Document]) -> Iterator[Metric]:
    """What was counted of views, by their names."""
    decisions = _counter(DECISIONS)
    for view, document in views.items():
        told: Document = document.get("tallies") or {}
        for verdict, count in (told.get("judged") or {}).items():
            decisions.add_metric([view, verdict], count)
    if decisions.samples:
        yield decisions


def of_process(status: Document) -> Iterator[Metric]:
    """What holds for the whole process."""
    reload: Document | None = status.get("reload")
    if reload:
        at_s = datetime.fromisoformat(str(reload["successful_at"])).timestamp()
        yield GaugeMetricFamily(RELOADED, COUNTERS[RELOADED][0], value=float(reload["successful"]))
        yield GaugeMetricFamily(RELOADED_AT, COUNTERS[RELOADED_AT][0], value=at_s)
    log: Document | None = status.get("audit_log")
    if log:
        yield CounterMetricFamily(RECORDS, COUNTERS[RECORDS][0], value=log["records"])
        yield CounterMetricFamily(LOST, COUNTERS[LOST][0], value=log["lost"])


def _counter(name: str) -> CounterMetricFamily:
    meaning, labels = COUNTERS[name]
    return CounterMetricFamily(name, meaning, labels=labels)
