"""Names for people: file names and paths are bytes, and a terminal must never see them raw.

Text that stands for bytes is `str` with surrogate escapes here, as in `os.fsdecode`; `screen.py`
turns it back into the very bytes.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

ESCAPES = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\\": "\\\\",
    " ": "\\ ",
}


def quoted(name: bytes, *, ascii_only: bool = False) -> str:
    """The name as ``ls -b`` writes it: printable, on one line, and readable back.

    Args:
        name: any bytes.
        ascii_only: the terminal knows no UTF-8.

    Returns:
        C escapes for blanks and backslashes, octal bytes for everything that is not printable:
        control characters, bytes that are no UTF-8, direction overrides, lone line separators.
    """
    text = name.decode("utf-8", "surrogateescape")
    if text.isascii() and text.isprintable() and " " not in text and "\\" not in text:
        return text
    return "".join(_escaped(character, ascii_only) for character in text)


def _escaped(character: str, ascii_only: bool) -> str:
    escape = ESCAPES.get(character)
    if escape is not None:
        return escape
    if character.isprintable() and (character.isascii() or not ascii_only):
        return character
    raw = character.encode("utf-8", "surrogateescape")
    return "".join(f"\\{byte:03o}" for byte in raw)


def raw(document: Mapping[str, Any], key: str = "path") -> bytes:
    """The bytes of a name in a document: ``<key>`` is text, ``<key>_b64`` the bytes themselves."""
    encoded = document.get(f"{key}_b64")
    if encoded is not None:
        return base64.b64decode(str(encoded))
    return str(document.get(key) or "").encode("utf-8", "surrogateescape")


def below(path: bytes, scope: bytes) -> bool:
    """Whether a view path is the scope or lies below it; compared by parts."""
    return path == scope or path.startswith(scope.rstrip(b"/") + b"/")


def parent(path: bytes) -> bytes:
    """The view path one level up; the root is its own parent."""
    return path.rpartition(b"/")[0] or b"/"


def safe(text: str, *, ascii_only: bool = False) -> str:
    """Text of others for a terminal: what is not printable becomes octal, blanks stay."""
    if text.isprintable() and (not ascii_only or text.isascii()):
        return text
    return "".join(
        character if character == " " else _escaped(character, ascii_only) for character in text
    )
