"""One trace for each batch, from the agent to the view: its spans, and how they cross HTTP.

Off, and next to nothing, unless the environment names a collector as OpenTelemetry has it
(`OTEL_EXPORTER_OTLP_ENDPOINT`) and the extra `fustor[otel]` is installed. Spans hold names of
views, numbers and sizes; no paths, no texts of errors.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.metadata import version
from typing import Any

HEADER = "traceparent"
"""Of the W3C: trace, span and flags, from a client to its server."""
ADDRESSES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
FLUSH_MS = 3000
NOTHING: AbstractContextManager[None] = nullcontext()

_tracer: Any = None
_provider: Any = None


def span(name: str, **attributes: str | int) -> AbstractContextManager[None]:
    """A piece of work; pieces inside it belong to it, those of other tasks begun there too.

    Args:
        name: of the kind of work. attributes: told as ``fustor.<name>``.
    """
    if _tracer is None:
        return NOTHING
    return _spanned(name, {f"fustor.{key}": value for key, value in attributes.items()})


def carried() -> dict[str, str]:
    """Headers that take the current span along in a request; none while tracing is off."""
    headers: dict[str, str] = {}
    if _tracer is not None:
        _propagator().inject(headers)
    return headers


def continued(header: str | None) -> AbstractContextManager[None]:
    """What is done inside belongs to the span of a client.

    Args:
        header: `HEADER` of its request; what is none begins a trace of its own.
    """
    return NOTHING if _tracer is None or header is None else _continued(header)


def wanted(environ: Mapping[str, str]) -> bool:
    """Whether the environment names a collector, and does not forbid to tell it anything."""
    return (
        any(environ.get(name) for name in ADDRESSES)
        and environ.get("OTEL_SDK_DISABLED", "").lower() != "true"
        and environ.get("OTEL_TRACES_EXPORTER", "otlp") == "otlp"
    )


def begin(roles: Sequence[str], environ: Mapping[str, str] = os.environ) -> str:
    """Trace from here on, if that is wanted.

    Args:
        roles: of this process; its name in traces, unless `OTEL_SERVICE_NAME` gives one.

    Returns:
        Why it does not, though it is wanted; "" otherwise.
    """
    global _tracer, _provider
    if _tracer is not None or not wanted(environ):
        return ""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        return (
            "a collector of traces is named in the environment, but OpenTelemetry is not installed:"
            " pip install 'fustor[otel]'"
        )
    told = {"service.version": version("fustor")}
    if "OTEL_SERVICE_NAME" not in environ:
        told["service.name"] = "-".join(["fustor", *(roles if len(roles) == 1 else ())])
    _provider = TracerProvider(resource=Resource.create(told))
    _provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _tracer = _provider.get_tracer("fustor")
    return ""


def end() -> None:
    """Trace no more; what was traced is sent, for a few seconds at most."""
    global _tracer, _provider
    provider, _tracer, _provider = _provider, None, None
    if provider is not None:
        provider.force_flush(FLUSH_MS)
        provider.shutdown()


@contextmanager
def _spanned(name: str, attributes: Mapping[str, str | int]) -> Iterator[None]:
    from opentelemetry.trace import StatusCode

    with _tracer.start_as_current_span(
        name, attributes=attributes, record_exception=False, set_status_on_exception=False
    ) as made:
        try:
            yield
        except BaseException as error:
            # Never its text, which may name files.
            made.set_attribute("error.type", type(error).__name__)
            made.set_status(StatusCode.ERROR)
            raise


@contextmanager
def _continued(header: str) -> Iterator[None]:
    from opentelemetry import context

    token = context.attach(_propagator().extract({HEADER: header}))
    try:
        yield
    finally:
        context.detach(token)


def _propagator() -> Any:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator()
