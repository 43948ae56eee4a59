"""The sink of a pipe whose fusion server is another process: batches over HTTP."""

from __future__ import annotations

from fustor_sink_fusion.sink import FusionSink

__all__ = ["FusionSink"]
