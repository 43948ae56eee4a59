"""A state directory exported and imported: nothing lost, nothing foreign let in, nothing half."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import zstandard

from fustor_core.errors import DamagedState, StateError, StateInUse
from fustor_core.state import StateDirectory
from fustor_core.state.archive import MANIFEST, export_state, import_state

LIMIT_S = 60.0


def content(home: Path) -> dict[str, bytes]:
    """Every file of a folder but locks and sockets."""
    return {
        str(path.relative_to(home)): path.read_bytes()
        for path in sorted(home.rglob("*"))
        if path.is_file() and path.name != "lock"
    }


@pytest.fixture
def home(tmp_path: Path) -> Path:
    made = tmp_path / "home"
    StateDirectory(made).prepare(version="1")
    with StateDirectory(made).lock("test"):
        StateDirectory(made).agent_identity()
    packs = made / "fusion" / "views" / "v" / "packs"
    packs.mkdir(parents=True)
    (packs / "a b").write_bytes(random.Random(1).randbytes(3_000_000))
    (packs / "empty").write_bytes(b"")
    (made / "conf.d").mkdir()
    (made / "conf.d" / "über.yaml").write_text("version: 1\n")
    return made


@pytest.fixture
def archive(home: Path, tmp_path: Path) -> Path:
    export_state(home, tmp_path / "state.fustor")
    return tmp_path / "state.fustor"


def test_all_comes_back(home: Path, archive: Path, tmp_path: Path) -> None:
    read: list[int] = []
    again = tmp_path / "x" / "again"
    contents = import_state(archive, again, read.append)
    assert content(again) == content(home)
    assert contents.files == len(content(home))
    assert sum(read) == contents.bytes == sum(map(len, content(home).values()))
    assert archive.stat().st_mode & 0o777 == 0o600
    assert again.stat().st_mode & 0o777 == 0o700
    assert not list(tmp_path.glob(".*"))


def test_what_is_no_state_is_left_out(home: Path, tmp_path: Path) -> None:
    (home / "mine.txt").write_text("x")
    (home / "fusion" / ".x.new").write_text("half")
    with socket.socket(socket.AF_UNIX) as one:
        os.chdir(home / "fusion")
        one.bind("api.sock")
        os.chdir("/")
    export_state(home, tmp_path / "a")
    import_state(tmp_path / "a", tmp_path / "again")
    assert "mine.txt" not in content(tmp_path / "again")
    assert not (tmp_path / "again" / "fusion" / ".x.new").exists()
    assert not (tmp_path / "again" / "fusion" / "api.sock").exists()


def test_nothing_is_overwritten(home: Path, archive: Path) -> None:
    before = content(home)
    with pytest.raises(StateError, match="there already"):
        export_state(home, archive)
    with pytest.raises(StateError, match="not empty"):
        import_state(archive, home)
    assert content(home) == before
    with pytest.raises(StateError, match="lies in what is exported"):
        export_state(home, home / "fusion" / "x")


def test_no_export_while_something_runs(home: Path, tmp_path: Path) -> None:
    with StateDirectory(home).lock("up"), pytest.raises(StateInUse):
        export_state(home, tmp_path / "a")
    assert not (tmp_path / "a").exists()
    with pytest.raises(StateError, match="is no state directory"):
        export_state(tmp_path, tmp_path / "a")


def test_damage_is_found_and_nothing_is_left(home: Path, archive: Path, tmp_path: Path) -> None:
    whole = archive.read_bytes()
    draw = random.Random(7)
    found = 0
    for _ in range(30):
        bad = bytearray(whole)
        at = draw.randrange(len(bad))
        bad[at] ^= 1 << draw.randrange(8)
        archive.write_bytes(bad)
        try:
            import_state(archive, tmp_path / "again")
        except DamagedState:
            found += 1
            assert not (tmp_path / "again").exists()
        else:  # a bit of a header that says nothing about the content
            assert content(tmp_path / "again") == content(home)
            shutil.rmtree(tmp_path / "again")
    assert found > 20


@pytest.mark.parametrize("length", [0, 10, 100_000, -1])
def test_an_archive_that_was_cut_off(archive: Path, tmp_path: Path, length: int) -> None:
    archive.write_bytes(archive.read_bytes()[:length])
    with pytest.raises(DamagedState):
        import_state(archive, tmp_path / "again")
    assert not (tmp_path / "again").exists()


def packed(path: Path, members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    made = io.BytesIO()
    with tarfile.open(mode="w", fileobj=made) as tar:
        for member, data in members:
            member.size = len(data) if member.isreg() else 0
            tar.addfile(member, io.BytesIO(data))
    path.write_bytes(zstandard.compress(made.getvalue()))


def link(name: str, target: str) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = tarfile.SYMTYPE, target
    return made


@pytest.mark.parametrize(
    "member",
    [
        tarfile.TarInfo("../evil"),
        tarfile.TarInfo("/etc/evil"),
        tarfile.TarInfo("fusion/../../evil"),
        tarfile.TarInfo("evil"),
        link("fusion/views", "/etc"),
    ],
    ids=lambda member: member.name,
)
def test_what_does_not_belong_is_not_written(tmp_path: Path, member: tarfile.TarInfo) -> None:
    listed = json.dumps({"format.json": [0, ""]}).encode()
    packed(tmp_path / "a", [(member, b"x"), (tarfile.TarInfo(MANIFEST), listed)])
    with pytest.raises(DamagedState, match="does not belong"):
        import_state(tmp_path / "a", tmp_path / "h" / "again")
    assert not list((tmp_path / "h").iterdir())
    assert not (tmp_path / "evil").exists()


@pytest.mark.long
def test_a_view_survives_the_way(tmp_path: Path) -> None:
    root, first, second = tmp_path / "data", tmp_path / "one", tmp_path / "two"
    (root / "in").mkdir(parents=True)
    (root / "in" / "file").write_text("x")

    def fustor(home: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "fustor_core", "--home", str(home), *words]
        return subprocess.run(command, capture_output=True, timeout=LIMIT_S, check=False)

    def served(home: Path) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "fustor_core", "--home", str(home), "up", str(root)]
        made = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        assert fustor(home, "status", "--wait", "--timeout", "50s").returncode == 0
        return made

    program = served(first)
    try:
        in_use = fustor(first, "state", "export", str(tmp_path / "a"))
        assert in_use.returncode == 8, in_use
    finally:
        fustor(first, "stop")
        program.wait(LIMIT_S)
    done = fustor(first, "state", "export", str(tmp_path / "a"), "--json")
    assert json.loads(done.stdout)["files"] > 3
    assert fustor(second, "state", "import", str(tmp_path / "a")).returncode == 0
    (root / "in").rename(tmp_path / "elsewhere")  # what it answers now comes from the archive alone
    (tmp_path / "b").write_bytes((tmp_path / "a").read_bytes()[:-9])
    assert fustor(tmp_path / "three", "state", "import", str(tmp_path / "b")).returncode == 9
    program = served(second)
    try:
        told = json.loads(fustor(second, "view", "list", "--json").stdout)
        assert [view["view"] for view in told["views"]] == ["data"]
        status = json.loads(fustor(second, "status", "--json").stdout)
        before = json.loads((first / "agent" / "agent.id").read_text())["id"]
        assert {pipe["agent"] for pipe in status["pipes"]} == {before}
    finally:
        fustor(second, "stop")
        program.wait(LIMIT_S)
