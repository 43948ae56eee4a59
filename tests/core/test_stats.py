"""Rows of many names at once: the same as by single lstats, or none at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fustor_core.claims import ROW_BYTES
from fustor_core.files.identity import Prober
from fustor_core.files.listing import row_of
from fustor_core.files.stats import MOST, Stats

NS = 10**9


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def one_by_one(fd: int, names: list[bytes]) -> bytes:
    return b"".join(row_of(os.lstat(name, dir_fd=fd)) for name in names)


def test_every_kind_of_entry_has_the_row_of_its_lstat(tmp_path: Path, folder: int) -> None:
    (tmp_path / "large").touch()
    os.truncate(tmp_path / "large", 1 << 40)
    (tmp_path / "two").write_text("x")
    os.link(tmp_path / "two", tmp_path / "two-again")
    (tmp_path / "dir").mkdir(mode=0o2750)
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "to-dir").symlink_to("dir")
    os.mkfifo(tmp_path / "fifo", 0o600)
    (tmp_path / "epoch").touch()
    os.utime(tmp_path / "epoch", ns=(0, 0))
    (tmp_path / "fraction").touch()
    os.utime(tmp_path / "fraction", ns=(0, 1_700_000_000 * NS + NS - 1))
    (tmp_path / os.fsdecode(b"\xff name\n")).touch()
    names = sorted(os.listdir(os.fsencode(tmp_path)))
    stats = Stats()
    assert stats.rows(folder, names) == one_by_one(folder, names)
    assert stats.rows(folder, names[:2]) == one_by_one(folder, names[:2]), "and again"
    assert stats.rows(folder, []) == b""


@pytest.mark.parametrize("seconds", [(1 << 33) - 1, 1 << 33, -1, -(1 << 31)])
def test_a_time_that_does_not_fit_makes_nobody_elses_wrong(
    tmp_path: Path, folder: int, seconds: int
) -> None:
    names = [b"a", b"b", b"c"]
    for name in names:
        (tmp_path / name.decode()).touch()
    os.utime(tmp_path / "b", ns=(0, seconds * NS + 5))
    kept = os.lstat(b"b", dir_fd=folder).st_mtime_ns  # what the file system made of it
    found = Stats().rows(folder, names)
    fits = 0 <= kept < (1 << 33) * NS
    assert found == (one_by_one(folder, names) if fits else None)


def test_a_name_that_is_gone_leaves_nothing_known(tmp_path: Path, folder: int) -> None:
    (tmp_path / "a").touch()
    assert Stats().rows(folder, [b"a", b"gone"]) is None
    assert Stats().rows(-1, [b"a"]) is None


def test_as_many_as_fit_at_once(tmp_path: Path, folder: int) -> None:
    names = [b"%04d" % n for n in range(MOST)]
    for n, name in enumerate(names):
        place = tmp_path / name.decode()
        place.touch()
        os.utime(place, ns=(0, n * NS + n))
    found = Stats().rows(folder, names)
    assert found is not None
    assert len(found) == MOST * ROW_BYTES
    assert found == one_by_one(folder, names)


def test_what_was_seen_of_a_directory_is_what_a_single_look_sees(
    tmp_path: Path, folder: int
) -> None:
    (tmp_path / "a").touch()
    (tmp_path / "d").mkdir()
    stats = Stats()
    assert stats.rows(folder, [b"a", b"d"]) is not None
    for at, name in enumerate((b"a", b"d")):
        assert stats.sight(at) == Prober().sight(folder, name)
