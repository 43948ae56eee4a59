"""The kernel's fanotify: what is read of it, what is thrown away, what is told."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fustor_core.files.fanotify import MERGED, Fanotify, refused
from fustor_core.files.identity import Prober
from fustor_core.files.inotify import (
    ATTRIB,
    CLOSE_WRITE,
    CREATE,
    DELETE,
    ISDIR,
    MODIFY,
    MOVED_FROM,
    MOVED_TO,
    Q_OVERFLOW,
    Raw,
    Reader,
)
from fustor_core.files.rooted import RootProof


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty directory, on a file system that can be marked."""
    fd = os.open(tmp_path, os.O_RDONLY)
    why, _ = refused(fd)
    os.close(fd)
    if why:
        pytest.skip(f"no fanotify here: {why}")
    path = tmp_path / "root"
    path.mkdir()
    return path


class Ear:
    """A marked file system, and numbers of some directories on it."""

    def __init__(self, *paths: Path) -> None:
        self.ears = Fanotify()
        self.numbers: dict[Path, int] = {}
        for path in paths:
            fd = os.open(path, os.O_RDONLY)
            proof = RootProof(bytes(path))
            spot = proof.open(Prober())
            self.numbers[path] = self.ears.add(fd, spot.key)
            os.close(spot.fd)
            os.close(fd)

    def heard(self) -> list[Raw]:
        """All that is in the queue."""
        told: list[Raw] = []
        while data := self.ears.read():
            told += self.ears.events(data, set(self.numbers.values()))
        return told


@pytest.fixture
def ear() -> Iterator[Callable[..., Ear]]:
    """`ear(path, …)`: hears of these directories."""
    made: list[Ear] = []

    def make(*paths: Path) -> Ear:
        made.append(Ear(*paths))
        return made[-1]

    yield make
    for each in made:
        each.ears.close()


def test_what_is_done_to_one_name_is_one_event_without_order(root: Path, ear: Any) -> None:
    it = ear(root)
    (root / "f").write_bytes(b"x")
    (root / "f").unlink()
    (told,) = it.heard()
    assert told == Raw(it.numbers[root], CREATE | MODIFY | CLOSE_WRITE | DELETE | MERGED, 0, b"f")


def test_directories_that_are_not_known_are_not_told_of(root: Path, ear: Any) -> None:
    it = ear(root)
    (root / "below").mkdir()
    (root / "below/unheard").write_bytes(b"x")
    (root.parent / "beside").write_bytes(b"x")
    assert [(raw.wd, raw.name) for raw in it.heard()] == [(it.numbers[root], b"below")]


def test_what_others_do_is_not_even_kept(root: Path, ear: Any) -> None:
    (root / "one").mkdir()
    (root / "two").mkdir()
    it = ear(root / "one")
    known = set(it.numbers.values())
    reader = Reader(it.ears, lambda: None, known)
    for i in range(100):
        (root / f"two/{i}").write_bytes(b"x")
    os.rename(root / "two/7", root / "two/seven")
    assert not reader.pull()
    (root / "one/file").write_bytes(b"x")
    (root / "two/file").write_bytes(b"x")
    os.rename(root / "two/1", root / "one/1")
    assert reader.pull()
    (chunk,) = reader.take()
    told = [(raw.name, raw.mask & ~MERGED) for raw in it.ears.events(chunk.data, known)]
    assert told == [(b"file", CREATE | MODIFY | CLOSE_WRITE), (b"1", MOVED_TO)]
    assert b"two" not in chunk.data
    reader.close()


def test_a_move_is_told_as_its_two_ends(root: Path, ear: Any) -> None:
    for name in ("one", "two", "d"):
        (root / name).mkdir()
    one, two, outside = root / "one", root / "two", root.parent
    it = ear(root, one, two)
    os.rename(root / "d", one / "e")
    os.rename(one / "e", two / "e")
    os.rename(two / "e", outside / "gone")
    os.rename(outside / "gone", root / "back")
    flags = ISDIR | MERGED
    assert it.heard() == [
        Raw(it.numbers[root], MOVED_FROM | flags, 1, b"d"),
        Raw(it.numbers[one], MOVED_TO | flags, 1, b"e"),
        Raw(it.numbers[one], MOVED_FROM | flags, 2, b"e"),
        Raw(it.numbers[two], MOVED_TO | flags, 2, b"e"),
        Raw(it.numbers[two], MOVED_FROM | flags, 0, b"e"),
        Raw(it.numbers[root], MOVED_TO | flags, 0, b"back"),
    ]


def test_a_directory_tells_of_itself_without_a_name(root: Path, ear: Any) -> None:
    it = ear(root)
    os.chmod(root, 0o701)
    assert it.heard() == [Raw(it.numbers[root], ATTRIB | ISDIR | MERGED, 0, b"")]


@pytest.mark.parametrize("name", [b"\xff", b"n\nl", b"x" * 255, b"four", b"..x", b".hidden"])
def test_names_are_parsed_byte_for_byte(root: Path, ear: Any, name: bytes) -> None:
    it = ear(root)
    os.close(os.open(os.fsencode(root) + b"/" + name, os.O_CREAT | os.O_WRONLY))
    assert [raw.name for raw in it.heard()] == [name]


def test_a_queue_that_runs_over_says_so(root: Path, ear: Any) -> None:
    limit = int(Path("/proc/sys/fs/fanotify/max_queued_events").read_text("ascii"))
    if limit > 200_000:
        pytest.skip("the queue is too long to be filled here")
    it = ear(root)
    for i in range(limit + 1):
        os.mknod(root / f"{i}")
    assert it.heard()[-1] == Raw(-1, Q_OVERFLOW, 0, b"")
