"""Globs of literals and stars, looked for in the names of a whole directory at once."""

from __future__ import annotations

from fustor_view_file.answers.globs import STAR, Token

_NUL = b"\0"
Hit = tuple[int, bytes]  # number of the row, name


class Pieces:
    """Such a glob: what a name begins with, what it ends with, and what stands between, in order.

    Args:
        tokens: literals and `STAR` alone.
    """

    def __init__(self, tokens: list[Token]) -> None:
        pieces = [b""]
        for token in tokens:
            if isinstance(token, bytes):
                pieces[-1] += token
            else:
                pieces.append(b"")
        self._exact = pieces[0] if len(pieces) == 1 else None
        self._first, self._last = pieces[0], pieces[-1]
        self._middle = [piece for piece in pieces[1:-1] if piece]
        self._least = len(self._first) + len(self._last)
        ends = [_NUL + self._first, self._last + _NUL]
        needles = [end for end in ends if len(end) > 1] + self._middle
        self._needles = needles if self._exact is None else [_NUL + self._exact + _NUL]
        # what most directories do not even hold, looked for before anything else
        self._probe = max(pieces, key=len)
        # a needle that says everything by itself needs no test of the name
        self._certain = self._exact is not None or len(needles) == 1

    @staticmethod
    def can(tokens: list[Token]) -> bool:
        """Whether these tokens are such a glob, and not for everything."""
        plain = all(isinstance(token, bytes) or token == STAR for token in tokens)
        return plain and any(isinstance(token, bytes) for token in tokens)

    def test(self, name: bytes) -> bool:
        """Whether a name matches."""
        if self._exact is not None:
            return name == self._exact
        first, last = self._first, self._last
        if len(name) < self._least or not name.startswith(first) or not name.endswith(last):
            return False
        at, end = len(first), len(name) - len(last)
        for piece in self._middle:
            at = name.find(piece, at, end)
            if at < 0:
                return False
            at += len(piece)
        return True

    def hits(self, names: bytes) -> list[Hit]:
        """The names of a blob that match."""
        if self._probe not in names:
            return []
        blob = _NUL + names + _NUL
        needles = self._needles
        for needle in needles:
            if needle not in blob:
                return []
        needle = needles[0] if len(needles) == 1 else min(needles, key=blob.count)
        at = blob.find(needle)
        out: list[Hit] = []
        row = last = 0
        while at >= 0:
            start = blob.rfind(_NUL, 0, at + 1) + 1
            end = blob.find(_NUL, max(start, at + len(needle) - 1))
            name = blob[start:end]
            if self._certain or self.test(name):
                row += blob.count(_NUL, last, start)
                last = start
                out.append((row - 1, name))
            at = blob.find(needle, end)
        return out
