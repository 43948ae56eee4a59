"""What the driver makes of the kernel's words about own writes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from fustor_source_nfs.hearing import Ears
from fustor_source_nfs.heat import Place

from fustor_core.claims import CLOSED, WRITING, Key
from fustor_core.contracts import boottime_us
from fustor_core.files.inotify import Inotify, Raw


@pytest.fixture
def ears() -> Iterator[Ears]:
    made = Ears()
    yield made
    made.close()


def place(path: Path) -> Place:
    return Place(os.fsencode("/" + path.name), Key(0, path.stat().st_ino, 1), 1, None)


def armed(ears: Ears, path: Path) -> int:
    """A watch, made as the processes that look make it."""
    fd = os.open(path, os.O_RDONLY)
    try:
        return Inotify(ears.fd).add(fd)
    finally:
        os.close(fd)


def watched(ears: Ears, path: Path) -> Place:
    made = place(path)
    ears.add(made, armed(ears, path))
    return made


def test_a_name_is_heard_with_the_time_before_it(ears: Ears, tmp_path: Path) -> None:
    at = watched(ears, tmp_path)
    ears.listen()
    before = boottime_us()
    (tmp_path / "file").write_text("content")
    after = boottime_us()
    ears.listen()
    heard = ears.take()
    word = heard.names[at, b"file"]
    assert word.since_us <= before
    assert (word.flags, word.fresh) == (CLOSED, True)
    assert (at, b"") in heard.names, "the directory's own times have changed, too"
    assert not ears.take()
    assert ears.since(at, before) == [b"file"]
    assert ears.since(at, boottime_us()) == []
    assert at.heard[b"file"] >= after


def test_who_still_writes_is_told(ears: Ears, tmp_path: Path) -> None:
    at = watched(ears, tmp_path)
    with (tmp_path / "file").open("w") as file:
        file.write("half")
        file.flush()
        ears.listen()
        assert ears.take().names[at, b"file"].flags == WRITING


def test_what_may_not_be_fresh_is_known(ears: Ears, tmp_path: Path) -> None:
    for name in ("opened", "moved", "touched"):
        (tmp_path / name).write_text("")
    watched(ears, tmp_path)
    (tmp_path / "opened").open("r+").close()
    (tmp_path / "moved").rename(tmp_path / "here")
    os.utime(tmp_path / "touched")
    ears.listen()
    words = {name: word.fresh for (_, name), word in ears.take().names.items()}
    assert words == {b"opened": False, b"moved": True, b"here": False, b"touched": True, b"": True}


def test_a_move_is_heard_as_one(ears: Ears, tmp_path: Path) -> None:
    for name in ("old", "new", "old/moved"):
        (tmp_path / name).mkdir()
    old, new = watched(ears, tmp_path / "old"), watched(ears, tmp_path / "new")
    (tmp_path / "old" / "moved").rename(tmp_path / "new" / "here")
    ears.listen()
    assert ears.take().moves == [(old, b"moved", new, b"here")]


def test_what_was_said_while_a_watch_was_made_is_not_lost(ears: Ears, tmp_path: Path) -> None:
    ears.arming = 1
    wd = armed(ears, tmp_path)
    (tmp_path / "file").write_text("before anybody knows whose watch it is")
    ears.listen()
    assert not ears.take()
    at = place(tmp_path)
    ears.add(at, wd)
    assert (at, b"file") in ears.take().names


def test_a_watch_that_the_kernel_takes_back_is_gone(ears: Ears, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    at = watched(ears, tmp_path / "folder")
    (tmp_path / "folder").rmdir()
    ears.listen()
    assert (at.wd, ears.count, ears.left) == (-1, 0, set())


def test_a_watch_that_is_not_wanted_is_given_back_unless_it_is_wanted_again(
    ears: Ears, tmp_path: Path
) -> None:
    at = watched(ears, tmp_path)
    ears.forget(at)
    assert len(ears.left) == 1
    again = watched(ears, tmp_path)
    assert ears.left == set()
    (tmp_path / "file").write_text("")
    ears.listen()
    assert (again, b"file") in ears.take().names


class Disturbed(Ears):
    """Something happens while the first word is heard."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.happened_us = path, 0

    def _hear(self, raw: Raw, since_us: int) -> None:
        if not self.happened_us:
            (self.path / "late").write_text("content")
            self.happened_us = boottime_us()
            while boottime_us() == self.happened_us:
                pass
        super()._hear(raw, since_us)


def test_nothing_is_said_to_have_come_later_than_it_did(tmp_path: Path) -> None:
    ears = Disturbed(tmp_path)
    at = watched(ears, tmp_path)
    (tmp_path / "file").write_text("content")
    ears.listen()
    ears.listen()
    assert ears.take().names[at, b"late"].since_us <= ears.happened_us
    ears.close()
