"""Globs as fnmatch(3) reads them: ``*``, ``?``, ``[abc]``, ``[a-z]``, ``[!a]``; no escapes.

In a glob on paths ``*``, ``?`` and sets stop at a slash, ``**`` does not, and ``**/`` also stands
for no directory at all.
"""

from __future__ import annotations

from dataclasses import dataclass

STAR = "*"
ONE = "?"
ANY = "**"
DIRECTORIES = "**/"
_SLASH = ord("/")
_LAST = 0x10FFFF


@dataclass(frozen=True, slots=True)
class Choice:
    """``[…]``: the first and last characters of ranges; `negated` for ``[!…]``."""

    ranges: tuple[tuple[int, int], ...]
    negated: bool


Token = bytes | str | Choice


def tokens_of(glob: bytes, *, paths: bool) -> list[Token]:
    """The glob as literals (bytes), wildcards (text) and choices, without empty literals."""
    out: list[Token] = []
    at = 0
    while at < len(glob):
        mark = glob[at : at + 1]
        if mark == b"*":
            end = at
            while glob[end : end + 1] == b"*":
                end += 1
            token = STAR
            if paths and end - at > 1:
                token = ANY
                if glob[end : end + 1] == b"/" and (not at or glob[at - 1 : at] == b"/"):
                    token, end = DIRECTORIES, end + 1
            out.append(token)
            at = end
        elif mark == b"?":
            out.append(ONE)
            at += 1
        elif mark == b"[" and (end := _closing(glob, at)) > 0:
            out.append(_choice(glob[at + 1 : end]))
            at = end + 1
        else:
            end = at + 1
            while end < len(glob) and glob[end : end + 1] not in (b"*", b"?", b"["):
                end += 1
            if out and isinstance(out[-1], bytes):
                out[-1] += glob[at:end]
            else:
                out.append(glob[at:end])
            at = end
    return out


def _closing(glob: bytes, at: int) -> int:
    """Where the choice that opens here closes, −1 when it does not and is a plain bracket."""
    end = at + 1
    if glob[end : end + 1] == b"!":
        end += 1
    if glob[end : end + 1] == b"]":
        end += 1
    return glob.find(b"]", end)


def _choice(inside: bytes) -> Choice:
    negated = inside.startswith(b"!")
    text = (inside[1:] if negated else inside).decode(errors="surrogateescape")
    codes = [ord(c) + 0x100000 if 0xDC80 <= ord(c) <= 0xDCFF else ord(c) for c in text]
    ranges = []
    at = 0
    while at < len(codes):
        if at + 2 < len(codes) and text[at + 1] == "-":
            if codes[at] <= codes[at + 2]:
                ranges.append((codes[at], codes[at + 2]))
            at += 3
        else:
            ranges.append((codes[at], codes[at]))
            at += 1
    return Choice(tuple(ranges), negated)


def last_segment(tokens: list[Token]) -> list[Token]:
    """What a glob on paths says of the name alone; empty when that cannot be told."""
    out: list[Token] = []
    for token in reversed(tokens):
        if token == DIRECTORIES:
            return out[::-1]
        if token == ANY:
            return []
        if isinstance(token, bytes) and b"/" in token:
            name = token.rpartition(b"/")[2]
            return [*([name] if name else []), *out[::-1]]
        out.append(token)
    return []


def translated(tokens: list[Token], *, paths: bool, apart: bool = False) -> bytes:
    """The glob as a regular expression on UTF-8 that is to match from end to end.

    Args:
        apart: wildcards stop at the NUL that stands between the names of a blob.
    """
    one = "[^/]" if paths else "[^\\x{0}]" if apart else "(?s:.)"
    wild = {STAR: f"{one}*", ONE: one, ANY: "(?s:.)*", DIRECTORIES: "(?:(?s:.)*/)?"}
    out: list[str] = []
    for token in tokens:
        if isinstance(token, bytes):
            out.extend(_escaped(ord(c)) for c in _private(token))
        elif isinstance(token, Choice):
            out.append(_class(token, paths=paths))
        else:
            out.append(wild[token])
    return "".join(out).encode()


def _private(raw: bytes) -> str:
    """Text for any bytes; one that is no UTF-8 becomes a private character."""
    text = raw.decode(errors="surrogateescape")
    return "".join(chr(ord(c) + 0x100000) if 0xDC80 <= ord(c) <= 0xDCFF else c for c in text)


def _class(choice: Choice, *, paths: bool) -> str:
    ranges = [*choice.ranges]
    if paths and choice.negated:
        ranges.append((_SLASH, _SLASH))
    elif paths:
        ranges = [part for low, high in ranges for part in _without_slash(low, high)]
    if not ranges:
        return "(?s:.)" if choice.negated else f"[^\\x{{0}}-\\x{{{_LAST:x}}}]"
    inside = "".join(f"{_escaped(low)}-{_escaped(high)}" for low, high in ranges)
    return f"[{'^' if choice.negated else ''}{inside}]"


def _without_slash(low: int, high: int) -> list[tuple[int, int]]:
    if not low <= _SLASH <= high:
        return [(low, high)]
    halves = [(low, _SLASH - 1), (_SLASH + 1, high)]
    return [half for half in halves if half[0] <= half[1]]


def _escaped(code: int) -> str:
    character = chr(code)
    return character if code < 128 and character.isalnum() else f"\\x{{{code:x}}}"
