"""What a terminal tells of directories that are being written: which ones, and because of what."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fustor_core.cli import glance
from fustor_core.cli.glance import Glance
from fustor_core.cli.writing import directories

NOW_S = 1_700_000_100
NOW = "2023-11-14T22:15:00.000000Z"  # the same
VIEW = {"view": "data", "logical_time": NOW, "hot_file_threshold_s": 60.0}


def suspect(make: Any, path: bytes, age_s: float, size: int = 5) -> Any:
    at_ns = int((NOW_S - age_s) * 1e9)
    return make.entry(path, size=size, mtime_ns=at_ns, ctime_ns=at_ns, flags=["suspect"])


def test_a_directory_is_told_by_its_last_file(make: Any) -> None:
    entries = [
        suspect(make, b"/a/old", 50.0),
        suspect(make, b"/a/new\xff", 3.0, size=2048),
        suspect(make, b"/a/older", 55.0),
        suspect(make, b"/top", 41.0),
    ]
    first, second = sorted(directories(VIEW, entries), key=lambda one: one.age_s)
    assert (first.path, first.file, first.files, first.size) == (b"/a", b"new\xff", 3, 2048)
    assert (first.active, first.standing, first.changed) == (True, "being written", "3 s ago")
    assert (second.path, second.file, second.files) == (b"/", b"top", 1)
    assert (second.active, second.standing) == (False, "settles in 19 s")


def test_a_view_that_settles_soon_is_active_for_less(make: Any) -> None:
    quick = {**VIEW, "hot_file_threshold_s": 6.0}
    (one,) = directories(quick, [suspect(make, b"/a/x", 3.0)])
    assert not one.active


def test_an_age_that_cannot_be_told_is_none(make: Any) -> None:
    (one,) = directories({"view": "v"}, [suspect(make, b"/a/x", -5.0)])
    assert (one.age_s, one.changed) == (0.0, "just now")


def test_the_status_names_them(
    fustor: Callable[..., Any], own_server: Any, make: Any, root: Path
) -> None:
    doubts = make.quality(suspects=7)
    view = {**make.view_status("data", bytes(root), quality=doubts), **VIEW}
    own_server.answer("/status", {"views": [view], "pipes": [], "version": "1", "pid": 1})
    entries = [suspect(make, b"/d%d/x" % number, number) for number in range(7)]
    own_server.answer("/views/data/suspects", {"entries": entries})
    done = fustor("status")
    assert done.code == 0
    assert b"/d0 in data: x changed just now, 5 B" in done.out
    assert b"2 other directories: fustor view suspects" in done.out
    own_server.answer("/views/data/suspects", make.problem("forbidden", 403, "no"))
    assert b"being written" not in fustor("status").out


def test_the_page_of_top_has_a_row_for_each(make: Any) -> None:
    seen = Glance(written=list(directories(VIEW, [suspect(make, b"/a\x1b/x", 3.0, size=2048)])))
    ((key, cells),) = glance.written_rows(seen)
    assert key == "data:/a\\033"
    texts = [text for text, _ in cells]
    assert texts == ["/a\\033", "data", "x", "2.0 KiB", "3 s ago", "1", "being written"]
