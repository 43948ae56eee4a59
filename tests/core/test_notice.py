"""What a service listener hears, on a socket as systemd has one, from a program of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from fustor_core.notice import Notice

LIMIT_S = 60.0
WATCHDOG_US = 300_000


class Listener:
    """The listening end: a datagram socket, in the file system or abstract."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.line.bind("\0" + address[1:] if address.startswith("@") else address)
        self.line.settimeout(LIMIT_S)
        self.heard: list[str] = []

    def until(self, word: str) -> None:
        """Hear messages until one says this."""
        while word not in self.heard[-1:]:
            self.heard += self.line.recv(4096).decode().splitlines()[:1]


@pytest.fixture(params=["file", "abstract"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Listener]:
    abstract = f"@fustor-test-{os.getpid()}"
    made = Listener(abstract if request.param == "abstract" else str(tmp_path / "notify"))
    yield made
    made.line.close()


def test_ready_alive_reloading_and_stopping(listener: Listener, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    conf = tmp_path / "home" / "conf.d"
    conf.mkdir(parents=True)
    (tmp_path / "home").chmod(0o700)
    pipe = f"{{source: {{driver: fs, root: {tmp_path / 'data'}}}, sink: {{driver: view, view: d}}}}"
    (conf / "a.yaml").write_text(f"version: 1\npipes: {{d: {pipe}}}\nviews: {{d: {{}}}}\n")
    told = {"NOTIFY_SOCKET": listener.address, "WATCHDOG_USEC": str(WATCHDOG_US)}
    process = subprocess.Popen(
        [sys.executable, "-m", "fustor_core", "--home", str(tmp_path / "home"), "run", "--jsonl"],
        env={**os.environ, **told},
        stdout=subprocess.PIPE,
    )
    try:
        listener.until("READY=1")
        assert listener.heard == ["READY=1"], "nothing before it answers"
        assert (tmp_path / "home" / "fusion" / "api.sock").is_socket()
        for _ in range(3):
            listener.until("WATCHDOG=1")
            listener.heard.append("")
        process.send_signal(signal.SIGHUP)
        listener.until("RELOADING=1")
        listener.until("READY=1")
        process.send_signal(signal.SIGTERM)
        listener.until("STOPPING=1")
        process.communicate(timeout=LIMIT_S)
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()


async def test_nothing_is_told_before_it_serves(listener: Listener) -> None:
    listener.line.setblocking(False)
    serving, stopping = anyio.Event(), anyio.Event()
    notice = Notice({"NOTIFY_SOCKET": listener.address})
    async with anyio.create_task_group() as group:
        group.start_soon(notice.live, serving, stopping)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(BlockingIOError):
            listener.line.recv(4096)
        serving.set()
        await anyio.wait_all_tasks_blocked()
        assert listener.line.recv(4096) == b"READY=1"
        stopping.set()
    assert listener.line.recv(4096) == b"STOPPING=1"


def test_children_inherit_nothing(tmp_path: Path) -> None:
    environment = {"NOTIFY_SOCKET": str(tmp_path / "s"), "WATCHDOG_USEC": "1", "WATCHDOG_PID": "7"}
    notice = Notice(environment)
    assert environment == {}
    notice.tell("READY=1")  # nobody listens there: no matter


async def test_without_a_manager_nothing_is_told() -> None:
    notice = Notice({})
    await notice.live(anyio.Event(), anyio.Event())
    with notice.reloading():
        notice.tell("x")
