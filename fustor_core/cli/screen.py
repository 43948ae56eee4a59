"""Where answers go: data to stdout, talk to stderr, and what a terminal needs done to both."""

from __future__ import annotations

import json
import os
import shutil
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from fustor_core.cli.names import quoted, safe

STYLES = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "magenta": "35",
    "cyan": "36",
    "dir": "1;34",
    "symlink": "36",
    "fifo": "33",
    "socket": "1;35",
    "char": "1;33",
    "block": "1;33",
}
Cell = str | tuple[str, str]  # text, or text and its style


class Screen:
    """Both streams of the program and what they can show.

    Args:
        out: where data goes.
        talk: where everything else goes.
        environment: looked at for NO_COLOR, FORCE_COLOR and TERM.
        quiet: no talk but errors.
        document_form: "json", "jsonl" or "" for people.
    """

    def __init__(
        self,
        out: TextIO,
        talk: TextIO,
        environment: Mapping[str, str],
        *,
        quiet: bool = False,
        document_form: str = "",
    ) -> None:
        self._out = out
        self._talk = talk
        self.quiet = quiet
        self.form = document_form
        self.terminal = out.isatty()
        self.talk_terminal = talk.isatty()
        self.ascii_only = not _knows_utf8(out)
        self._out_colour = _colour(self.terminal, environment)
        self._talk_colour = _colour(self.talk_terminal, environment)
        self._pieces: list[bytes] = []
        self._waiting_bytes = 0

    @property
    def width(self) -> int:
        """Columns of the terminal."""
        return shutil.get_terminal_size((80, 24)).columns

    def name(self, name: bytes) -> str:
        """A file name or path as it goes to stdout: quoted on a terminal, else the raw bytes."""
        if self.terminal:
            return quoted(name, ascii_only=self.ascii_only)
        return name.decode("utf-8", "surrogateescape")

    def talked(self, name: bytes) -> str:
        """A file name or path as it goes to stderr: always quoted."""
        return quoted(name, ascii_only=self.ascii_only)

    def painted(self, text: str, style: str) -> str:
        """The text in a style of `STYLES`, where stdout shows colours."""
        if not self._out_colour or not text or style not in STYLES:
            return text
        return f"\x1b[{STYLES[style]}m{text}\x1b[0m"

    def line(self, text: str = "", end: str = "\n") -> None:
        """One line of data."""
        self.write((text + end).encode("utf-8", "surrogateescape"))

    def write(self, data: bytes) -> None:
        """Data as it is; goes out when much has come together, and with `flush`."""
        self._pieces.append(data)
        self._waiting_bytes += len(data)
        if self._waiting_bytes > 1 << 16:
            self.flush()

    def flush(self) -> None:
        """Sends what waits.

        Raises:
            BrokenPipeError: nobody reads any more.
        """
        data, self._pieces, self._waiting_bytes = b"".join(self._pieces), [], 0
        if self.ascii_only and self.terminal:
            data = data.decode("utf-8", "replace").encode("ascii", "replace")
        self._out.flush()
        self._out.buffer.write(data)
        self._out.buffer.flush()

    def table(self, rows: Sequence[Sequence[Cell]], *, right: str = "", gap: str = "  ") -> None:
        """Aligned columns; the last one is not padded.

        Args:
            rows: cells of equal number in each row.
            right: one mark a column, ``>`` aligns it to the right.
        """
        if not rows:
            return
        texts = [[cell if isinstance(cell, str) else cell[0] for cell in row] for row in rows]
        widths = [max(columns(row[i]) for row in texts) for i in range(len(texts[0]))]
        for row, plain in zip(rows, texts, strict=True):
            parts = []
            for i, (cell, text) in enumerate(zip(row, plain, strict=True)):
                shown = text if isinstance(cell, str) else self.painted(text, cell[1])
                pad = " " * (widths[i] - columns(text))
                if right[i : i + 1] == ">":
                    shown = pad + shown
                elif i < len(row) - 1:
                    shown += pad
                parts.append(shown)
            self.line(gap.join(parts).rstrip(" ") if plain[-1] == "" else gap.join(parts))

    def document(self, document: Any) -> None:
        """One JSON document: indented on a terminal, on one line into a pipe or as JSON line."""
        readable = self.terminal and self.form != "jsonl"
        text = json.dumps(document, ensure_ascii=False, indent=2 if readable else None)
        self.line(_visible(text) if self.terminal else text)

    def note(self, text: str, style: str = "") -> None:
        """One line of talk, unless --quiet."""
        if not self.quiet:
            self.say(text, style)

    def say(self, text: str, style: str = "") -> None:
        """One line of talk that even --quiet lets through."""
        shown = "\n".join(safe(line, ascii_only=self.ascii_only) for line in text.split("\n"))
        if self._talk_colour and style in STYLES:
            shown = f"\x1b[{STYLES[style]}m{shown}\x1b[0m"
        self._talk.write(shown + "\n")
        self._talk.flush()


def standard_screen(*, quiet: bool = False, document_form: str = "") -> Screen:
    """The screen of this process."""
    return Screen(sys.stdout, sys.stderr, os.environ, quiet=quiet, document_form=document_form)


def columns(text: str) -> int:
    """How many columns of a terminal the text takes."""
    if text.isascii():
        return len(text)
    return sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _visible(text: str) -> str:
    """JSON text whose unprintable characters are escaped; they only stand inside strings."""
    if all(line.isprintable() for line in text.split("\n")):
        return text
    return "".join(
        character if character == "\n" or character.isprintable() else json.dumps(character)[1:-1]
        for character in text
    )


def _colour(terminal: bool, environment: Mapping[str, str]) -> bool:
    if environment.get("NO_COLOR"):
        return False
    if environment.get("FORCE_COLOR"):
        return True
    return terminal and environment.get("TERM") != "dumb"


def _knows_utf8(stream: TextIO) -> bool:
    return (stream.encoding or "ascii").lower().replace("-", "").replace("_", "") == "utf8"
