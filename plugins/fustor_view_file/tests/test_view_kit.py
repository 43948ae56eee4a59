"""The view `file` keeps the promises of a view, in memory and on disk."""

from __future__ import annotations

from fustor_view_file import FileView

from fustor_core.testing import view_kit


def test_it_keeps_every_promise_of_a_view() -> None:
    view_kit(FileView, FileView.Config())
