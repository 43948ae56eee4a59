"""Fustor source `fs`: scans and watches a directory tree on Linux"""

from __future__ import annotations

from fustor_core.files.rooted import RootVanished
from fustor_source_fs.ears import WatchError
from fustor_source_fs.source import FsConfig, FsSource

__all__ = ["FsConfig", "FsSource", "RootVanished", "WatchError"]
