"""What compiled code says of a directory is what the Python way says of it, byte for byte."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fustor_native
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fustor_core.claims import ROW_BYTES, Key
from fustor_core.contracts import boottime_us
from fustor_core.files import compiled, listing
from fustor_core.files.compiled import Answer, Compiled, Read
from fustor_core.files.exclusion import Exclusion
from fustor_core.files.identity import Prober, Spot
from fustor_core.files.listing import OPEN, Kid, Lister
from fustor_core.files.rooted import RootProof

NS = 10**9
NAMES = st.binary(min_size=1, max_size=255).filter(
    lambda name: not {0, ord("/")} & set(name) and name not in (b".", b"..")
)
KINDS = ("file", "directory", "symlink", "fifo", "link")
TIMES = st.integers(-(1 << 40), (1 << 35) * NS)


@contextmanager
def opened(place: Path | bytes) -> Iterator[int]:
    fd = os.open(place, OPEN)
    try:
        yield fd
    finally:
        os.close(fd)


def compiled_of(fd: int) -> Answer | None:
    return fustor_native.read(fd, lambda: False)


def members(
    monkeypatch: pytest.MonkeyPatch, read: Read | None, fd: int, *globs: str, birth: str = "btime"
) -> tuple[bytes, bytes, list[Kid], int]:
    """What a lister says of the directory, with this way or without."""
    monkeypatch.setattr(listing, "compiled", lambda: Compiled(read))
    prober = Prober(birth)
    lister = Lister(
        prober,
        Exclusion(globs),
        proof=RootProof(b"/"),
        cross=False,
        now_us=boottime_us,
        stopped=lambda: False,
    )
    sight = prober.sight(fd)
    spot = Spot(
        fd, Key(0, sight.ino, prober.birth_of(sight, fd)), sight.dev, b"/at", sight.ctime_ns
    )
    return lister._members(spot)


def require_same(place: Path | bytes, *globs: str, plain: bool = True) -> None:
    """Both ways agree; `plain`: the compiled one does not leave it to the other."""
    with pytest.MonkeyPatch.context() as patch, opened(place) as fd:
        for birth in ("btime", "none"):
            usual = members(patch, None, fd, *globs, birth=birth)
            for read in (fustor_native.read, None, fustor_native.read):
                assert members(patch, read, fd, *globs, birth=birth) == usual
        said = compiled_of(fd)
        assert (said is not None) is plain
        if said is not None and said[0]:
            names = said[0].split(b"\0")
            assert names == sorted(os.listdir(place if isinstance(place, bytes) else bytes(place)))
            assert len(said[1]) == len(names) * ROW_BYTES
            sights = {name: Prober().sight(fd, name) for name in names}
            assert said[2] == {n: s for n, s in sights.items() if s.mode & 0o170000 == 0o040000}


def make(place: bytes, kind: str, other: bytes) -> None:
    if kind == "directory":
        os.mkdir(place)
    elif kind == "symlink":
        os.symlink(b"somewhere", place)
    elif kind == "fifo":
        os.mkfifo(place)
    elif kind == "link":
        os.link(other, place)
    else:
        with open(place, "wb") as file:
            file.write(b"x" * (len(place) % 7))


def test_the_package_is_what_the_core_uses() -> None:
    found = compiled.compiled()
    assert found.read is fustor_native.read
    assert found.told == "fustor-driver-native 0.1.0"
    assert not found.fault


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    entries=st.dictionaries(NAMES, st.tuples(st.sampled_from(KINDS), TIMES), max_size=40),
    glob=st.sampled_from(["", "*a*", "*"]),
)
def test_any_directory(tmp_path: Path, entries: dict[bytes, tuple[str, int]], glob: str) -> None:
    other, folder = os.fsencode(tmp_path / "other"), os.fsencode(tmp_path / "folder")
    shutil.rmtree(folder, ignore_errors=True)
    os.mkdir(folder)
    Path(os.fsdecode(other)).touch()
    plain = True
    for name, (kind, time_ns) in entries.items():
        place = folder + b"/" + name
        make(place, kind, other)
        os.utime(place, ns=(0, time_ns), follow_symlinks=False)
    for name in entries:  # what the file system made of the times
        kept = os.lstat(folder + b"/" + name).st_mtime_ns
        plain = plain and 0 <= kept < (1 << 33) * NS
    require_same(folder, *([glob] if glob else []), plain=plain)


def test_names_that_differ_late_or_are_the_beginning_of_another(tmp_path: Path) -> None:
    stem = "n" * 200
    for end in ("", "a", "a1", "aa", "\x7f", "\x01", "é", "a\udcff", "aaaaaaaa", "aaaaaaaab"):
        (tmp_path / (stem + end)).touch()
    require_same(tmp_path)


def test_all_types_of_files(tmp_path: Path) -> None:
    for kind in KINDS:
        make(os.fsencode(tmp_path / kind), kind, os.fsencode(tmp_path / "file"))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.fspath(tmp_path / "socket"))
    os.truncate(tmp_path / "file", 1 << 40)
    (tmp_path / "directory/below").mkdir()
    require_same(tmp_path)
    require_same(tmp_path, "dir*", "f*")
    require_same(tmp_path / "directory")
    require_same(tmp_path / "directory/below")


@pytest.mark.parametrize(
    "place", ["/dev", f"/proc/{os.getpid()}", "/sys"], ids=("dev", "proc", "sys")
)
def test_devices_and_mount_points(place: str) -> None:
    """What the kernel makes up changes between two looks: names, types, owners and keys do not."""
    with pytest.MonkeyPatch.context() as patch, opened(Path(place)) as fd:
        said = members(patch, fustor_native.read, fd)
        usual = members(patch, None, fd)
        assert said[0] == usual[0]
        assert said[2:] == usual[2:]
        for at in range(0, len(usual[1]), ROW_BYTES):
            assert said[1][at + 24 : at + 44] == usual[1][at + 24 : at + 44]


def test_where_another_file_system_begins(tmp_path: Path) -> None:
    (tmp_path / "mounted").mkdir()
    try:
        subprocess.run(
            ["mount", "-t", "tmpfs", "none", tmp_path / "mounted"], check=True, capture_output=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"nothing can be mounted here: {error}")
    try:
        require_same(tmp_path)
        with pytest.MonkeyPatch.context() as patch, opened(tmp_path) as fd:
            (kid,) = members(patch, fustor_native.read, fd)[2]
        assert kid.left_out == "other_device"
    finally:
        subprocess.run(["umount", tmp_path / "mounted"], check=True)


@pytest.mark.parametrize("count", [0, 1, 1023, 1024, 1025, 2048, 5000])
def test_as_many_as_there_are(tmp_path: Path, count: int) -> None:
    with opened(tmp_path) as fd:
        for n in range(count):
            os.close(os.open(b"%d" % (n * 7919), os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    require_same(tmp_path)


@pytest.mark.long
def test_a_hundred_thousand(tmp_path: Path) -> None:
    with opened(tmp_path) as fd:
        for n in range(100_000):
            os.close(os.open(b"%x-%d" % (n % 4096, n), os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    require_same(tmp_path)


@pytest.mark.parametrize("seconds", [-1, 0, (1 << 33) - 1, 1 << 33, 1 << 34])
def test_a_time_that_does_not_fit_is_left_to_the_other_way(tmp_path: Path, seconds: int) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).touch()
    (tmp_path / "d").mkdir()
    for name in ("b", "d"):
        os.utime(tmp_path / name, ns=(0, seconds * NS + 5))
        kept = os.lstat(tmp_path / name).st_mtime_ns
        require_same(tmp_path, plain=0 <= kept < (1 << 33) * NS)
        os.utime(tmp_path / name)


def test_a_directory_that_is_gone(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    with opened(tmp_path / "gone") as fd:
        (tmp_path / "gone").rmdir()
        with pytest.MonkeyPatch.context() as patch:
            assert members(patch, fustor_native.read, fd) == (b"", b"", [], 0)


def test_what_cannot_be_read_is_left_to_the_other_way(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    fd = os.open(tmp_path / "file", os.O_RDONLY)
    try:
        assert compiled_of(fd) is None
    finally:
        os.close(fd)
    with opened(tmp_path) as fd:
        place = os.open(tmp_path, os.O_PATH)
    assert compiled_of(place) is None
    os.close(place)
    assert compiled_of(fd) is None, "it is closed"
    assert compiled_of(-1) is None
    with pytest.MonkeyPatch.context() as patch, opened(tmp_path) as fd:
        patch.setattr(os, "listdir", lambda fd: [])  # the other way is not asked, and
        assert members(patch, fustor_native.read, fd)[0] == b"file"
        os.lseek(fd, 0, os.SEEK_END)  # where somebody else left it does not count
        assert members(patch, fustor_native.read, fd)[0] == b"file"


def test_it_takes_a_descriptor_and_a_question_and_nothing_else() -> None:
    for wrong in ((), (1,), ("/", bool), (1 << 40, bool), (1, bool, 3)):
        with pytest.raises((TypeError, OverflowError)):
            fustor_native.read(*wrong)  # type: ignore[call-arg,arg-type]


def test_the_stop_sign_is_seen_between_slices(tmp_path: Path) -> None:
    with opened(tmp_path) as fd:
        for n in range(3000):
            os.close(os.open(b"%d" % n, os.O_CREAT | os.O_WRONLY, dir_fd=fd))
        asked: list[int] = []

        def stopped() -> bool:
            asked.append(1)
            return len(asked) == 2

        assert fustor_native.read(fd, stopped) is None
        assert len(asked) == 2
        asked = [1] * 10
        found = fustor_native.read(fd, stopped)
        assert found is not None
        assert found[0].count(b"\0") == 2999, "a reading that was broken off leaves nothing behind"
        assert len(asked) == 13

        def failing() -> bool:
            raise KeyError("asked")

        with pytest.raises(KeyError):
            fustor_native.read(fd, failing)


def test_a_directory_that_is_written_to_is_read_as_one_of_its_states(tmp_path: Path) -> None:
    """Names that stay are there each time; those that come and go are looked at, or nothing is."""
    stay = [b"stay-%04d" % n for n in range(300)]
    ending = threading.Event()

    def write() -> None:
        with opened(tmp_path) as fd:
            n = 0
            while not ending.is_set():
                n += 1
                name = b"pass-%d" % (n % 50)
                os.close(os.open(name, os.O_CREAT | os.O_WRONLY, dir_fd=fd))
                os.rename(name, b"moved-" + name, src_dir_fd=fd, dst_dir_fd=fd)
                os.mkdir(name, dir_fd=fd)
                os.unlink(b"moved-" + name, dir_fd=fd)
                os.rmdir(name, dir_fd=fd)

    with opened(tmp_path) as fd:
        for name in stay:
            os.close(os.open(name, os.O_CREAT | os.O_WRONLY, dir_fd=fd))
        writer = threading.Thread(target=write)
        writer.start()
        try:
            for _ in range(500):
                said = compiled_of(fd)
                if said is None:
                    continue
                names, rows, sights = said[0].split(b"\0"), said[1], said[2]
                assert names == sorted(set(names))
                assert set(stay) <= set(names)
                assert len(rows) == len(names) * ROW_BYTES
                types = [rows[at + 33] & 0xF0 for at in range(0, len(rows), ROW_BYTES)]
                assert [n for n, t in zip(names, types, strict=True) if t == 0x40] == list(sights)
        finally:
            ending.set()
            writer.join()
    require_same(tmp_path)


def test_several_threads_read_the_same_and_others(tmp_path: Path) -> None:
    found: list[Answer | None] = []
    for n in range(400):
        (tmp_path / f"{n}").touch()
    with opened(tmp_path) as fd:
        expected = compiled_of(fd)

    def read() -> None:
        with opened(tmp_path) as fd:
            found.extend(compiled_of(fd) for _ in range(50))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 200
