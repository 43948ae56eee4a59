"""The embedded view: directory packs in memory, a journal's fold, SQLite as the cold store."""

from __future__ import annotations

from fustor_view_file.view import FileView

__all__ = ["FileView"]
