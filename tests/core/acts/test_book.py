"""The audit log on disk: durable, private, repaired after a kill, rotated without a break."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from fustor_core.acts import Book, records, verify
from fustor_core.acts.book import of_program
from fustor_core.acts.chain import Link
from fustor_core.acts.reading import FOLDER, HEAD, files_in

LIMIT_S = 60.0
Made = Callable[..., Book]


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Made]:
    """Opens the log below `tmp_path`; closed at the end."""
    opened: list[Book] = []

    def make(**options: object) -> Book:
        made = Book(tmp_path, **options)  # type: ignore[arg-type]
        made.open()
        opened.append(made)
        return made

    yield make
    for one in opened:
        one.close()


def write(book: Book, *names: str) -> None:
    for name in names:
        book.note(of_program(name))
        book.write()


def told(folder: Path) -> list[str]:
    return [record["act"] for record in records(folder / FOLDER)]


def test_what_was_written_is_read_and_private(book: Made, tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        write(book(), "one", "two")
    finally:
        os.umask(old)
    assert told(tmp_path) == ["one", "two"]
    found = verify(tmp_path / FOLDER)
    assert found.fault is None
    assert (found.records, found.first, found.head.seq) == (2, 1, 2)
    assert stat.S_IMODE((tmp_path / FOLDER).stat().st_mode) == 0o700
    for path in (tmp_path / FOLDER).iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_it_goes_on_after_a_start(book: Made, tmp_path: Path) -> None:
    write(book(), "one")
    write(book(), "two")
    assert told(tmp_path) == ["one", "two"]
    assert verify(tmp_path / FOLDER).fault is None


def test_rotation_keeps_the_chain(book: Made, tmp_path: Path) -> None:
    write(book(rotate_bytes=400), *(f"act-{n}" for n in range(9)))
    assert len(files_in(tmp_path / FOLDER)) > 3
    write(book(rotate_bytes=400), "later")
    assert told(tmp_path) == [*(f"act-{n}" for n in range(9)), "later"]
    assert verify(tmp_path / FOLDER).fault is None


def test_what_is_too_old_goes_and_that_is_told(book: Made, tmp_path: Path) -> None:
    now = [1_700_000_000 * 10**9]
    made = book(rotate_bytes=400, keep_s=60.0, now_ns=lambda: now[0])
    write(made, "old", "old", "old")
    now[0] += 120 * 10**9
    write(made, "young", "young", "young")
    assert told(tmp_path).count("old") == 1, "it stands in one file with what is young"
    assert "audit-prune" in told(tmp_path)
    found = verify(tmp_path / FOLDER)
    assert found.fault is None, found
    assert found.first > 1
    files_in(tmp_path / FOLDER)[0].unlink()
    fault = verify(tmp_path / FOLDER).fault
    assert fault is not None
    assert (fault.kind, fault.seq) == ("removed", 1), "nobody said that these were pruned"


@pytest.mark.parametrize("torn", [b"{", b'{"seq":3,"at":"20', b"\0" * 40])
def test_a_torn_line_is_cut_off_and_told(book: Made, tmp_path: Path, torn: bytes) -> None:
    write(book(), "one", "two")
    (path,) = files_in(tmp_path / FOLDER)
    path.write_bytes(path.read_bytes() + torn)
    fault = verify(tmp_path / FOLDER).fault
    assert fault is not None
    assert (fault.kind, fault.seq) == ("cut", 3)
    warned: list[str] = []
    write(book(warn=warned.append), "three")
    assert told(tmp_path) == ["one", "two", "audit-repair", "three"]
    assert verify(tmp_path / FOLDER).fault is None
    assert f"{len(torn)} bytes" in warned[0]


def test_a_missing_end_is_told_at_the_start_and_ever_after(book: Made, tmp_path: Path) -> None:
    write(book(), "one", "two", "three")
    (path,) = files_in(tmp_path / FOLDER)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    fault = verify(tmp_path / FOLDER).fault
    assert fault is not None
    assert (fault.kind, fault.seq) == ("cut", 3)
    warned: list[str] = []
    made = book(warn=warned.append)
    write(made, "four")
    assert "records 3 to 3 are missing" in warned[0]
    fault = verify(tmp_path / FOLDER).fault
    assert fault is not None
    assert fault.seq == 3, "the new record 3 tells of it"
    assert verify(tmp_path / FOLDER, start=4).fault is None


def test_a_missing_head_is_no_way_to_hide_a_cut(book: Made, tmp_path: Path) -> None:
    write(book(), "one", "two")
    (tmp_path / FOLDER / HEAD).unlink()
    fault = verify(tmp_path / FOLDER).fault
    assert fault is not None
    assert fault.kind == "cut"
    book()
    assert told(tmp_path)[-1] == "audit-damage"


def test_a_remembered_head_shows_another_log(book: Made, tmp_path: Path) -> None:
    made = book()
    write(made, "one", "two")
    remembered = made.head
    write(made, "three")
    assert verify(tmp_path / FOLDER, remembered).fault is None, "it has grown since"
    for path in (tmp_path / FOLDER).iterdir():
        path.unlink()
    write(book(), "one", "other", "three")
    assert verify(tmp_path / FOLDER).fault is None, "another log, good in itself"
    fault = verify(tmp_path / FOLDER, remembered).fault
    assert fault is not None
    assert (fault.kind, fault.seq) == ("changed", 2)
    fault = verify(tmp_path / FOLDER, Link(9, "ab" * 32)).fault
    assert fault is not None
    assert (fault.kind, fault.seq) == ("cut", 9)


def test_a_disk_that_refuses_is_told_and_counted(book: Made, tmp_path: Path) -> None:
    warned: list[str] = []
    made = book(warn=warned.append)
    write(made, "one")
    kept, made._file = made._file, os.open("/dev/full", os.O_WRONLY)
    write(made, "two", "three")
    os.close(made._file)
    made._file = kept
    write(made, "four")
    assert told(tmp_path) == ["one", "audit-loss", "four"]
    assert list(records(tmp_path / FOLDER))[1]["object"] == {"lost": 2}
    assert verify(tmp_path / FOLDER).fault is None
    assert ["cannot be written" in warned[0], "2 records are lost" in warned[-1]] == [True, True]
    assert (made.lost, len(warned)) == (2, 2)


async def test_many_at_once_each_durable_when_told(book: Made, tmp_path: Path) -> None:
    made = book()

    async def one(number: int) -> None:
        await made.put(of_program(f"act-{number}"))
        assert f"act-{number}" in told(tmp_path)

    async with anyio.create_task_group() as group:
        for number in range(30):
            group.start_soon(one, number)
    assert verify(tmp_path / FOLDER).records == 30
    assert verify(tmp_path / FOLDER).fault is None


async def test_what_is_noted_is_written_soon(book: Made, tmp_path: Path) -> None:
    made = book()
    async with anyio.create_task_group() as group:
        group.start_soon(made.live)
        made.note(of_program("noted"))
        with anyio.fail_after(LIMIT_S):
            while told(tmp_path) != ["noted"]:
                await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()


WRITER = """
import sys
from pathlib import Path
from fustor_core.acts import Book
from fustor_core.acts.book import of_program
book = Book(Path(sys.argv[1]), rotate_bytes=20_000)
book.open()
number = 0
while True:
    number += 1
    book.note(of_program("act", number=number, filler="x" * 150))
    book.write()
    print(book.head.seq, book.head.hash, flush=True)
"""


@pytest.mark.long
def test_killed_in_the_middle_of_writing(tmp_path: Path) -> None:
    """Whatever was told is there after a kill, and what is not whole is repaired."""
    for turn in range(12):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        try:
            line = [process.stdout.readline() for _ in range(3 + 7 * turn)][-1]
            os.kill(process.pid, signal.SIGKILL)
            for later in process.stdout:
                line = later if later.endswith("\n") else line
        finally:
            process.kill()
            process.wait(LIMIT_S)
        seq, digest = line.split()
        after = Book(tmp_path)
        after.open()
        after.close()
        found = verify(tmp_path / FOLDER, Link(int(seq), digest))
        assert found.fault is None, (turn, found)
        assert found.head.seq >= int(seq)
