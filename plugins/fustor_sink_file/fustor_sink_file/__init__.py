"""The sink of a pipe that ends in files: JSON lines, rotated, kept or dropped."""

from __future__ import annotations

from fustor_sink_file.sink import FileSink

__all__ = ["FileSink"]
