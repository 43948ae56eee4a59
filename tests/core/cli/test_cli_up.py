"""`up` and `run` in the foreground: what they refuse, what they show, how they end."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fustor_core.cli.display import Lines, Plain, choose, invocation, ready_lines, status_line
from fustor_core.cli.logged import Logged
from fustor_core.cli.screen import standard_screen

Fustor = Callable[..., Any]
EVENT = {"view": "data", "files": 1204, "dirs": 33, "bytes": 3 << 30, "seconds": 1.9,
         "files_per_s": 54_000.0, "unscanned": 0, "socket": "/s"}  # fmt: skip


# ------------------------------------------------------------------ what is refused


def test_up_needs_a_directory(fustor: Fustor) -> None:
    assert fustor("up").code == 2


@pytest.mark.parametrize("name", [b"nope", b"two words", b"\xff\n"])
def test_a_directory_that_is_not_there(fustor: Fustor, tmp_path: Path, name: bytes) -> None:
    done = fustor("up", os.fsencode(tmp_path) + b"/" + name)
    assert done.code == 2
    assert "does not exist" in done.err
    assert "remedy: " in done.err
    assert done.err.count("\n") == 2


def test_a_directory_of_nearly_that_name_is_suggested(fustor: Fustor, tmp_path: Path) -> None:
    (tmp_path / "projects").mkdir()
    assert str(tmp_path / "projects") in fustor("up", str(tmp_path / "project")).err


def test_a_file_and_a_dead_link(fustor: Fustor, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("nowhere")
    done = fustor("up", str(tmp_path / "file"))
    assert done.code == 2
    assert str(tmp_path) in done.err.splitlines()[1], "the remedy names the folder"
    dead = fustor("up", str(tmp_path / "link"), "--json")
    assert dead.code == 2
    assert "symbolic link to nothing" in dead.problem["detail"]


@pytest.mark.parametrize("mode", [0o000, 0o600, 0o300])
def test_a_directory_that_may_not_be_read(fustor: Fustor, tmp_path: Path, mode: int) -> None:
    if os.geteuid() == 0:
        for folder in (tmp_path, *tmp_path.parents[:-2]):
            folder.chmod(0o755)
    closed = tmp_path / "closed"
    closed.mkdir(mode=mode)
    assert fustor("up", "/no/such").code == 2  # what is imported late is there now
    if os.geteuid() == 0:
        os.chown(closed, 65534, 65534)
        os.seteuid(65534)
    try:
        done = fustor("up", str(closed))
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
        closed.chmod(0o700)
    assert done.code == 6
    assert "permission denied" in done.err


def test_directories_inside_each_other(fustor: Fustor, tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "aa").mkdir()
    (tmp_path / "way").symlink_to("a")
    outer, inner = str(tmp_path / "a"), str(tmp_path / "a" / "b")
    for first, second in ((outer, inner), (inner, outer), (str(tmp_path / "way"), inner)):
        done = fustor("up", first, second)
        assert done.code == 2
        assert "lies inside" in done.err
    same = fustor("up", outer, outer + "/")
    assert same.code == 2
    assert "the same directory" in same.err


def test_the_state_directory_itself(fustor: Fustor, home: Path, tmp_path: Path) -> None:
    (home / "fusion").mkdir(parents=True)
    (tmp_path / "way").symlink_to(home)
    for typed in (home, home / "fusion", tmp_path / "way"):
        done = fustor("up", str(typed))
        assert done.code == 2
        assert "--home" in done.err


@pytest.mark.parametrize(
    "options",
    [("--name", "Big Name"), ("--name", ""), ("--listen", "8102"), ("--listen", "x:y"),
     ("--listen", "h:99999")],
)  # fmt: skip
def test_options_that_make_no_sense(
    fustor: Fustor, tmp_path: Path, options: tuple[str, str]
) -> None:
    assert fustor("up", str(tmp_path), "--home", str(tmp_path / "s"), *options).code == 2


def test_a_name_is_for_one_directory(fustor: Fustor, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    assert fustor("up", str(tmp_path / "a"), str(tmp_path / "b"), "--name", "x").code == 2


# ------------------------------------------------------------------ what is shown


def test_ready_says_what_it_holds() -> None:
    assert ready_lines(EVENT) == [
        "ready: data",
        "1,204 files, 33 directories, 3.0 GiB in 1.9 s (54,000 files/s)",
    ]
    gaps = [{"path": "/a\n", "reason": "permission"}, {"path": "/s", "reason": "excluded"}]
    told = ready_lines(
        {
            **EVENT,
            "root": "/srv/data",
            "polled": 3000,
            "polled_reason": "the watch limit of 8192 is reached",
            "excluded": ["/s"],
            "unscanned": gaps,
            "url": "http://127.0.0.1:8102",
        }
    )
    assert told[0] == "ready: data = /srv/data"
    assert told[2:] == [
        "polled instead of watched: 3,000 directories: the watch limit of 8192 is reached",
        "left out: /s",
        r"not scanned: /a\n (permission denied)",
        "listens on http://127.0.0.1:8102",
    ]


def test_a_view_that_nobody_feeds_says_so() -> None:
    nothing = {"view": "data", "files": 0, "dirs": 0, "quality": {"as_of": None}}
    assert ready_lines(nothing) == [
        "ready: data",
        "holds nothing yet: it waits for the first agent",
    ]


def test_the_status_line_adds_the_views_up() -> None:
    assert status_line([EVENT]) == "live: 1,204 files, 3.0 GiB"
    both = [{**EVENT, "unscanned": 2, "changes_per_s": 41.0}, EVENT]
    assert status_line(both) == "live: 2 views, 2,408 files, 6.0 GiB, 41/s changes, 2 not scanned"


def test_pipes_stand_in_the_status_line_too() -> None:
    pipe = {"pipe": "p", "view": "v", "role": "leader", "flags": ["RUNNING", "MESSAGE_PHASE"]}
    assert status_line([], [pipe]) == "live: p → v: leader, RUNNING|MESSAGE_PHASE"
    lost = {**pipe, "role": None, "flags": ["RUNNING", "RECONNECTING"], "queue": 1200}
    told = "p → v: no session, RUNNING|RECONNECTING, 1,200 queued"
    assert status_line([{**EVENT, "sessions": 2}], [lost]) == (
        f"live: 1,204 files, 3.0 GiB, 2 sessions; {told}"
    )


def test_a_reload_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    display = Plain(standard_screen(), "fustor")
    display.take({"event": "ready", "pipe": "p", "view": "v", "role": "leader", "flags": []})
    display.take({"event": "reloaded", "started": ["a", "b"], "changed": [], "errors": []})
    display.take({"event": "reloaded", "errors": [{"name": "receiver:x", "message": "in use"}]})
    _, err = capfd.readouterr()
    assert "ready: p → v: leader, STOPPED" in err
    assert "reloaded: started: a, b" in err
    assert "reloaded: nothing has changed\n  receiver:x: in use" in err


def test_plain_talk(capfd: pytest.CaptureFixture[str]) -> None:
    display = Plain(standard_screen(), "/opt/fustor")
    for event in (
        {"event": "scanning", **EVENT},
        {
            "event": "ready",
            **EVENT,
            "root": "/two words",
            "key": "fst_1_x",
            "url": "http://h",
            "page": "http://h/#code=c0de",
        },
        {"event": "ready", **EVENT, "view": "more"},
        {"event": "status", **EVENT},
        {"event": "warning", "message": "queue\x1b overflow", "remedy": "raise it"},
        {"event": "frozen", "view": "data", "message": "a scan would remove 9,999 entries"},
        {"event": "stopped", **EVENT},
    ):
        display.take(event)
    out, err = capfd.readouterr()
    assert out == ""
    assert "\x1b" not in err
    assert err.count("/opt/fustor view ls -l '/two words'") == 1
    assert err.count("fst_1_x") == 1
    assert err.count("lets in once and within 10 minutes: http://h/#code=c0de") == 1
    for part in (
        "ready: more",
        "overflow (remedy: raise it)",
        "9,999 entries",
        "/opt/fustor view confirm data --reject",
        "stopped",
    ):
        assert part in err


def test_the_display_fits_the_stream() -> None:
    screen = standard_screen()
    assert isinstance(choose(screen, "f", jsonl=True, progress=True), Lines)
    assert type(choose(screen, "f", jsonl=False, progress=True)) is Logged
    assert type(choose(screen, "f", jsonl=False, progress=True, form="console")) is Plain
    assert type(choose(screen, "f", jsonl=False, progress=True, form="json")) is Logged


def test_the_program_is_named_as_it_can_be_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tmp_path / "two words" / "fustor"
    made.parent.mkdir()
    made.write_text("#!/bin/sh\n")
    made.chmod(0o755)
    monkeypatch.setenv("PATH", "/bin")
    assert invocation(None, str(made)) == f"'{made}'"
    monkeypatch.chdir(made.parent)
    assert invocation(Path("/s t"), "./fustor") == f"'{made}' --home '/s t'"
    monkeypatch.setenv("PATH", str(made.parent))
    assert invocation(None, str(made)) == "fustor"
    assert invocation(None, "/x/fustor_core/__main__.py") == f"{sys.executable} -m fustor_core"


# ------------------------------------------------------------------ how it runs and ends

# An engine that keeps to the contract: scans, is ready, lives until it is told to stop.
ENGINE = """
import os, sys
from pathlib import Path
import anyio
from fustor_core.cli.call import Call, Settings
from fustor_core.cli.screen import standard_screen
from fustor_core.cli.up import foreground
from fustor_core.config import up_config
from fustor_core.errors import StateInUse

async def engine(loaded, home, *, on_event, stop, debug):
    how = sys.argv[1]
    figures = {"view": "data", "files": 7, "dirs": 2, "bytes": 10, "seconds": 0.1,
               "files_per_s": 70.0, "unscanned": 0, "socket": str(home / "fusion" / "api.sock")}
    if how == "in-use":
        async with anyio.create_task_group():
            raise StateInUse("in use by process 7", pid=7, remedy="stop it")
    on_event({"event": "scanning", **figures})
    on_event({"event": "ready", **figures})
    on_event({"event": "status", **figures})
    await stop.wait()
    if how == "slow":
        print("draining", file=sys.stderr, flush=True)
        await anyio.sleep(60)
    on_event({"event": "stopped", **figures})

lines, quiet = "--jsonl" in sys.argv, "-n" in sys.argv
settings = Settings(home=Path("/nowhere"), jsonl=lines, no_progress=quiet)
call = Call(settings, standard_screen(document_form="jsonl" if settings.jsonl else ""))
code = 1
try:
    form = {("log", "format"): ("console", "a test")}
    code = foreground(call, up_config([Path("/srv/data")], overrides=form), engine)
except StateInUse as error:
    print("caught", error.pid, file=sys.stderr)
    code = 8
sys.exit(code)
"""


@pytest.fixture
def running() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts the foreground with an engine of the test's."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **options: Any) -> subprocess.Popen[str]:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
        started.append(subprocess.Popen([sys.executable, "-c", ENGINE, *arguments], **pipes))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """Lines of stderr up to one that holds the text."""
    read = ""
    assert process.stderr is not None
    while text not in read:
        line = process.stderr.readline()
        assert line, read
        read += line
    return read


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_cleanly(running: Any, number: int) -> None:
    process = running("plain")
    read_until(process, "ready: data")
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, "")
    assert "stopped" in err


def test_events_as_lines(running: Any) -> None:
    process = running("plain", "--jsonl")
    events = [json.loads(process.stdout.readline())["event"] for _ in range(3)]
    assert events == ["scanning", "ready", "status"]
    process.terminate()
    out, _ = process.communicate(timeout=20)
    assert json.loads(out)["event"] == "stopped"
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("first", "second", "code"),
    [(signal.SIGINT, signal.SIGINT, 130), (signal.SIGINT, signal.SIGTERM, 143),
     (signal.SIGTERM, signal.SIGTERM, 143)],
)  # fmt: skip
def test_a_second_signal_ends_it_at_once(
    running: Any, first: signal.Signals, second: signal.Signals, code: int
) -> None:
    process = running("slow")
    read_until(process, "ready: data")
    process.send_signal(first)
    read_until(process, "draining")
    begun = time.monotonic()
    process.send_signal(second)
    process.communicate(timeout=20)
    assert process.returncode == code
    assert time.monotonic() - begun < 10


def test_an_error_of_the_engine_is_told_as_itself(running: Any) -> None:
    process = running("in-use")
    _, err = process.communicate(timeout=20)
    assert process.returncode == 8
    assert "caught 7" in err


def test_a_terminal_shows_progress_and_a_status_line(running: Any) -> None:
    shown = on_terminal(running, "live: 7 files", "plain")
    assert "scanning data" in shown
    assert "9 entries, 2 directories" in shown
    assert "\r\x1b[2Klive: 7 files, 10 B" in shown
    assert shown.endswith("stopped; the state is kept\r\n")
    assert shown.rfind("\x1b[?25h") >= shown.rfind("\x1b[?25l"), "the cursor is shown again"


def test_progress_can_be_switched_off(running: Any) -> None:
    shown = on_terminal(running, "Ctrl-C stops it", "plain", "-n")
    assert "scanning" not in shown
    assert "\x1b[2K" not in shown
    assert "ready: data" in shown


def on_terminal(running: Any, last: str, *arguments: str) -> str:
    """What a terminal on stderr gets, from the start to a signal that is sent after `last`."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LC_ALL": "C.UTF-8"}
    process = running(*arguments, stderr=theirs, env=environment)
    os.close(theirs)
    shown, told = "", False
    while select.select([ours], [], [], 20)[0]:
        try:
            shown += os.read(ours, 65536).decode(errors="replace")
        except OSError:  # the other end is closed
            break
        if last in shown and not told:
            told = True
            process.send_signal(signal.SIGINT)
    os.close(ours)
    assert process.wait(20) == 0
    return shown
