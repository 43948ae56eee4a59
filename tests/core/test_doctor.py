"""What the doctor says of mounts and ports."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from fustor_core import doctor
from fustor_core.files import mounting
from fustor_core.files.mounting import Mounted


def pipe(root: Path | str) -> dict[str, str]:
    return {"id": "p", "source": f"fs:{root}"}


def test_a_local_mount_is_well(tmp_path: Path) -> None:
    (found,) = doctor.mounts([pipe(tmp_path)])
    assert found.ok
    assert found.name == "mount of p"
    assert str(tmp_path) in found.found
    assert list(doctor.mounts([{"id": "driven", "source": "rooms:house"}])) == []


@pytest.mark.parametrize(("options", "ok"), [("rw,actimeo=3", True), ("rw,acregmax=600", False)])
def test_a_mount_that_remembers_for_long_is_amiss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: str, ok: bool
) -> None:
    mount = Mounted("server:/data", "nfs4", options)
    monkeypatch.setattr(doctor, "mounted_at", lambda fd: mount)
    (found,) = doctor.mounts([pipe(tmp_path)])
    assert found.ok is ok
    assert f"up to {mounting.caching(mount).bound_us // 10**6} s old" in found.found
    assert "remount,actimeo=3" in found.remedy


def test_a_root_that_is_gone_is_amiss(tmp_path: Path) -> None:
    (found,) = doctor.mounts([pipe(tmp_path / "gone")])
    assert not found.ok
    assert "gone" in found.found


def test_a_port_that_is_held_is_told_and_no_fault() -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        number = held.getsockname()[1]
        taken = doctor.port(number)
        assert taken.ok
        assert "--listen" in taken.found


def test_it_says_by_what_pipes_watch_and_why() -> None:
    told = [
        {"id": "a", "watched_by": "fanotify", "watched_why": "", "watched_dirs": 1200},
        {"id": "b", "watched_by": "inotify", "watched_why": "not root", "watched_dirs": 7},
        {"id": "c", "watched_by": "", "watched_why": "`watch: off` is set"},
        {"id": "d", "watched_by": None},
    ]
    found = {check.name: check for check in doctor.watching(told)}
    assert list(found) == ["watching of a", "watching of b", "watching of c"]
    assert found["watching of a"].found == "fanotify, one mark for 1,200 directories"
    assert found["watching of b"].found == "inotify, a watch for each of 7 directories; not root"
    assert "scans alone; `watch: off` is set" in found["watching of c"].found
    assert all(check.ok for check in found.values())


def test_it_says_whether_a_file_system_can_be_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "refused", lambda fd: ("", ""))
    assert doctor.marks(tmp_path).found == f"can be used at {tmp_path}"
    monkeypatch.setattr(doctor, "refused", lambda fd: ("it is remote", "use inotify there"))
    found = doctor.marks(tmp_path)
    assert found.ok
    assert found.found == f"cannot be used at {tmp_path}: it is remote; use inotify there"
    assert doctor.marks(tmp_path / "gone").ok
