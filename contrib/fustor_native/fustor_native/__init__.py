"""Directories read by compiled code; `fustor_core.files.compiled` says what it promises."""

from __future__ import annotations

from fustor_native._reading import FORMAT, read

__all__ = ["FORMAT", "read"]
