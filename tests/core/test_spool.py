"""What a stopped pipe leaves to its next start."""

from __future__ import annotations

from pathlib import Path

import pytest

from fustor_core.claims import Key, Origin, Owe, Owed, Stamp
from fustor_core.spool import NOTHING, Left, Spool

ONE = Owe(
    dir=Key(0, 7, 7), deep=True, reason="x", stamp=Stamp(1, 1, 0, "s"), origin=Origin.REALTIME
)
OWED = Owed(Key(0, 7, 7), b"", True)
EVERYTHING = Left(everything=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool" / "p.owed"


def test_a_first_start_finds_nothing(path: Path) -> None:
    assert Spool(path).begin() == NOTHING


def test_a_stop_that_could_send_everything_leaves_nothing(path: Path) -> None:
    spool = Spool(path)
    spool.end([], spool.begin())
    assert not path.exists()
    assert Spool(path).begin() == NOTHING


def test_a_process_that_was_killed_leaves_everything(path: Path) -> None:
    Spool(path).begin()
    assert Spool(path).begin() == EVERYTHING


def test_a_stop_leaves_the_directories_that_it_could_not_send(path: Path) -> None:
    spool = Spool(path)
    spool.end([ONE], spool.begin())
    assert Spool(path).begin() == Left(owed=(OWED,))
    assert Spool(path).begin() == EVERYTHING, "killed before it could say so"


def test_what_was_never_told_is_left_again(path: Path) -> None:
    before = Left(owed=(Owed(Key(0, 8, 8), b"/b"),))
    spool = Spool(path)
    spool.begin()
    spool.end([ONE], before)
    assert Spool(path).begin() == Left(owed=(*before.owed, OWED))
    spool.end([ONE], EVERYTHING)
    assert Spool(path).begin() == EVERYTHING


def test_it_is_private(path: Path) -> None:
    spool = Spool(path)
    spool.end([ONE], spool.begin())
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [one.name for one in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("harm", ["cut", "flip", "empty", "garbage", "long"])
def test_a_file_that_was_harmed_owes_everything(path: Path, harm: str) -> None:
    spool = Spool(path)
    spool.end([ONE], spool.begin())
    data = path.read_bytes()
    harmed = {
        "cut": data[:-3],
        "flip": data[:-1] + bytes([data[-1] ^ 1]),
        "empty": b"",
        "garbage": b"\xff" * 200,
        "long": data + b"\0" * (5 << 20),
    }
    path.write_bytes(harmed[harm])
    assert Spool(path).begin() == EVERYTHING


def test_without_a_place_nothing_is_kept() -> None:
    spool = Spool(None)
    assert spool.begin() == NOTHING
    spool.end([ONE], NOTHING)
    assert spool.begin() == NOTHING
