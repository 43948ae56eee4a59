"""Compiled code for directories and listings; `fustor_core.files.compiled` has its promise."""

from __future__ import annotations

from fustor_native._listings import adds_up, stores
from fustor_native._reading import FORMAT, read

__all__ = ["FORMAT", "adds_up", "read", "stores"]
