"""The sink of a pipe that ends on stdout: one JSON line a claim, for people and for jq."""

from __future__ import annotations

from fustor_sink_echo.sink import EchoSink

__all__ = ["EchoSink"]
