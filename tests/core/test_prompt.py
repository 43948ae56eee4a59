"""Looks that keep the interpreter see what others see, and enter no other mount."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fustor_core.files import prompt
from fustor_core.files.identity import Prober
from fustor_core.files.listing import row_of
from fustor_core.files.prompt import Looks


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY)
    yield fd
    os.close(fd)


@pytest.fixture
def looks() -> Looks:
    made = Looks()
    made.prompt = True
    return made


def test_a_row_is_that_of_lstat(tmp_path: Path, folder: int, looks: Looks) -> None:
    (tmp_path / "file").write_bytes(b"x" * 4321)
    os.utime(tmp_path / "file", ns=(1, -1_500_000_001))
    os.link(tmp_path / "file", tmp_path / "other")
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe", 0o600)
    for name in os.listdir(tmp_path):
        path = os.fsencode(name)
        assert looks.row(folder, path) == row_of(os.lstat(path, dir_fd=folder)), name
    assert looks.row(folder, b"") == row_of(os.fstat(folder))


def test_what_is_not_there_is_told_as_by_lstat(folder: int, looks: Looks) -> None:
    with pytest.raises(FileNotFoundError):
        looks.row(folder, b"nothing")


def test_otherwise_it_is_a_plain_prober(tmp_path: Path, folder: int, looks: Looks) -> None:
    (tmp_path / "file").touch()
    plain = Prober()
    assert looks.sight(folder, b"file") == plain.sight(folder, b"file")
    assert looks.sight(folder) == plain.sight(folder)
    looks.prompt = False
    assert looks.row(folder, b"file") is None, "somebody else has to look"
    assert looks.sight(folder, b"file") == plain.sight(folder, b"file")


def test_directories_are_opened_below_and_given_back(
    tmp_path: Path, folder: int, looks: Looks
) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "link").symlink_to("a")
    fd = looks.open(b"a/b", folder)
    assert looks.prompt
    assert os.fstat(fd).st_ino == (tmp_path / "a" / "b").stat().st_ino
    looks.close(fd)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    for name, error in ((b"link", NotADirectoryError), (b"none", FileNotFoundError)):
        looks.prompt = True
        with pytest.raises(error):
            looks.open(name, folder)


def test_another_mount_is_entered_by_calls_that_give_the_interpreter_up(looks: Looks) -> None:
    top = os.open("/", os.O_PATH)
    fd = looks.open(b"proc", top)
    assert not looks.prompt
    assert os.fstat(fd).st_ino == os.stat("/proc").st_ino
    looks.close(fd)
    os.close(top)


def run(*words: str | Path) -> bool:
    """Whether a command of the system did it."""
    return not subprocess.run(words, capture_output=True, check=False).returncode


@pytest.fixture
def cold(tmp_path: Path) -> Iterator[Path]:
    """The directory of a disk that was mounted just now; of what is in it nothing is in memory."""
    image, place = tmp_path / "image", tmp_path / "disk"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(8 << 20)
    if not (run("mkfs.ext4", "-q", image) and run("mount", "-o", "loop", image, place)):
        pytest.skip("no disk can be made of a file here")
    (place / "a" / "b").mkdir(parents=True)
    run("umount", place)
    run("mount", "-o", "loop", image, place)
    yield place
    run("umount", place)


def test_a_disk_is_waited_for_without_the_interpreter(
    cold: Path, looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[bytes] = []
    away = prompt._syscall_away

    def recorded(number: int, place: int, path: bytes, *how: Any) -> int:
        waited.append(path)
        opened: int = away(number, place, path, *how)
        return opened

    monkeypatch.setattr(prompt, "_syscall_away", recorded)
    top = os.open(cold, os.O_PATH)
    for path in (b"a", b"a/b", b"a/b"):
        looks.close(looks.open(path, top))
        assert looks.prompt
    assert waited == [b"a", b"a/b"], "the last one was in memory"
    os.close(top)
