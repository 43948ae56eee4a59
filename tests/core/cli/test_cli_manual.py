"""`fustor man`: a page for every command, that man(1) reads without a warning."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fustor_core.cli.commands import walk
from fustor_core.cli.manual import page
from fustor_core.cli.program import build

Fustor = Callable[..., Any]


def test_every_command_has_a_page(fustor: Fustor, tmp_path: Path) -> None:
    done = fustor("man", "--out", str(tmp_path / "man1"))
    assert done.code == 0
    written = {path.name for path in (tmp_path / "man1").iterdir()}
    assert written == {f"{'-'.join(words)}.1" for words, _ in walk(build(), ("fustor",))}
    assert "fustor-complete.1" not in written, "it is for shells"
    text = (tmp_path / "man1" / "fustor-view-wait.1").read_text()
    assert r"\fB\-\-stable\-for\fR \fIDUR\fR" in text
    assert ".BR fustor\\-view (1)" in text


def test_into_a_pipe_goes_the_page_itself(fustor: Fustor) -> None:
    done = fustor("man", "history", "replay")
    assert done.code == 0
    assert done.lines[0].startswith(b".TH FUSTOR\\-HISTORY\\-REPLAY 1")
    assert fustor("man").lines[0].startswith(b".TH FUSTOR 1")


@pytest.mark.parametrize("words", [("nonsense",), ("view", "nonsense"), ("--out", "x", "view")])
def test_what_is_no_command_has_none(fustor: Fustor, words: tuple[str, ...]) -> None:
    assert fustor("man", *words).code == 2


def test_no_text_is_taken_for_troff() -> None:
    class Odd:
        help = ".so /etc/passwd\n\n    'indented \\fB\n"
        params: tuple[Any, ...] = ()
        commands: dict[str, Any] = {}  # noqa: RUF012 - of a command that is none

        def get_short_help_str(self, _limit: int) -> str:
            return ".ex"

        def make_context(self, *_: Any, **__: Any) -> None: ...

        def collect_usage_pieces(self, _context: Any) -> list[str]:
            return ["'x"]

    made = page(("fustor", "odd"), Odd())
    begun = {line for line in made.splitlines() if line[:1] in ".'"}
    assert not any("passwd" in line or "ex" in line or "indented" in line for line in begun)
    assert r"\efB" in made


def manual_reader() -> bool:
    """Whether man-db and groff are there; small images have a man that says that it is none."""
    if shutil.which("man") is None or shutil.which("groff") is None:
        return False
    done = subprocess.run(["man", "--version"], capture_output=True, check=False, timeout=60)
    return done.stdout.startswith(b"man ")


@pytest.mark.skipif(not manual_reader(), reason="man(1) and groff are not installed")
def test_man_reads_every_page_without_a_warning(fustor: Fustor, tmp_path: Path) -> None:
    fustor("man", "--out", str(tmp_path))
    pages = sorted(map(str, tmp_path.iterdir()))
    done = subprocess.run(
        ["man", "--warnings", "-E", "UTF-8", "-Tutf8", "-l", *pages],
        capture_output=True,
        check=True,
        timeout=300,
        env={**os.environ, "LC_ALL": "C.UTF-8", "MANPAGER": "cat", "PAGER": "cat"},
    )
    assert done.stderr == b""
    assert done.stdout.count(b"FUSTOR") >= len(pages)
