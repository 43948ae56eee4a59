"""What stands in code blocks of the docs works: commands are the program's, YAML is accepted,
Python runs, and what a newcomer is told to type is typed.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from fustor_core.cli.commands import fronted, takes_value
from fustor_core.cli.configuring import model_of
from fustor_core.cli.program import build
from fustor_core.config import check_config
from fustor_core.registry import Registry

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "how-to").glob("*.md")),
]
EXECUTED = ROOT / "docs" / "write-a-source.md"  # as a whole, by test_write_a_source.py
BLOCK = re.compile(r"^```(\w*)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SECRET = re.compile(r"\$\{file:[^}]*\}")
SHELL = ("", "console", "bash", "sh")
LIMIT_S = 60.0
# Read top down by a newcomer; what would go on for ever is ended by the test.
FIRST_MINUTE = ROOT / "README.md"


@dataclass(frozen=True)
class Block:
    """One code block."""

    page: Path
    line: int
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(*kinds: str) -> list[Block]:
    found = []
    for page in PAGES:
        text = page.read_text()
        for match in BLOCK.finditer(text):
            ours = "prometheus.yml" not in match[2]
            if ours and match[1] in kinds and (match[1] in SHELL or page != EXECUTED):
                line = text.count("\n", 0, match.start()) + 2
                found.append(Block(page, line, match[1], match[3]))
    return found


def commands(text: str) -> Iterator[list[str]]:
    """Every call of `fustor` in a piece of shell, as words without the program's name."""
    for line in text.replace("\\\n", " ").splitlines():
        split = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars="();<>|&")
        split.wordchars += ":$%@,{}[]!"
        words = list(split)
        call: list[str] | None = None
        for word in [*words, ";"]:
            if set(word) <= set("();<>|&"):
                if call is not None:
                    yield call
                call = None
            elif call is not None:
                call.append(word)
            elif word.rpartition("/")[2] == "fustor":
                call = []


def wrong_words(call: list[str]) -> list[str]:
    """What in a call the program does not know."""
    root: Any = build()
    command, wrong, left = root, [], list(fronted(call, root))
    arguments = 0
    while left:
        word = left.pop(0)
        if word.startswith("-") and word not in ("-", "--"):
            name, equals, _ = word.partition("=")
            option = _option(command, name) or _option(root, name)
            if option is None:
                wrong.append(word)
            elif takes_value(option) and not equals and left:
                left.pop(0)
        elif hasattr(command, "commands"):
            command = command.commands.get(word)
            if command is None:
                return [*wrong, word]
        else:
            arguments += 1
    kinds = [one for one in command.params if one.param_type_name == "argument"]
    many = any(one.nargs < 0 for one in kinds)
    if arguments > len(kinds) and not many:
        wrong.append(f"{arguments} arguments")
    if arguments < sum(one.required for one in kinds):
        wrong.append("too few arguments")
    return wrong


def _option(command: Any, name: str) -> Any:
    for option in command.params:
        if option.param_type_name == "option" and name in (*option.opts, *option.secondary_opts):
            return option
    return None


@pytest.mark.parametrize("block", blocks(*SHELL), ids=str)
def test_commands_are_the_programs(block: Block) -> None:
    found = [(call, wrong) for call in commands(block.text) if (wrong := wrong_words(call))]
    assert not found


def test_what_the_program_does_not_know_is_found() -> None:
    text = "FUSTOR_HOME=/x .venv/bin/fustor veiw ls | fustor view ls --lmit 3; fustor view stat"
    assert [wrong_words(call) for call in commands(text)] == [
        ["veiw"],
        ["--lmit"],
        ["too few arguments"],
    ]


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_yaml_is_accepted(block: Block, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("fst_0123456789abcdef_0123456789abcdef\n")
    secret.chmod(0o600)
    text = SECRET.sub(f"${{file:{secret}}}", block.text)
    data = YAML(typ="safe", pure=True).load(text)
    folder = tmp_path / ("agent-pipes-config" if "id" in data else "conf.d")
    folder.mkdir()
    (folder / "page.yaml").write_text(text)
    _, errors = check_config([folder], {}, model_of=model_of(Registry()))
    # a page shows what its subject needs; what it refers to may stand in another block
    told = [e.message for e in errors if "no view" not in e.message]
    assert not told


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_python_runs(block: Block) -> None:
    exec(compile(block.text, str(block), "exec"), {})


@pytest.mark.long
def test_the_first_minute_as_it_is_told(tmp_path: Path) -> None:
    """The commands of the README, typed one after the other in a tree of a newcomer."""
    told = next(b for b in blocks("") if b.page == FIRST_MINUTE and "view ls" in b.text)
    tree = tmp_path / "mine"
    (tree / "sub").mkdir(parents=True)
    (tree / "README.md").write_text("x")
    (tree / "sub" / "a.log").write_text("y")
    beside = Path(sys.executable).parent
    environment = {**os.environ, "FUSTOR_HOME": str(tmp_path / "home")}
    program = subprocess.Popen(
        [beside / "fustor", "up", "."],
        cwd=tree,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        ready = f"{beside}/fustor status --wait --timeout {LIMIT_S:.0f}s"
        assert _typed(ready, tree, environment) == 0
        typed = told.text.replace(".venv/bin/", f"{beside}/").splitlines()
        assert len(typed) > 5
        for line in typed:
            if " view watch" in line:
                line = f"timeout -s INT 2 {line}"
            line = line.replace("--stable-for 30s", "--stable-for 1s")
            wanted = (0, 124) if " view watch" in line else (0,)
            assert _typed(line, tree, environment) in wanted, line
        assert program.wait(LIMIT_S) == 0, "the last line has stopped it"
    finally:
        program.kill()
        program.wait()


def _typed(line: str, tree: Path, environment: dict[str, str]) -> int:
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=tree,
        env=environment,
        capture_output=True,
        timeout=2 * LIMIT_S,
        check=False,
    )
    assert b"Traceback" not in done.stderr
    return done.returncode
