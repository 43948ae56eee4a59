"""Compiled code for directories is used when it fits; what it leaves is done as ever."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import pytest

from fustor_core import doctor
from fustor_core.claims import Key, Origin
from fustor_core.contracts import boottime_us
from fustor_core.files import listing
from fustor_core.files.compiled import FORMAT, GROUP, Answer, Compiled, Read, chosen
from fustor_core.files.exclusion import Exclusion
from fustor_core.files.identity import Prober, Spot
from fustor_core.files.listing import OPEN, Lister, Reading, Stopped, row_of
from fustor_core.files.rooted import RootProof


def _nothing(fd: int, stopped: Callable[[], bool]) -> Answer | None:
    return None


def _stores(names: bytes, rows: bytes) -> bool:
    return False


def _adds_up(rows: bytes, before_ns: int) -> None:
    return None


@pytest.fixture
def brought(monkeypatch: pytest.MonkeyPatch) -> EntryPoint:
    module = ModuleType("zz_looks")
    vars(module).update(FORMAT=FORMAT, read=_nothing, stores=_stores, adds_up=_adds_up)
    monkeypatch.setitem(sys.modules, "zz_looks", module)
    return EntryPoint("zz", "zz_looks", GROUP)


def test_none_is_no_fault() -> None:
    assert chosen([]) == Compiled()
    assert not Compiled().fault
    assert doctor.looks(Compiled()).ok
    assert doctor.looks(Compiled()).found == "not installed"


def test_one_that_fits_is_used(brought: EntryPoint) -> None:
    found = chosen([brought])
    assert found == Compiled(_nothing, "zz_looks", _stores, _adds_up)
    assert doctor.looks(found).ok
    assert doctor.looks(found).found == "zz_looks"


def test_of_two_none_is_used(brought: EntryPoint) -> None:
    found = chosen([brought, EntryPoint("yy", "yy_looks", GROUP)])
    assert found == Compiled(None, "one too many: zz_looks, yy_looks")
    assert not doctor.looks(found).ok


@pytest.mark.parametrize("value", ["zz_not_there", "zz_looks:absent", "no module at all"])
def test_one_that_cannot_be_loaded_is_not_used(brought: EntryPoint, value: str) -> None:
    found = chosen([EntryPoint("zz", value, GROUP)])
    assert found.read is None
    check = doctor.looks(found)
    assert not check.ok
    assert f"{value} cannot be loaded" in check.found
    assert check.remedy


@pytest.mark.parametrize("lacking", ["read", "stores", "adds_up"])
def test_one_that_lacks_something_is_not_used(brought: EntryPoint, lacking: str) -> None:
    del vars(sys.modules["zz_looks"])[lacking]
    found = chosen([brought])
    assert found.fault
    assert found[2:] == (None, None)
    assert f"has no attribute '{lacking}'" in found.told


@pytest.mark.parametrize("other", [FORMAT + 1, None])
def test_one_of_another_format_is_not_used(brought: EntryPoint, other: int | None) -> None:
    vars(sys.modules["zz_looks"]).update(FORMAT=other)
    found = chosen([brought])
    assert found.fault
    assert found.told == f"zz_looks is of format {other}, this program of {FORMAT}"
    assert found[2:] == (None, None)


def _read(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    read: Read | None,
    *globs: str,
    stop: bool = False,
) -> Reading:
    monkeypatch.setattr(listing, "compiled", lambda: Compiled(read, "zz"))
    prober = Prober()
    lister = Lister(
        prober,
        Exclusion(globs),
        proof=RootProof(os.fsencode(folder)),
        cross=False,
        now_us=boottime_us,
        stopped=lambda: stop,
    )
    fd = os.open(folder, OPEN)
    try:
        seen = prober.sight(fd)
        spot = Spot(fd, Key(0, seen.ino, seen.birth_ns or 0), seen.dev, b"/", seen.ctime_ns)
        return lister.read(spot, Origin.SNAPSHOT, None, None)
    finally:
        os.close(fd)


def _answer(fd: int, stopped: Callable[[], bool]) -> Answer | None:
    """What it is to be, by single looks."""
    names = sorted(map(os.fsencode, os.listdir(fd)))
    prober = Prober()
    rows = b"".join(row_of(os.lstat(name, dir_fd=fd)) for name in names)
    looks = {name: prober.sight(fd, name) for name in names}
    return b"\0".join(names), rows, {n: tuple(s) for n, s in looks.items() if s.mode & 0x4000}


@pytest.mark.parametrize("globs", [(), ("*.tmp",), ("*",)])
def test_what_it_says_becomes_the_same_listing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, globs: tuple[str, ...]
) -> None:
    folder = tmp_path / "folder"
    for name in ("dir", "left.tmp"):
        (folder / name).mkdir(parents=True)
    for name in ("a", "b.tmp", "z"):
        (folder / name).touch()
    for place in (folder, folder / "dir"):
        usual = _read(monkeypatch, place, None, *globs)
        assert usual.listing.complete
        for read in (_answer, _nothing):
            other = _read(monkeypatch, place, read, *globs)
            assert other.kids == usual.kids
            assert (other.listing.names, other.listing.rows) == (
                usual.listing.names,
                usual.listing.rows,
            )


def test_one_that_ends_at_the_stop_sign_ends_the_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(Stopped):
        _read(monkeypatch, tmp_path, _nothing, stop=True)


def test_an_error_of_its_own_is_the_directorys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(fd: int, stopped: Callable[[], bool]) -> Answer | None:
        raise PermissionError(13, "no")

    found = _read(monkeypatch, tmp_path, failing).listing
    assert (found.complete, found.reason, found.errno) == (False, "permission", 13)
