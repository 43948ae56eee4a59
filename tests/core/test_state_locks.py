"""Locks and sockets of the state directory, with real processes."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest

from fustor_core.errors import StateError, StateInUse
from fustor_core.state import StateDirectory, bind_socket, connect_socket, socket_address
from fustor_core.state.sockets import ADDRESS_BYTES_MAX

HOLD = """
import os, sys
from pathlib import Path
from fustor_core.state import StateDirectory
held = StateDirectory(Path(sys.argv[1])).lock("up", sys.argv[2].split(","))
if len(sys.argv) > 3:
    pid = os.fork()
    if pid:
        os.write(1, b"%d\\n" % pid)
        os._exit(0)
os.write(1, b"held\\n")
sys.stdin.read()
held.close()
"""


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    found = StateDirectory(tmp_path / "home")
    found.prepare(version="1")
    return found


@contextmanager
def holder(state: StateDirectory, parts: str = "agent,fusion") -> Iterator[subprocess.Popen[bytes]]:
    """Another process that holds the locks until its standard input ends."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(state.home), parts],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        yield child
        child.kill()


def test_a_lock_names_its_holder(state: StateDirectory) -> None:
    assert state.holder("fusion") is None
    with state.lock("run"):
        found = state.holder("fusion")
        assert found is not None
        assert (found.pid, found.role) == (os.getpid(), "run")
        assert datetime.fromisoformat(found.started_at).tzinfo is not None
        path = state.fusion / "lock"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert state.holder("fusion") is None
    assert state.holder("agent") is None


def test_a_second_process_is_told_whose_it_is_and_the_two_ways_out(state: StateDirectory) -> None:
    with holder(state) as child:
        with pytest.raises(StateInUse) as caught:
            state.lock("up")
        error = caught.value
        assert error.pid == child.pid
        assert str(child.pid) in error.message
        assert str(state.home) in error.message
        assert "stop" in error.remedy
        assert "--home DIR" in error.remedy
        found = state.holder("agent")
        assert found is not None
        assert found.pid == child.pid
        assert child.stdin is not None
        child.stdin.close()
        child.wait()
        with state.lock("up"):
            pass


def test_all_locks_or_none(state: StateDirectory) -> None:
    with holder(state, "fusion"):
        with pytest.raises(StateInUse):
            state.lock("up", ("agent", "fusion"))
        assert state.holder("agent") is None
        with state.lock("agent", ("agent",)):
            assert state.holder("agent") is not None


def test_the_lock_of_a_killed_process_is_taken_over(state: StateDirectory) -> None:
    with holder(state) as child:
        child.send_signal(signal.SIGKILL)
        with state.lock("up"):
            found = state.holder("fusion")
            assert found is not None
            assert found.pid == os.getpid()
    assert (state.fusion / "lock").read_bytes() == b""


def test_a_lock_that_a_child_of_a_dead_process_holds_is_held(state: StateDirectory) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(state.home), "fusion", "fork"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        said = {child.stdout.readline(), child.stdout.readline()}
        survivor = int((said - {b"held\n"}).pop())
        child.wait()
        with pytest.raises(StateInUse, match="which has ended"):
            state.lock("up", ("fusion",))
        os.kill(survivor, signal.SIGKILL)
    with state.lock("up", ("fusion",)):
        pass


def test_looking_does_not_disturb_taking(state: StateDirectory) -> None:
    """Many lookers at the lock: whoever takes it always gets it."""
    code = """
import sys
from pathlib import Path
from fustor_core.state import StateDirectory
state = StateDirectory(Path(sys.argv[1]))
print(flush=True)
while True:
    state.holder("fusion")
"""
    command = [sys.executable, "-c", code, str(state.home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        for _ in range(100):
            with state.lock("up", ("fusion",)):
                pass
        child.kill()


def test_a_lock_file_of_nonsense_is_no_obstacle(state: StateDirectory) -> None:
    for content in (b"\xff", b"{}", b'{"pid": "x", "role": 1, "started_at": 2}', b"[1]"):
        (state.fusion / "lock").write_bytes(content)
        with state.lock("up"):
            pass


def test_a_lock_without_its_folder(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="No such file"):
        StateDirectory(tmp_path / "nowhere").lock("up")


def deep(tmp_path: Path, length: int) -> Path:
    """A folder in which ``api.sock`` has a path of exactly `length` bytes."""
    missing = length - len(os.fsencode(tmp_path)) - len("/api.sock")
    folder = tmp_path
    while missing:
        # A part takes at least two bytes with its slash, at most 101.
        take = missing if missing <= 101 else min(100, missing - 2)
        folder = folder / ("d" * (take - 1))
        missing -= take
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.mark.parametrize("length", [ADDRESS_BYTES_MAX, ADDRESS_BYTES_MAX + 1, 900])
def test_a_socket_at_a_path_of_any_length(tmp_path: Path, length: int) -> None:
    path = deep(tmp_path, length) / "api.sock"
    assert len(os.fsencode(path)) == length
    for _ in range(2):  # the second replaces what the first left behind
        with bind_socket(path) as bound:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            with pytest.raises(ConnectionRefusedError):
                connect_socket(path)
            bound.listen()
            with connect_socket(path, 5.0) as client:
                client.sendall(b"hello")
                accepted, _ = bound.accept()
                with accepted:
                    assert accepted.recv(5) == b"hello"


def test_the_short_address_lives_as_long_as_its_block(tmp_path: Path) -> None:
    path = deep(tmp_path, 300) / "api.sock"
    with bind_socket(path) as bound, socket_address(path) as address:
        bound.listen()
        assert len(os.fsencode(address)) <= ADDRESS_BYTES_MAX
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(address)
    assert not os.path.exists(address)


def test_what_is_no_socket_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    path.write_text("precious")
    with pytest.raises(StateError, match="stands in the way"):
        bind_socket(path)
    assert path.read_text() == "precious"


def test_a_socket_in_a_folder_that_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "x" / "api.sock", tmp_path / ("x" * 200) / "api.sock"):
        with pytest.raises(StateError, match="No such file"):
            bind_socket(path)
        with pytest.raises(FileNotFoundError):
            connect_socket(path)
