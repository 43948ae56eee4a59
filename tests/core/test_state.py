"""The state directory: its place, its format, its permissions, the agent's id."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from fustor_core.errors import StateError
from fustor_core.state import StateDirectory, is_inside, mount_of, resolve_home, write_atomic
from fustor_core.state.mounts import Mount, parse_mountinfo

VERSION = "1.2.3"


def modes(home: Path) -> dict[str, int]:
    paths = [home, *home.rglob("*")]
    return {str(p.relative_to(home)): stat.S_IMODE(p.lstat().st_mode) for p in paths}


@pytest.mark.parametrize(
    ("option", "environ", "expected"),
    [
        ("/a", {"FUSTOR_HOME": "/b", "XDG_STATE_HOME": "/c"}, "/a"),
        ("rel/x", {}, "{cwd}/rel/x"),
        (None, {"FUSTOR_HOME": "/b/../c/", "XDG_STATE_HOME": "/x"}, "/c"),
        (None, {"FUSTOR_HOME": "rel"}, "{cwd}/rel"),
        (None, {"XDG_STATE_HOME": "/c", "HOME": "/h"}, "/c/fustor"),
        (None, {"XDG_STATE_HOME": "not/absolute", "HOME": "/h"}, "/h/.local/state/fustor"),
        (None, {"FUSTOR_HOME": "", "HOME": "/h"}, "/h/.local/state/fustor"),
    ],
)  # fmt: skip
def test_where_home_is(option: str | None, environ: dict[str, str], expected: str) -> None:
    assert resolve_home(option, environ) == Path(expected.format(cwd=os.getcwd()))


def test_home_without_any_variable_is_the_users() -> None:
    assert resolve_home(None, {}) == Path("~/.local/state/fustor").expanduser()


def test_prepare_makes_private_folders_once(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "deep" / "home")
    old = os.umask(0)
    try:
        state.prepare(version=VERSION)
    finally:
        os.umask(old)
    assert modes(state.home) == {
        ".": 0o700,
        "agent": 0o700,
        "fusion": 0o700,
        "fusion/views": 0o700,
        "format.json": 0o600,
    }
    assert modes(tmp_path)["deep"] == 0o700
    content = json.loads((state.home / "format.json").read_text())
    assert content == {"format": 1, "written_by": VERSION}
    before = (state.home / "format.json").stat().st_mtime_ns
    state.prepare(version="9.9")
    assert (state.home / "format.json").stat().st_mtime_ns == before


@pytest.mark.parametrize("stranger", [False, True])
def test_a_home_of_our_own_is_tightened_a_shared_one_is_not(tmp_path: Path, stranger: bool) -> None:
    home = tmp_path / "home"
    (home / "conf.d").mkdir(parents=True)
    (home / "agent").mkdir(mode=0o755)
    home.chmod(0o755)
    if stranger:
        (home / "something").write_text("")
    for _ in range(2):
        StateDirectory(home).prepare(version=VERSION)
        assert modes(home)["."] == (0o755 if stranger else 0o700)
        assert modes(home)["agent"] == modes(home)["fusion"] == 0o700


def test_a_newer_format_is_refused_and_nothing_touched(tmp_path: Path) -> None:
    (tmp_path / "format.json").write_text('{"format": 2, "written_by": "7.0"}')
    with pytest.raises(StateError, match=r"format 2, written by Fustor 7\.0") as caught:
        StateDirectory(tmp_path).prepare(version=VERSION)
    assert "--home" in caught.value.remedy
    assert os.listdir(tmp_path) == ["format.json"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": "1"}', '{"format": true}', "{}"])
def test_an_unreadable_format_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "format.json").write_text(content)
    with pytest.raises(StateError, match="not readable") as caught:
        StateDirectory(tmp_path).prepare(version=VERSION)
    assert caught.value.remedy
    assert os.listdir(tmp_path) == ["format.json"]


def test_a_home_that_is_a_file_or_below_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for home in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StateError, match="Not a directory") as caught:
            StateDirectory(home).prepare(version=VERSION)
        assert "FUSTOR_HOME" in caught.value.remedy


def test_a_home_that_is_a_dangling_link(tmp_path: Path) -> None:
    (tmp_path / "home").symlink_to(tmp_path / "nowhere")
    with pytest.raises(StateError, match="No such file"):
        StateDirectory(tmp_path / "home").prepare(version=VERSION)


PREPARE = """
import sys
import tempfile
from pathlib import Path
from fustor_core.errors import StateError
from fustor_core.state import StateDirectory
try:
    StateDirectory(Path(sys.argv[1])).prepare(version="1")
except StateError as error:
    print(error.message, "|", error.remedy)
"""


def powerless() -> list[str]:
    """A prefix that takes root's power over permissions away from a command."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("running as root without setpriv: permissions would not bind")
    taken = "-dac_override,-dac_read_search,-fowner"
    return ["setpriv", f"--bounding-set={taken}", f"--inh-caps={taken}"]


@pytest.mark.parametrize("mode", [0o000, 0o500])
def test_a_place_that_may_not_be_written(tmp_path: Path, mode: int) -> None:
    place = tmp_path / "locked"
    place.mkdir()
    place.chmod(mode)
    command = [*powerless(), sys.executable, "-c", PREPARE, str(place / "home")]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    place.chmod(0o700)
    assert "Permission denied" in said
    assert "--home DIR" in said
    assert os.listdir(place) == []


def test_a_home_of_another_user_is_refused() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make a directory of another user")
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to others
        os.chown(name, 12345, 12345)
        os.chmod(name, 0o777)
        code = PREPARE.replace("try:", "import os; os.seteuid(12346)\ntry:")
        command = [sys.executable, "-c", code, name]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert "belongs to another user" in said
        assert os.listdir(name) == []


def mountinfo_saying(tmp_path: Path, kind: str) -> Path:
    """The kernel's table with the mount of `tmp_path` as another type of file system."""
    fd = os.open(tmp_path, os.O_PATH)
    facts = Path(f"/proc/self/fdinfo/{fd}").read_text()
    os.close(fd)
    number = dict(line.split(":\t") for line in facts.splitlines())["mnt_id"].strip()
    table = tmp_path / "mountinfo"
    table.write_text(f"{number} 1 0:50 / /mnt/a\\040b rw shared:7 - {kind} server:/export rw\n")
    return table


@pytest.mark.parametrize(
    "kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "lustre", "fuse.sshfs"]
)
def test_a_network_file_system_is_refused(tmp_path: Path, kind: str) -> None:
    table = mountinfo_saying(tmp_path, kind)
    with pytest.raises(StateError, match="network file system") as caught:
        StateDirectory(tmp_path / "a" / "b").prepare(version=VERSION, mountinfo=table)
    assert kind in caught.value.message
    assert "server:/export at /mnt/a b" in caught.value.message
    assert "--home" in caught.value.remedy
    assert "FUSTOR_HOME" in caught.value.remedy
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs", "overlay", "fuse.mergerfs"])
def test_a_local_file_system_is_taken(tmp_path: Path, kind: str) -> None:
    table = mountinfo_saying(tmp_path, kind)
    StateDirectory(tmp_path / "a" / "b").prepare(version=VERSION, mountinfo=table)


def test_without_a_mount_table_the_place_is_taken(tmp_path: Path) -> None:
    assert mount_of(tmp_path, tmp_path / "nowhere") is None


def test_the_kernel_tells_the_mount_of_a_path(tmp_path: Path) -> None:
    real = mount_of(tmp_path / "not" / "there" / "yet")
    assert real is not None
    assert is_inside(Path(real.point), tmp_path)
    proc = mount_of(Path("/proc/self"))
    assert proc is not None
    assert proc.type == "proc"


def test_mountinfo_lines() -> None:
    text = (
        "36 35 98:0 /mnt1 /mnt\\0112 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n"
        "37 35 0:50 / /n rw - nfs4 host:/x\\040y rw\n"
        "nonsense\n\n38 35 0:1 / /x rw\n"
    )
    assert parse_mountinfo(text) == {
        36: Mount("/mnt\t2", "ext3", "/dev/root"),
        37: Mount("/n", "nfs4", "host:/x y"),
    }


@pytest.mark.parametrize(
    ("outer", "inner", "inside"),
    [
        ("/data", "/data", True),
        ("/data", "/data/x", True),
        ("/data/", "/data/x/y", True),
        ("/", "/anything", True),
        ("/", "/", True),
        ("/data", "/data2", False),
        ("/data/x", "/data", False),
        ("/a//b", "/a/b/c", True),
        (b"/\xff", b"/\xff/home", True),
        (b"/\xff", b"/\xfe/home", False),
    ],
)
def test_inside_by_parts(outer: str | bytes, inner: str | bytes, inside: bool) -> None:
    left = Path(outer) if isinstance(outer, str) else outer
    right = Path(inner) if isinstance(inner, str) else inner
    assert is_inside(left, right) is inside


def test_inside_wants_absolute_paths() -> None:
    with pytest.raises(ValueError, match="not an absolute path"):
        is_inside(Path("a"), Path("/a/b"))


def test_write_atomic_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    old = os.umask(0o277)
    try:
        write_atomic(path, b"one" * 100_000)
        write_atomic(path, b"two", mode=0o640)
    finally:
        os.umask(old)
    assert path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["file"]


def test_write_atomic_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    with pytest.raises(OSError, match="folder"):
        write_atomic(path, b"data")
    assert os.listdir(tmp_path) == ["folder"]


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    found = StateDirectory(tmp_path / "home")
    found.prepare(version=VERSION)
    return found


def machine(tmp_path: Path, digit: str) -> Path:
    path = tmp_path / f"machine-{digit}"
    path.write_text(digit * 32 + "\n")
    return path


def test_the_agent_id_is_made_once(tmp_path: Path, state: StateDirectory) -> None:
    first = state.agent_identity(machine_id=machine(tmp_path, "a"))
    assert first.replaces is None
    assert state.agent_identity(machine_id=machine(tmp_path, "a")) == first
    path = state.agent / "agent.id"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "a" * 32 not in path.read_text(), "a machine id is not to be spread"
    assert 0 < len(first.id) <= 64
    assert first.id[0].isalnum()


def test_a_copied_directory_gets_another_id(tmp_path: Path, state: StateDirectory) -> None:
    first = state.agent_identity(machine_id=machine(tmp_path, "a"))
    second = state.agent_identity(machine_id=machine(tmp_path, "b"))
    assert second.id != first.id
    assert second.replaces == first.id
    again = state.agent_identity(machine_id=machine(tmp_path, "b"))
    assert (again.id, again.replaces) == (second.id, None)


@pytest.mark.parametrize("content", [None, "", "uninitialized\n"])
def test_a_machine_without_an_id_keeps_the_agents(
    tmp_path: Path, state: StateDirectory, content: str | None
) -> None:
    nameless = tmp_path / "nameless"
    if content is not None:
        nameless.write_text(content)
    first = state.agent_identity(machine_id=nameless)
    assert state.agent_identity(machine_id=nameless) == first
    assert state.agent_identity(machine_id=machine(tmp_path, "a")) == first


@pytest.mark.parametrize("content", ["", "x", "[1]", "{}"])
def test_an_unreadable_agent_id_is_made_anew(
    tmp_path: Path, state: StateDirectory, content: str
) -> None:
    (state.agent / "agent.id").write_text(content)
    made = state.agent_identity(machine_id=machine(tmp_path, "a"))
    assert made.replaces is None
    assert state.agent_identity(machine_id=machine(tmp_path, "a")) == made
