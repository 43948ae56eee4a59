"""Metrics in Prometheus' text format: base units, no paths, no ids of sessions in labels.

`GAUGES` is the whole list of what is told of views and pipes: name, meaning, and where the value
stands in their documents (interfaces.md §2). docs/reference/metrics.md is written from it.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from fustor_core.contracts import Access, Ask
from fustor_core.errors import FustorError
from fustor_receiver_http import counters
from fustor_receiver_http.scopes import covered_of
from fustor_receiver_http.streams import Streams

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0)

Document = Mapping[str, Any]
Read = Callable[[Document], float | None]


@dataclass(frozen=True, slots=True)
class Of:
    """A value of a document.

    Attributes:
        place: its keys, from the outside in.
    """

    place: tuple[str, ...]

    def __call__(self, document: Document) -> float | None:
        value: Any = document
        for key in self.place:
            value = value.get(key) if isinstance(value, Mapping) else None
        if isinstance(value, list):
            value = len(value)
        return float(value) if isinstance(value, int | float) else None


@dataclass(frozen=True, slots=True)
class Since:
    """Seconds since a time in a document."""

    place: tuple[str, ...]

    def __call__(self, document: Document) -> float | None:
        value: Any = document
        for key in self.place:
            value = value.get(key) if isinstance(value, Mapping) else None
        if not isinstance(value, str):
            return None
        return max(0.0, time.time() - datetime.fromisoformat(value).timestamp())


def of(*place: str) -> Of:
    """The value under these keys; of a list its length."""
    return Of(place)


def leads(document: Document) -> float:
    """1 when a session leads the view."""
    return float(document.get("leader") is not None)


def lag(document: Document) -> float:
    """Seconds since the last acknowledgement, where something waits for one; else 0."""
    waits = document.get("queue") or document.get("unacked_bytes")
    return (Since(("last_ack_at",))(document) or 0.0) if waits else 0.0


def in_error(document: Document) -> float:
    """1 when the pipe is in error and backs off, or stays down."""
    return float("ERROR" in (document.get("flags") or ()))


@dataclass(frozen=True, slots=True)
class Told:
    """One gauge: its name, what it means, and how its value is read."""

    name: str
    meaning: str
    read: Read


GAUGES: dict[str, tuple[Told, ...]] = {
    "view": (
        Told("fustor_view_entries", "Entries in the view", of("entries")),
        Told("fustor_view_files", "Files in the view", of("files")),
        Told("fustor_view_directories", "Directories in the view", of("dirs")),
        Told("fustor_view_size_bytes", "Sum of the sizes of its files", of("bytes")),
        Told(
            "fustor_view_suspect_entries",
            "Entries that may still be written",
            of("quality", "suspects"),
        ),
        Told("fustor_view_disputed_entries", "Entries in dispute", of("quality", "debts")),
        Told(
            "fustor_view_blind_entries",
            "Entries whose last change no agent saw happen",
            of("quality", "blind"),
        ),
        Told(
            "fustor_view_unscanned_directories",
            "Directories that are not known whole",
            of("quality", "unscanned_total"),
        ),
        Told("fustor_view_age_seconds", "Age of what the view says", of("quality", "age_s")),
        Told("fustor_view_complete", "1 when every directory is known", of("quality", "complete")),
        Told("fustor_view_stale", "1 when nobody feeds the view", of("quality", "stale")),
        Told(
            "fustor_view_frozen",
            "1 when deletions wait for a person or a second scan",
            of("quality", "frozen"),
        ),
        Told("fustor_view_epoch", "Number of the present leadership", of("quality", "epoch")),
        Told(
            "fustor_view_epoch_age_seconds",
            "Since the present leader leads",
            Since(("leader", "since")),
        ),
        Told("fustor_leader", "1 when a session leads the view", leads),
        Told("fustor_view_sessions", "Sessions that feed the view", of("sessions")),
        Told("fustor_view_audits", "Audits of the view that came to their end", of("audits")),
        Told(
            "fustor_view_audit_age_seconds",
            "Since the last audit came to its end",
            Since(("last_audit", "at")),
        ),
        Told(
            "fustor_view_set_aside_batches",
            "Batches that could not be applied",
            of("quarantine", "count"),
        ),
        Told("fustor_view_journal_bytes", "Size of the view's journal", of("journal_bytes")),
        Told("fustor_view_memory_bytes", "Memory that the view takes", of("memory_bytes")),
    ),
    "pipe": (
        Told("fustor_pipe_state", "The state as a number, see docs/states.md", of("state")),
        Told("fustor_pipe_in_error", "1 when it is in error", in_error),
        Told("fustor_pipe_queue_events", "Claims that wait to be sent", of("queue")),
        Told("fustor_pipe_unacked_bytes", "Bytes not acknowledged yet", of("unacked_bytes")),
        Told(
            "fustor_pipe_lag_seconds",
            "Since the last acknowledgement, while something waits for one",
            lag,
        ),
        Told("fustor_pipe_errors_in_row", "Errors since the last success", of("errors_in_row")),
        Told("fustor_pipe_backoff_seconds", "Wait after an error", of("backoff_s")),
        Told("fustor_pipe_warnings", "Warnings that stand", of("warnings")),
        Told("fustor_watch_used", "Directories that are watched", of("watched_dirs")),
        Told("fustor_watch_limit", "Directories that may be watched", of("watch_limit")),
    ),
}


class Meter:
    """Counts requests, and gives out all metrics.

    Args:
        ask: where the figures of views and pipes come from.
        streams: those that are open.
    """

    def __init__(self, ask: Ask, streams: Streams) -> None:
        self._ask = ask
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "fustor_http_requests",
            "Requests by route and status",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "fustor_http_first_byte_seconds",
            "Time to the first byte of the reply",
            ("route",),
            buckets=SECONDS,
            registry=self._registry,
        )
        self._refusals = Counter(
            "fustor_http_refusals",
            "Requests that were refused before their route was looked at",
            ("reason",),
            registry=self._registry,
        )
        open_streams = Gauge(
            "fustor_http_open_streams", "Streams that are open", registry=self._registry
        )
        open_streams.set_function(lambda: len(streams))
        built = Gauge(
            "fustor_build_info",
            "1, with the versions in labels",
            ("version", "python"),
            registry=self._registry,
        )
        built.labels(version("fustor"), platform.python_version()).set(1)
        self._kinds: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered.

        Args:
            route: its template, never what the client wrote. seconds: to the first byte.
        """
        kind = method, route, status
        found = self._kinds.get(kind)
        if found is None:
            count = self._requests.labels(method, route, str(status))
            found = self._kinds[kind] = count, self._seconds.labels(route)
        found[0].inc()
        found[1].observe(seconds)

    def refuse(self, slug: str) -> None:
        """A request was refused for its host, its key, or because there are too many."""
        self._refusals.labels(slug).inc()

    def page(self, access: Access) -> bytes:
        """The metrics in the text format; of views and pipes those that a key covers."""
        figures = CollectorRegistry()
        figures.register(Figures(self._ask, access))
        return generate_latest(self._registry) + generate_latest(figures)


class Figures(Collector):
    """The figures of those views and pipes that a key covers, read when they are asked for."""

    def __init__(self, ask: Ask, access: Access) -> None:
        self._ask = ask
        self._access = access

    def describe(self) -> Iterator[Metric]:
        """Nothing: the names are known when the figures are."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """One family a gauge."""
        try:
            status = self._ask.status()
        except FustorError:
            return  # /readyz tells why
        views = covered_of(self._access, "read", status.get("views") or ())
        pipes = covered_of(self._access, "read", status.get("pipes") or (), pipe="id")
        by_view = {str(view["view"]): view for view in views}
        by_pipe = {str(pipe["id"]): pipe for pipe in pipes}
        yield from _families("view", by_view)
        yield from _families("pipe", by_pipe)
        yield from counters.of_views(by_view)
        yield from counters.of_pipes(by_pipe)
        yield from counters.of_process(status)


def _families(kind: str, documents: Mapping[str, Document]) -> Iterator[Metric]:
    for told in GAUGES[kind]:
        family = GaugeMetricFamily(told.name, told.meaning, labels=[kind])
        for label, document in documents.items():
            value = told.read(document)
            if value is not None:
                family.add_metric([label], value)
        if family.samples:
            yield family
