"""Globs and paths of what is left out."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from fustor_core.claims import unpack_row
from fustor_core.files.exclusion import Exclusion, view_paths


@pytest.mark.parametrize(
    ("glob", "path", "out"),
    [
        ("*.tmp", b"/a/x.tmp", True),
        ("*.tmp", b"/a/x.tmpl", False),
        (".*", b"/.git", True),
        ("node_modules/", b"/a/b/node_modules", True),
        ("a?c", b"/abc", True),
        ("a?c", b"/ac", False),
        ("[ab]x", b"/bx", True),
        ("[!ab]x", b"/bx", False),
        ("[!ab]x", b"/cx", True),
        ("a[", b"/a[", True),
        ("a.c", b"/abc", False),
        ("new*", b"/new\nline", True),
        ("a/b", b"/a/b", True),
        ("/a/b", b"/a/b", True),
        ("a/b", b"/x/a/b", False),
        ("a/*", b"/a/b", True),
        ("a/*", b"/a/b/c", True),  # what lies below is left out with it
        ("*/c", b"/a/b/c", False),
        ("**/c", b"/a/b/c", True),
        ("**/c", b"/c", True),
        ("a/**/z", b"/a/b/c/z", True),
        ("\udcff*", b"/\xffname", True),
    ],
)
def test_what_a_glob_leaves_out(glob: str, path: bytes, out: bool) -> None:
    assert Exclusion([glob]).covers(path) is out


def test_nothing_is_tested_where_nothing_can_be_left_out() -> None:
    only = Exclusion(paths=[b"/a/state"])
    assert only.within(b"/") is None
    test = only.within(b"/a")
    assert test is not None
    assert (test(b"state"), test(b"other")) == (True, False)
    assert Exclusion().within(b"/") is None
    assert not Exclusion(["x"]).covers(b"/")


def test_host_paths_below_the_root_become_view_paths(root: Path) -> None:
    (root / "state").mkdir()
    (root.parent / "link").symlink_to(root / "state")
    host = [root / "state", root.parent, root, Path("/other"), root.parent / "link"]
    paths = [os.fsencode(path) for path in host]
    assert view_paths(os.fsencode(root), paths) == [b"/state", b"/state"]


async def test_attributes_of_a_directory_that_is_left_out(live: Any, root: Path) -> None:
    (root / "cache/below").mkdir(parents=True)
    async with live(root, exclude=["cache"]) as it:
        os.chmod(root / "cache", 0o711)
        cell = await it.until(lambda: it.cell(b"cache"))
        assert stat.S_IMODE(unpack_row(cell.value).mode) == 0o711
        it.forget()
        os.chmod(root / "cache/below", 0o711)
        (root / "sub/cache").mkdir(parents=True)
        await it.until(lambda: it.listings(b"/sub/cache"))
        os.chmod(root / "sub/cache", 0o711)
        await it.until(
            lambda: (
                (cell := it.cell(b"cache")) and stat.S_IMODE(unpack_row(cell.value).mode) == 0o711
            )
        )
        assert not it.cells(b"below")
