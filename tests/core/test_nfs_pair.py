"""The two pretended NFS clients behave as said: what the tests of network sources rest on."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fustor_core.testing.fuse import DEVICE
from fustor_core.testing.nfs_pair import NfsClient, NfsPair, NoPair, nfs_pair

LONG_S = 600.0
WAIT_S = 20.0


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[NfsPair]:
    try:
        with nfs_pair(tmp_path, LONG_S) as made:
            yield made
    except NoPair as why:
        pytest.skip(f"no FUSE mounts here: {why}")


def failing(act: object) -> int:
    """The errno that `act` ends with, 0 when it goes well."""
    assert callable(act)
    try:
        act()
    except OSError as err:
        return err.errno or -1
    return 0


def seen_after(looks: object, limit_s: float = WAIT_S) -> float:
    assert callable(looks)
    begun = time.monotonic()
    while not looks():
        assert time.monotonic() - begun < limit_s
        time.sleep(0.01)  # between two looks
    return time.monotonic() - begun


def test_numbers_are_those_of_the_server(pair: NfsPair) -> None:
    (pair.two.at / "folder").mkdir()
    (pair.two.at / "folder" / "file").write_text("content")
    for path in (".", "folder", "folder/file"):
        inodes = {os.stat(top / path).st_ino for top in (pair.server, pair.one.at, pair.two.at)}
        assert len(inodes) == 1, path
    assert (pair.one.at / "folder" / "file").read_text() == "content"


def test_attributes_are_remembered_and_opening_revalidates(pair: NfsPair) -> None:
    here, there = pair.one.at / "file", pair.two.at / "file"
    there.write_text("12345")
    assert here.stat().st_size == 5
    there.write_text("1234567")
    assert here.stat().st_size == 5
    with here.open() as file:
        assert os.fstat(file.fileno()).st_size == 7
    assert here.stat().st_size == 7


def test_absent_names_and_listings_are_remembered(pair: NfsPair) -> None:
    (pair.two.at / "folder").mkdir()
    here, there = pair.one.at / "folder", pair.two.at / "folder"
    held = os.open(here, os.O_RDONLY)
    try:
        assert os.listdir(held) == []
        assert not (here / "new").exists()
        (there / "new").write_text("")
        (there / "other").write_text("")
        assert not (here / "new").exists(), "the absence is remembered"
        assert sorted(os.listdir(here)) == ["new", "other"], "opening a directory revalidates"
        assert (here / "new").exists(), "and a name is looked up again in a changed directory"
    finally:
        os.close(held)


def test_present_names_are_remembered_until_they_expire(pair: NfsPair) -> None:
    here, there = pair.one.at, pair.two.at
    (there / "file").write_text("old")
    old = (here / "file").stat()
    (there / "next").write_text("newer")
    (there / "next").rename(there / "file")
    assert (here / "file").stat() == old
    pair.one.remembers(0.0)
    assert (here / "file").stat().st_size == 5


def test_what_is_remembered_expires_by_itself(pair: NfsPair) -> None:
    pair.one.remembers(0.6)
    here, there = pair.one.at / "file", pair.two.at / "file"
    there.write_text("1")
    begun = time.monotonic()
    assert here.stat().st_size == 1
    there.write_text("22")
    seen_after(lambda: here.stat().st_size == 2, 5.0)
    assert 0.5 < time.monotonic() - begun < 5.0


def test_own_changes_are_known_at_once(pair: NfsPair) -> None:
    here = pair.one.at
    assert not (here / "file").exists()
    (here / "file").write_text("1")
    assert (here / "file").stat().st_size == 1
    (here / "file").rename(here / "moved")
    assert os.listdir(here) == ["moved"]
    assert not (here / "file").exists()
    os.utime(here / "moved", ns=(5, 7))
    os.link(here / "moved", here / "link")
    assert ((here / "moved").stat().st_mtime_ns, (here / "link").stat().st_nlink) == (7, 2)
    os.symlink("moved", here / "sign")
    assert (here / "sign").read_text() == "1"


def test_nothing_is_told_to_the_other_mount(pair: NfsPair) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.inotify_init1(os.O_NONBLOCK)
    try:
        assert libc.inotify_add_watch(fd, os.fsencode(pair.one.at), 0xFFF) >= 0
        (pair.two.at / "file").write_text("blind")
        (pair.two.at / "file").unlink()
        with pytest.raises(BlockingIOError):
            os.read(fd, 4096)
        (pair.one.at / "own").write_text("seen")
        assert os.read(fd, 4096)
    finally:
        os.close(fd)


def test_removing_an_open_file_renames_it(pair: NfsPair) -> None:
    (pair.one.at / "file").write_text("content")
    with (pair.one.at / "file").open() as file:
        (pair.one.at / "file").unlink()
        (silly,) = os.listdir(pair.server)
        assert len(silly) == 28
        assert silly.startswith(".nfs")
        assert file.read() == "content"
    seen_after(lambda: not os.listdir(pair.server))


def test_handles_of_removed_files_are_stale(pair: NfsPair) -> None:
    (pair.two.at / "folder").mkdir()
    (pair.two.at / "file").write_text("")
    held = [os.open(pair.one.at / name, os.O_RDONLY) for name in ("folder", "file")]
    try:
        (pair.two.at / "folder").rmdir()
        (pair.two.at / "file").unlink()
        pair.one.remembers(0.0)
        for fd in held:
            assert failing(lambda fd=fd: os.fstat(fd)) == errno.ESTALE
        assert failing(lambda: os.open(pair.one.at / "file", os.O_RDONLY)) == errno.ENOENT
    finally:
        for fd in held:
            os.close(fd)


def test_an_open_directory_stays_itself_when_others_rename_it(pair: NfsPair) -> None:
    (pair.two.at / "folder").mkdir()
    fd = os.open(pair.one.at / "folder", os.O_RDONLY)
    try:
        inode = os.fstat(fd).st_ino
        (pair.two.at / "folder").rename(pair.two.at / "moved")
        (pair.two.at / "folder").mkdir()
        (pair.two.at / "moved" / "file").write_text("")
        pair.one.remembers(0.0)
        assert os.fstat(fd).st_ino == inode
        assert os.stat("file", dir_fd=fd).st_size == 0
        assert os.stat(pair.one.at / "folder").st_ino != inode
    finally:
        os.close(fd)


def test_faults_are_for_the_chosen_paths(pair: NfsPair) -> None:
    for name in ("bad", "good"):
        (pair.two.at / name).mkdir()
    pair.one.fails("/bad")
    assert failing(lambda: os.stat(pair.one.at / "bad")) == errno.EIO
    assert os.listdir(pair.one.at / "good") == []
    assert os.listdir(pair.two.at / "bad") == []
    pair.one.works()
    assert os.listdir(pair.one.at / "bad") == []


def test_the_clock_of_the_server_can_be_another(pair: NfsPair) -> None:
    (pair.two.at / "file").write_text("")
    before = (pair.one.at / "file").stat()
    for day_s in (86_400.0, -86_400.0, 0.0):
        pair.one.ahead(day_s)
        there = (pair.one.at / "file").stat()
        assert there.st_ctime_ns - before.st_ctime_ns == day_s * 1e9
        assert there.st_mtime_ns - before.st_mtime_ns == day_s * 1e9


def test_a_listing_can_break_half_way(pair: NfsPair) -> None:
    for number in range(10):
        (pair.two.at / f"file-{number}").write_text("")
    pair.one.breaks("/")
    found: list[str] = []
    with pytest.raises(OSError, match="Input/output error"), os.scandir(pair.one.at) as entries:
        found += (entry.name for entry in entries)
    assert os.stat(pair.one.at / "file-1").st_size == 0, "all else works"
    pair.one.works()
    assert len(os.listdir(pair.one.at)) == 10


@pytest.mark.parametrize("killable", [True, False])
def test_who_looks_at_what_hangs_waits(pair: NfsPair, killable: bool) -> None:
    (pair.two.at / "slow").mkdir()
    pair.one.hangs("/slow", killable=killable)
    look = "import os, sys; os.stat(sys.argv[1])"
    waiting = subprocess.Popen([sys.executable, "-c", look, pair.one.at / "slow"])
    try:
        where = Path(f"/proc/{waiting.pid}/wchan")
        seen_after(lambda: "fuse" in where.read_text() or "request" in where.read_text())
        assert os.listdir(pair.one.at) == ["slow"], "nothing else hangs"
        waiting.send_signal(signal.SIGKILL)
        if killable:
            assert waiting.wait(WAIT_S) == -signal.SIGKILL
        else:
            with pytest.raises(subprocess.TimeoutExpired):
                waiting.wait(0.3)
            pair.one.works()
            assert waiting.wait(WAIT_S) == -signal.SIGKILL
    finally:
        pair.one.works()
        waiting.kill()
        waiting.wait(WAIT_S)


def test_it_vanishes_and_another_tree_can_come(pair: NfsPair, tmp_path: Path) -> None:
    (pair.server / "file").write_text("")
    inode = os.stat(pair.one.at).st_ino
    pair.one.vanish()
    assert os.listdir(pair.one.at) == []
    assert os.stat(pair.one.at).st_ino != inode
    (tmp_path / "other").mkdir()
    pair.one.mount(tmp_path / "other")
    assert os.listdir(pair.one.at) == []
    pair.one.vanish()
    pair.one.mount(pair.server)
    assert (os.listdir(pair.one.at), os.stat(pair.one.at).st_ino) == (["file"], inode)


def test_where_there_is_no_fuse_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fustor_core.testing.nfs_pair.DEVICE", str(tmp_path / "no fuse"))
    with pytest.raises(NoPair, match="no fuse is missing"):
        NfsPair(tmp_path)


def test_a_mount_that_cannot_be_made_says_why(tmp_path: Path) -> None:
    if not os.path.exists(DEVICE):
        pytest.skip(f"{DEVICE} is missing")
    (tmp_path / "server").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises((NoPair, FileExistsError)):
        NfsClient(tmp_path / "server", tmp_path / "file", 1.0)
