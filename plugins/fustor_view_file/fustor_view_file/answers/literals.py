"""What every name must hold that a pattern matches: looked for before anything else."""

from __future__ import annotations

from fustor_view_file.answers.globs import Token

_REFUSED = frozenset(b"|(){}")  # alternatives, groups and counts: a literal may not be needed
_ENDS = frozenset(b".^$")
_LOOSE = frozenset(b"*?")


def of_tokens(tokens: list[Token]) -> bytes:
    """The longest literal of a glob."""
    return max((token for token in tokens if isinstance(token, bytes)), key=len, default=b"")


def of_regex(source: bytes) -> bytes:
    """A literal that every match of a regular expression holds, ``b""`` when none is certain.

    Args:
        source: case matters in it.
    """
    if not source.isascii() or _REFUSED & set(source):
        return b""
    runs = [b""]
    at = 0
    while at < len(source):
        code, mark = source[at], source[at : at + 1]
        at += 1
        if mark == b"\\":
            mark = source[at : at + 1]
            at += 1
            if not mark or mark.isalnum():  # a class, an anchor, a number
                return b""
            runs[-1] += mark
        elif mark == b"[":
            end = source.find(b"]", at)
            inside = source[at:end]
            if end < 0 or inside in (b"", b"^") or b"[" in inside or b"\\" in inside:
                return b""
            at = end + 1
            runs.append(b"")
        elif code in _LOOSE:
            runs[-1] = runs[-1][:-1]
            runs.append(b"")
        elif mark == b"+" or code in _ENDS:
            runs.append(b"")
        else:
            runs[-1] += mark
    return max(runs, key=len)
