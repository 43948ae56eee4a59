"""Names: any bytes, readable on a terminal, never raw there."""

from __future__ import annotations

import base64
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fustor_core.cli.names import below, parent, quoted, raw, safe

NAMES = st.binary(min_size=1, max_size=255).filter(lambda name: b"\0" not in name)


def unquoted(text: str) -> bytes:
    """What a shell's $'…' makes of a quoted name, so far as `quoted` uses it."""
    escapes = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92, " ": 32}
    made, at = b"", 0
    while at < len(text):
        if text[at] != "\\":
            made += text[at].encode()
            at += 1
        elif text[at + 1] in escapes:
            made += bytes([escapes[text[at + 1]]])
            at += 2
        else:
            made += bytes([int(text[at + 1 : at + 4], 8)])
            at += 4
    return made


@given(NAMES, st.booleans())
def test_quoting_is_printable_and_reversible(name: bytes, ascii_only: bool) -> None:
    text = quoted(name, ascii_only=ascii_only)
    assert text.isprintable()
    assert text.isascii() or not ascii_only
    assert unquoted(text) == name


@given(st.text(st.characters(codec="ascii", exclude_characters="\0/"), min_size=1, max_size=40))
def test_quoting_is_that_of_ls(name: str) -> None:
    if name in (".", ".."):
        return
    assert quoted(name.encode()) == _ls_style(name)


def _ls_style(name: str) -> str:
    """The rules of ls -b for ASCII, as its manual has them."""
    letters = dict(
        zip(
            "\a\b\f\n\r\t\v\\ ",
            ["\\a", "\\b", "\\f", "\\n", "\\r", "\\t", "\\v", "\\\\", "\\ "],
            strict=True,
        )
    )
    return "".join(letters.get(c, c if " " <= c <= "~" else f"\\{ord(c):03o}") for c in name)


@pytest.mark.parametrize("name", [b"plain", b"two words", b"tab\tnew\nline", b"\xff\x01", b"a\\b"])
def test_the_real_ls_agrees(name: bytes, tmp_path: object) -> None:
    with open(f"{tmp_path}/".encode() + name, "wb"):
        pass
    shown = subprocess.run(["ls", "-b", str(tmp_path)], check=True, capture_output=True).stdout
    assert quoted(name) == shown.decode().rstrip("\n")


@pytest.mark.parametrize("sly", ["\u202e", "\u2028", "\x9b", "\u200b", "\x1b"])
def test_characters_that_deceive_are_octal(sly: str) -> None:
    assert "".join(f"\\{byte:03o}" for byte in sly.encode()) == quoted(sly.encode())
    assert safe(f"a {sly}").isprintable()


def test_a_name_comes_from_text_or_from_bytes() -> None:
    assert raw({"path": "/ü"}) == "/ü".encode()
    assert raw({"name_b64": base64.b64encode(b"\xff\n").decode()}, "name") == b"\xff\n"
    assert raw({}) == b""


def test_paths_compare_by_parts() -> None:
    assert below(b"/data/x", b"/data")
    assert below(b"/data", b"/data")
    assert below(b"/x", b"/")
    assert not below(b"/data2", b"/data")
    assert parent(b"/a/b") == b"/a"
    assert parent(b"/a") == b"/"
    assert parent(b"/") == b"/"
