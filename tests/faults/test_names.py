"""Names and times that nobody expects, and large directories that move: the view is the tree."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.hosts.conftest import place as place  # noqa: PLC0414
from tests.hosts.conftest import times as times  # noqa: PLC0414
from tests.hosts.world import Site, until
from tests.hosts.writers import many_files

DEPTH = 800  # what removes a test's folder afterwards goes one call deeper for each
FILES = (60, 100)
DAY_NS = 86_400 * 10**9
NAMES = [
    b"\xff", b"\xff\xfe\xfd", b"new\nline", b"tab\there", b" ", b"...", b"..x", b"-rf", b"*", b"~",
    b"\\", b"'\"", b"%2e%2e%2f", b"<script>alert(1)<script>", "\u202egpj.exe".encode(),
    "e\u0301".encode(), "\u00e9".encode(), b"Case", b"case", b"CASE", b"\x1b[31mred", b"=1+1",
    b"x" * 255, "\U0001f600".encode() * 63, b"\x01\x02\x7f", b"\xed\xa0\x80", b"name\r",
]  # fmt: skip
TIMES_NS = [0, -1, -DAY_NS * 36500, 2**33 * 10**9, DAY_NS * 365 * 100]

pytestmark = pytest.mark.faults


def odd(folder: Path) -> None:
    """A file and a directory of each name."""
    top = os.fsencode(folder)
    for name in NAMES:
        os.makedirs(os.path.join(top, b"dirs", name))
        for where in (b"dirs", b"dirs/" + name):
            with open(os.path.join(top, where, b"file-" + name[:200]), "wb") as file:
                file.write(name)


def deep(folder: Path) -> None:
    """Directories in directories."""
    at = os.open(folder, os.O_RDONLY)
    for _ in range(DEPTH):
        os.mkdir("d", dir_fd=at)
        below = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(os.open("bottom", os.O_CREAT | os.O_WRONLY, dir_fd=at))
    os.close(at)


def test_odd_names_times_and_depths(place: Site) -> None:
    """Before the first scan, and seen as they come."""
    for when in ("scanned", "seen"):
        odd(place.tree / when)
        deep(place.tree / when)
        for number, time_ns in enumerate(TIMES_NS):
            path = place.tree / when / f"time-{number}"
            path.write_text("when?")
            os.utime(path, ns=(time_ns, time_ns))
        if when == "scanned":
            place.agent("alpha", mounted=False)
            place.start()
    with place.polled():
        place.settles()
        (place.tree / "scanned").rename(place.tree / "moved")
        os.rename(place.tree / "seen" / "d", place.outside / "d")
        place.settles()


def test_large_directories_move_as_a_whole(place: Site) -> None:
    """Nobody sees half of one, wherever it moves to within the tree."""
    whole = many_files(place.tree / "large", *FILES)
    place.agent("alpha", mounted=False)
    place.start()
    files = place.files()
    assert files > whole
    with place.polled() as poller:
        at = place.tree / "large"
        for number in range(20):
            to = place.tree / (f"anchor-{number % 3}" if number % 2 else ".") / f"moved-{number}"
            at = at.rename(to)
            asked = poller.asked
            until(lambda asked=asked: poller.asked > asked, 60, place.tails)
        place.settles()
        seen = {sample.files for sample in poller.samples}
        assert seen == {files}, f"of {files} files, readers have seen {sorted(seen)}"
        at = at.rename(place.outside / "large")
        place.settles()
        at.rename(place.tree / "back")
        place.settles()
        assert place.files() == files
