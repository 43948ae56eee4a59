"""The cold store on a disk that fails: nothing is thrown away for it, nothing is tried twice."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fustor_view_file.cold import ColdStore, Image
from fustor_view_file.feed import Change
from fustor_view_file.sealed import seal

from fustor_core.errors import StateError

WAIT_S = 60.0

# No file of this process may grow: for the rest of the machine the disk is as it was.
STUNTED = """\
import resource, sys
from pathlib import Path
from fustor_core.errors import StateError
from fustor_view_file.cold import ColdStore, Image

def stunt():
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))

folder, when = Path(sys.argv[1]), sys.argv[2]
if when == "open":
    stunt()
try:
    store = ColdStore(folder)
    stunt()
    for _ in range(2):
        try:
            store.write(Image({"life": b"later"}))
        except StateError as why:
            print(why.message)
            hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
except StateError as why:
    print(why.message)
"""


def kept(folder: Path) -> dict[str, bytes]:
    store = ColdStore(folder)
    assert store.set_aside is None
    try:
        return store.meta()
    finally:
        store.close()


def stunted(folder: Path, when: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", STUNTED, folder, when],
        capture_output=True,
        check=True,
        timeout=WAIT_S,
        text=True,
    )
    return done.stdout.splitlines()


def filled(folder: Path) -> None:
    store = ColdStore(folder)
    store.write(Image({"life": b"first"}))
    store.close()


def test_a_store_that_cannot_be_written_at_the_start_is_not_set_aside(tmp_path: Path) -> None:
    filled(tmp_path)
    (said,) = stunted(tmp_path, "open")
    assert "cannot be used" in said
    assert kept(tmp_path) == {"life": b"first"}
    assert not [name for name in os.listdir(tmp_path) if "damaged" in name]


def test_a_checkpoint_that_the_disk_refused_is_not_tried_again(tmp_path: Path) -> None:
    filled(tmp_path)
    first, again = stunted(tmp_path, "write")
    assert "cannot be made durable" in first
    assert again == first, "the disk was well again, and was believed"
    assert kept(tmp_path) == {"life": b"first"}


def test_without_its_meta_data_a_store_is_set_aside_whole(tmp_path: Path) -> None:
    """Else the directories of a state that nobody knows would come back one day."""
    filled(tmp_path)
    sealed = bytearray(seal(b"first"))
    sealed[-1] ^= 1
    with sqlite3.connect(tmp_path / "packs.sqlite") as db:
        db.execute("UPDATE meta SET value=? WHERE name='life'", (bytes(sealed),))
    db.close()
    store = ColdStore(tmp_path)
    assert store.set_aside == tmp_path / "packs.damaged-1"
    assert store.meta() == {}
    store.close()


def changes(first: int, end: int) -> list[Change]:
    """Changes with these numbers."""
    return [
        Change(n, n, n, "created", b"/%d" % n, None, b"r" * 48, "realtime", (), (n, n))
        for n in range(first, end)
    ]


def test_a_store_that_is_malformed_is_set_aside_by_the_next_start(tmp_path: Path) -> None:
    store = ColdStore(tmp_path)
    store.write(Image({"life": b"first"}, feed=changes(1, 2000)))
    store.close()
    path = tmp_path / "packs.sqlite"
    (page,) = (
        sqlite3.connect(path)
        .execute("SELECT rootpage FROM sqlite_master WHERE name='changes'")
        .fetchone()
    )
    harmed = bytearray(path.read_bytes())
    harmed[(page - 1) * 8192] ^= 0x40  # what kind of page it is
    path.write_bytes(harmed)
    store = ColdStore(tmp_path)
    for _ in range(2):
        with pytest.raises(StateError, match="is damaged") as caught:
            store.write(Image({"life": b"later"}, feed=changes(2000, 2001)))
        assert caught.value.remedy
    store.close()
    store = ColdStore(tmp_path)
    assert store.set_aside == tmp_path / "packs.damaged-1"
    store.write(Image({"life": b"anew"}))
    store.close()
    assert kept(tmp_path) == {"life": b"anew"}


def test_changes_lie_many_to_a_row_and_go_with_the_row(tmp_path: Path) -> None:
    store = ColdStore(tmp_path)
    store.write(Image({}, feed=changes(1, 1201)))
    store.write(Image({}, feed=changes(1201, 1211)))
    assert store.feed() == changes(1, 1211)
    store.write(Image({}, feed=changes(1211, 1212), feed_floor=600))
    assert store.feed() == changes(501, 1212), "those of one row go together, when the last may"
    with sqlite3.connect(tmp_path / "packs.sqlite") as db:
        assert db.execute("SELECT count(*) FROM changes").fetchone() == (4,)
    db.close()
    store.close()


class Slowly(list[tuple[int, tuple[bytes, bytes] | bytes]]):
    """Packs of a checkpoint that stands still in the middle of its transaction."""

    def __init__(self, packs: list[tuple[int, tuple[bytes, bytes] | bytes]]) -> None:
        super().__init__(packs)
        self.begun, self.go_on = threading.Event(), threading.Event()

    def __iter__(self) -> Iterator[tuple[int, tuple[bytes, bytes] | bytes]]:
        self.begun.set()
        assert self.go_on.wait(WAIT_S)
        return super().__iter__()


def test_who_reads_does_not_wait_for_a_checkpoint(tmp_path: Path) -> None:
    store = ColdStore(tmp_path)
    store.write(Image({"life": b"1"}, packs=[(1, (b"old", b"r" * 48))]))
    packs = Slowly([(1, (b"new", b"r" * 48))])
    with ThreadPoolExecutor() as threads:
        writing = threads.submit(store.write, Image({"life": b"2"}, packs=packs))
        try:
            assert packs.begun.wait(WAIT_S)
            reading = threads.submit(store.load, 1)
            assert reading.result(WAIT_S).names == b"old"
        finally:
            packs.go_on.set()
        writing.result(WAIT_S)
    assert store.load(1).names == b"new"
    store.close()


@pytest.mark.parametrize(
    ("words", "harmed"),
    [
        (b"CREATE TABLE pack (place", b"CREATE TABLE pack (plage"),
        (b"CREATE TABLE pack (place INTEGER", b"CREATE TABLE pack (place INTEGDR"),
        (b"CREATE TABLE pack (", b"CREATE TABLE \xf0ack ("),
        (b"CREATE TABLE pack (", b"CREATE TABLE pack \xa8"),
    ],
)
def test_a_store_whose_schema_is_damaged_is_set_aside(
    words: bytes, harmed: bytes, tmp_path: Path
) -> None:
    store = ColdStore(tmp_path)
    store.write(Image({"life": b"first"}, packs=[(1, (b"a", b"r" * 48))]))
    store.close()
    path = tmp_path / "packs.sqlite"
    content = path.read_bytes()
    assert content.count(words) == 1
    path.write_bytes(content.replace(words, harmed))
    store = ColdStore(tmp_path)
    assert store.set_aside == tmp_path / "packs.damaged-1"
    store.write(Image({"life": b"anew"}))
    store.close()
    assert kept(tmp_path) == {"life": b"anew"}
