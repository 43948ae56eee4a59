"""`completion`: what TAB offers, asked of the program, and by a real bash."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fustor_core.cli.completion import unquoted
from fustor_core.cli.shells import SCRIPTS
from fustor_core.states import ALL

Fustor = Callable[..., Any]

# What readline does before it calls the function: it cuts the line at blanks and colons.
READLINE = r"""
compopt() { echo "compopt $2"; }
COMP_LINE=$1 COMP_POINT=${#1}
read -ra COMP_WORDS <<<"$(sed 's/\([:=]\)/ \1 /g' <<<"$1")"
[[ $1 == *' ' ]] && COMP_WORDS+=('')
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_fustor
printf '%s\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def offered(fustor: Fustor) -> Callable[..., list[str]]:
    """What is offered for the last of some words, without meanings."""

    def ask(*words: str) -> list[str]:
        done = fustor("complete", "--", *words)
        assert done.code == 0, done.err
        return [line.split(b"\t")[0].decode() for line in done.lines]

    return ask


@pytest.fixture
def tab(home: Path, tmp_path: Path) -> Callable[[str], list[str]]:
    """What bash offers when TAB is hit at the end of a line."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "fustor"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m fustor_core "$@"\n')
    program.chmod(0o755)

    def hit(line: str) -> list[str]:
        done = subprocess.run(
            ["bash", "--norc", "-c", SCRIPTS["bash"] + READLINE, "bash", line],
            env={
                **os.environ,
                "PATH": f"{folder}:{os.environ['PATH']}",
                "FUSTOR_HOME": str(home),
            },
            capture_output=True,
            check=True,
            timeout=60,
            text=True,
        )
        assert done.stderr == ""
        return done.stdout.splitlines()

    return hit


def test_commands_options_and_choices(offered: Callable[..., list[str]]) -> None:
    assert {"up", "view", "status"} <= set(offered(""))
    assert "complete" not in offered("")
    assert offered("vi") == ["view"]
    assert offered("view", "st") == ["stat", "stable"]
    assert offered("man", "view", "st") == ["stat", "stable"]
    assert offered("man", "view", "ls", "") == []
    assert offered("view", "ls", "--li") == ["--limit"]
    assert "--home" in offered("view", "ls", "--")
    assert "--json" in offered("--")
    assert "--limit" not in offered("--")
    assert offered("view", "best", "--by", "t") == ["total_size"]
    assert offered("status", "--role", "") == ["agent", "fusion"]
    assert offered("machines", "show", "") == list(ALL)
    assert offered("up", "") == [":folders"]
    assert offered("up", "--name", "") == []
    assert offered("view", "list", "") == []
    assert offered("no-such", "") == offered("")


def test_names_that_the_server_knows(
    offered: Callable[..., list[str]], server: Any, make: Any
) -> None:
    entries = [make.entry(b"/in/a b", "dir"), make.entry(b"/in/c"), make.entry(b"/in/\xff")]
    server.answer("/views/data/ls", {"entries": entries})
    server.answer("/pipes", {"pipes": [{"id": "one", "flags": ["RUNNING"]}]})
    assert offered("view", "drop", "") == ["data"]
    assert offered("--view", "d") == ["data"]
    assert offered("pipe", "show", "") == ["one"]
    assert offered("view", "ls", "") == [":files", ":open", "data:/"]
    assert offered("view", "ls", "data:/in/") == [":open", "data:/in/a b/", "data:/in/c"]
    assert offered("view", "ls", "/in/c") == [":files", ":open", "/in/c"]
    assert server.asked("/views/data/ls")[-1]["path"] == "/in"


def test_without_a_server_there_are_no_names_and_no_errors(fustor: Fustor) -> None:
    done = fustor("complete", "--", "pipe", "show", "")
    assert (done.code, done.out, done.err) == (0, b"", "")


def test_another_home_is_asked(
    offered: Callable[..., list[str]], server: Any, tmp_path: Path
) -> None:
    assert offered("view", "drop", "") == ["data"]
    assert offered("--home", str(tmp_path), "view", "drop", "") == []


def test_bash(tab: Callable[[str], list[str]], server: Any, make: Any) -> None:
    server.answer("/views/data/ls", {"entries": [make.entry(b"/in/a b", "dir")]})
    assert tab("fustor view sta") == ["stat", "stable"]
    assert tab("fustor up ") == ["compopt dirnames", ""]
    # bash puts what it is given behind the colon, where it has cut the word
    assert tab("fustor view ls data:/in/") == ["compopt nospace", r"/in/a\ b/"]
    assert tab("fustor view ls data:") == ["compopt nospace", r"/in/a\ b/"]


def test_scripts_are_printed(fustor: Fustor) -> None:
    for shell, script in SCRIPTS.items():
        assert fustor("completion", shell).out.decode() == script
        assert "fustor" in script
    assert fustor("completion", "csh").code == 2


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("a", "a"), (r"a\ b", "a b"), ("'a b", "a b"), ('"a b"', "a b"), ("", ""), ("a\\", "a")],
)
def test_words_as_the_shell_will_see_them(typed: str, meant: str) -> None:
    assert unquoted(typed) == meant


def test_recorded_runs_and_their_nodes(offered: Callable[..., list[str]], tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    first, second = (f"pipeline_01M800D0FEB80J3F7M9K3NB2P{n}" for n in (3, 4))
    for hour, run in ((10, first), (11, second)):
        place = folder / f"2026-11-21_{hour}3236_{run}"
        place.mkdir(parents=True)
        (place / "state_init.json").write_text("{}")
    node = "state_node_snapshot_data_9K3NB2P4_attempt1.json"
    (folder / f"2026-11-21_113236_{second}" / node).write_text("{}")
    there = ("--state-history", str(folder))
    assert offered("history", "show", *there, "")[1:] == [second, first], "the newest first"
    assert second in offered("history", "diff", *there, first, "pipe")
    assert offered("history", "replay", *there, "--node", "") == ["snapshot_data"]
    assert offered("history", "replay", *there, first, "--node", "") == []
    assert offered("history", "show", "--state-history", str(tmp_path / "none"), "p") == [
        ":folders"
    ]
