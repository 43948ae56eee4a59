"""Fustor source `nfs`: polls a directory tree that other hosts change unseen"""

from __future__ import annotations

from fustor_source_nfs.config import NfsConfig
from fustor_source_nfs.crew import StorageHung
from fustor_source_nfs.source import NfsSource

__all__ = ["NfsConfig", "NfsSource", "StorageHung"]
