"""`service install|remove`: units as systemd itself reads them."""

from __future__ import annotations

import configparser
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fustor_core.cli.systemd import HOME, ROLES, SYSTEM, Unit, quoted

Fustor = Callable[..., Any]


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where units of this user go."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config" / "systemd" / "user"


def unit(role: str, **changes: Any) -> Unit:
    folders = ["/srv/a b"] if role == "up" else []
    return Unit(role, Path("/bin/true"), HOME, folders, **changes)


def read(text: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    return parser


@pytest.mark.parametrize("role", ROLES)
def test_a_unit_is_told_when_it_is_ready_and_may_do_little(role: str) -> None:
    service = read(unit(role).text())["Service"]
    assert service["Type"] == "notify"
    assert int(service["WatchdogSec"]) > 0
    assert service["StateDirectory"] == "fustor"
    wanted = "" if role == "fusion" else "CAP_DAC_READ_SEARCH"
    assert service["CapabilityBoundingSet"] == wanted
    assert f"--home {HOME} {role}" in service["ExecStart"]
    assert ("ExecReload" in service) is (role != "up")
    assert unit(role).folder == SYSTEM


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed here"
)
@pytest.mark.parametrize("user", [False, True])
@pytest.mark.parametrize("role", ROLES)
def test_systemd_finds_no_fault(role: str, user: bool, tmp_path: Path) -> None:
    made = unit(role, user=user)
    path = tmp_path / made.name
    path.write_text(made.text())
    command = ["systemd-analyze", *(["--user"] if user else []), "verify", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    said = [line for line in (done.stdout + done.stderr).splitlines() if made.name in line]
    assert said == []


@pytest.mark.parametrize(
    ("word", "written"),
    [("/a", "/a"), ("/a b", '"/a b"'), ('/"', '"/\\""'), ("/%n$x", "/%%n$$x"), ("", '""')],
)
def test_words_are_quoted(word: str, written: str) -> None:
    assert quoted(word) == written


def test_it_is_written_shown_and_taken_away(fustor: Fustor, own: Path, root: Path) -> None:
    command = ("service", "install", "up", str(root), "--user")
    shown = fustor(*command, "--dry-run", "--json").document
    assert shown["path"] == str(own / "fustor-up.service")
    assert not own.exists(), "a dry run writes nothing"
    done = fustor(*command)
    assert (done.code, done.out.decode().strip()) == (0, shown["path"])
    assert "systemctl --user" in done.err
    written = Path(shown["path"])
    assert written.read_text() == shown["text"]
    assert str(root) in read(shown["text"])["Service"]["ExecStart"]
    assert fustor(*command).code == 0, "the same again is no conflict"
    assert fustor("service", "remove", "up", "--user", "--dry-run").code == 0
    assert written.exists()
    assert fustor("service", "remove", "up", "--user").code == 0
    assert not written.exists()
    assert fustor("service", "remove", "up", "--user").code == 5


def test_what_somebody_has_changed_is_kept(fustor: Fustor, own: Path, root: Path) -> None:
    command = ("service", "install", "up", str(root), "--user")
    assert fustor(*command).code == 0
    path = own / "fustor-up.service"
    path.write_text(path.read_text() + "# mine\n")
    done = fustor(*command)
    assert done.code == 8
    assert "--dry-run" in done.err
    assert b"-# mine" in fustor(*command, "--dry-run").out
    assert path.read_text().endswith("# mine\n")
    assert fustor(*command, "--yes").code == 0
    assert "# mine" not in path.read_text()


@pytest.mark.parametrize(
    "words", [("nothing",), ("up",), ("fusion", "/data")], ids=["role", "no-dir", "too-much"]
)
def test_what_makes_no_sense_is_refused(fustor: Fustor, own: Path, words: tuple[str, ...]) -> None:
    done = fustor("service", "install", *words, "--user")
    assert done.code == 2
    assert "remedy" in done.err
    assert not own.exists()
