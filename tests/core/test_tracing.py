"""One trace from the agent to the view, as a collector sees it; and nothing where nobody asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from fustor_core import tracing

LIMIT_S = 60.0
WAY = ["fustor.batch", "fustor.push", "fustor.take", "fustor.journal"]
FUSION = "version: 1\nviews: {site: {}}\nreceivers: {main: {driver: http, listen: [unix]}}\n"
AGENT = """version: 1
pipes:
  site:
    source: {{driver: fs, root: {root}}}
    sink: {{driver: fusion, view: site, url: "unix:{socket}"}}
"""


@dataclass
class Span:
    """What is looked at in a span."""

    service: str
    name: str
    trace: bytes
    id: bytes
    parent: bytes
    attributes: dict[str, str] = field(default_factory=dict)


class Collector(ThreadingHTTPServer):
    """Takes spans as OpenTelemetry sends them: OTLP, protobuf over HTTP."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Taking)
        self.spans: list[Span] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        for group in request.resource_spans:
            about = {one.key: one.value.string_value for one in group.resource.attributes}
            for scope in group.scope_spans:
                for span in scope.spans:
                    told = {one.key: str(one.value) for one in span.attributes}
                    self.spans.append(
                        Span(
                            about["service.name"],
                            span.name,
                            span.trace_id,
                            span.span_id,
                            span.parent_span_id,
                            told,
                        )
                    )


class Taking(BaseHTTPRequestHandler):
    """One request."""

    server: Collector

    def do_POST(self) -> None:
        assert self.path == "/v1/traces"
        self.server.take(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """No talk."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    served = Collector()
    thread = threading.Thread(target=served.serve_forever, daemon=True)
    thread.start()
    yield served
    served.shutdown()
    served.server_close()
    thread.join(LIMIT_S)


@contextmanager
def running(home: Path, words: Sequence[str], url: str) -> Iterator[None]:
    """The program, from its ready event on; it ends in order."""
    environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": url}
    environment["OTEL_BSP_SCHEDULE_DELAY"] = "200"
    command = [sys.executable, "-m", "fustor_core", "--home", str(home), "--jsonl", *words]
    with (home.parent / f"{home.name}.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=environment)
    assert process.stdout is not None
    killing = threading.Timer(LIMIT_S, process.kill)
    killing.start()
    try:
        for line in process.stdout:
            if json.loads(line)["event"] == "ready":
                break
        yield
    finally:
        process.terminate()
        process.stdout.read()
        process.wait(LIMIT_S)
        process.stdout.close()
        killing.cancel()


def way_of(spans: Sequence[Span], last: Span) -> list[Span]:
    """A span and those that it belongs to, the outermost first."""
    by_id = {span.id: span for span in spans}
    way = [last]
    while way[0].parent:
        above = by_id.get(way[0].parent)
        if above is None:
            return way
        way.insert(0, above)
    return way


@pytest.mark.long
def test_one_trace_leads_from_the_agent_to_the_view(tmp_path: Path, collector: Collector) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "secret-name").write_text("x")
    fusion, agent = tmp_path / "f", tmp_path / "a"
    (tmp_path / "f.yaml").write_text(FUSION)
    socket = fusion / "fusion" / "api.sock"
    (tmp_path / "a.yaml").write_text(AGENT.format(root=tree, socket=socket))
    with (
        running(fusion, ["fusion", "-c", str(tmp_path / "f.yaml")], collector.url),
        running(agent, ["agent", "-c", str(tmp_path / "a.yaml")], collector.url),
    ):
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline and not whole(collector.spans):
            time.sleep(0.05)
    ways = whole(collector.spans)
    assert ways, [(span.service, span.name) for span in collector.spans]
    way = ways[0]
    assert len({span.trace for span in way}) == 1
    assert [span.service for span in way] == ["fustor-agent"] * 2 + ["fustor-fusion"] * 2
    beside = {span.name for span in collector.spans if span.parent == way[-1].parent}
    assert beside == {"fustor.journal", "fustor.apply"}
    assert "site" in way[2].attributes["fustor.view"]
    told = repr(collector.spans)
    assert "secret-name" not in told
    assert str(tree) not in told


def whole(spans: Sequence[Span]) -> list[list[Span]]:
    """The ways from an agent's batch to a journal, all spans of which have come."""
    ways = [way_of(spans, span) for span in list(spans) if span.name == WAY[-1]]
    return [way for way in ways if [span.name for span in way] == WAY and applied(spans, way[-1])]


def applied(spans: Sequence[Span], journal: Span) -> bool:
    return any(span.name == "fustor.apply" and span.parent == journal.parent for span in spans)


def test_nothing_is_traced_unless_a_collector_is_named() -> None:
    assert tracing.begin(("agent",), {}) == ""
    assert tracing.span("a") is tracing.span("b", view="v") is tracing.NOTHING
    assert tracing.continued("00-" + "1" * 32 + "-" + "2" * 16 + "-01") is tracing.NOTHING
    assert tracing.carried() == {}
    tracing.end()
    named = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h"}
    assert tracing.wanted(named)
    assert not tracing.wanted({**named, "OTEL_SDK_DISABLED": "true"})
    assert not tracing.wanted({**named, "OTEL_TRACES_EXPORTER": "none"})


def test_without_the_extra_it_is_said_how_to_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    lack = tracing.begin(("agent",), {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"})
    assert "pip install 'fustor[otel]'" in lack
    assert tracing.span("a") is tracing.NOTHING


def failed(seq: int) -> None:
    """Work that fails."""
    with tracing.span("fustor.take", seq=seq):
        assert "1" * 32 in tracing.carried()[tracing.HEADER]
        raise OSError("/secret")


def test_an_error_is_told_by_its_kind_alone(
    monkeypatch: pytest.MonkeyPatch, collector: Collector
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    assert tracing.begin(("fusion",)) == ""
    try:
        parent = "00-" + "1" * 32 + "-" + "2" * 16 + "-01"
        with tracing.continued(parent), pytest.raises(OSError, match="/secret"):
            failed(3)
        with tracing.continued("nonsense"), tracing.span("fustor.take"):
            pass
    finally:
        tracing.end()
    first, second = collector.spans
    assert (first.trace.hex(), first.parent.hex()) == ("1" * 32, "2" * 16)
    assert "OSError" in first.attributes["error.type"]
    assert "secret" not in repr(collector.spans)
    assert second.trace != first.trace
