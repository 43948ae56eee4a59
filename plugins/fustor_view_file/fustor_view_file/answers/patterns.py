"""What a name or path must look like: globs and regular expressions.

Names are bytes. Where a pattern speaks of characters (``?``, ``[…]``, a regular expression), a
name that is UTF-8 is read as such, and each byte that is none counts as one character. No
backtracking engine sees a pattern of a user's: RE2 alone, or plain searches for literal pieces.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import re2

from fustor_core.claims import split_names
from fustor_core.contracts import Query
from fustor_core.errors import QueryError
from fustor_view_file.answers.globs import ANY, STAR, Token, literal_of, tokens_of, translated
from fustor_view_file.answers.paths import path_of

PATTERN_BYTES_MAX = 4096
_ODD = {0xDC80 + i: 0x10DC80 + i for i in range(128)}  # a byte that is no UTF-8 → private use
Hit = tuple[int, bytes]  # number of the row, name
Test = Callable[[bytes], bool]


def as_text(raw: bytes) -> bytes:
    """UTF-8 for any bytes: what is none already becomes a private character a byte."""
    try:
        raw.decode()
    except UnicodeDecodeError:
        return raw.decode(errors="surrogateescape").translate(_ODD).encode()
    return raw


def is_text(raw: bytes) -> bool:
    """Whether bytes are UTF-8 as they stand."""
    return raw.isascii() or as_text(raw) is raw


class Pattern:
    """A pattern, ready to be used on whole directories.

    Attributes:
        everything: all names match.
        whole: it is about view paths, not names.
        slow: each name costs a call into the engine.
        prefix: names of directories outside of which no path can match.
    """

    def __init__(self, query: Query) -> None:
        """Prepare the pattern of a query.

        Raises:
            QueryError: it is too long, or no regular expression.
        """
        text = query.pattern
        if len(text) > PATTERN_BYTES_MAX:
            raise QueryError(
                f"a pattern of {len(text)} bytes is too long",
                remedy=f"give at most {PATTERN_BYTES_MAX} bytes",
            )
        self.whole = query.whole_path
        self.prefix: tuple[bytes, ...] = ()
        self._fold = query.ignore_case
        self._literal = b""  # of the name; without it no name matches
        self._sieve: Test | None = None  # of a whole blob: false when no name in it matches
        if query.regex:
            self.everything, self.slow = not text, True
            self._test = self._of_regex(text)
        else:
            tokens = tokens_of(text, paths=self.whole)
            self._test = self._of_glob(tokens)
            self.everything = not text or self._is_everything(tokens)

    def test(self, subject: bytes) -> bool:
        """Whether a name, or a view path when the pattern is about paths, matches."""
        return self._test(subject)

    def names_in(self, names: bytes) -> list[Hit]:
        """The names of a blob that match, with the numbers of their rows."""
        if self._literal:
            blob = names
            if self._fold:
                blob = names.lower() if names.isascii() else b""
            if blob or not self._fold:
                return self._by_literal(names, blob)
        elif self._sieve is not None and not self._sieve(names):
            return []
        test = self._test
        return [(i, name) for i, name in enumerate(split_names(names)) if test(name)]

    def _by_literal(self, names: bytes, blob: bytes) -> list[Hit]:
        """`names_in`, by looking for the literal piece only; `blob` is what it is looked for in."""
        literal, test = self._literal, self._test
        out: list[Hit] = []
        at = blob.find(literal)
        row = last = 0
        while at >= 0:
            start = names.rfind(b"\0", 0, at) + 1
            end = names.find(b"\0", at)
            name = names[start:] if end < 0 else names[start:end]
            if test(name):
                row += names.count(b"\0", last, start)
                last = start
                out.append((row, name))
            if end < 0:
                break
            at = blob.find(literal, end)
        return out

    def paths_in(self, names: bytes, prefix: bytes) -> list[Hit]:
        """`names_in` for a pattern about paths.

        Args:
            prefix: path of the directory, ending in a slash.
        """
        if self._literal and not self._fold and names.find(self._literal) < 0:
            return []
        test = self._test
        return [(i, name) for i, name in enumerate(split_names(names)) if test(prefix + name)]

    # ---- regular expressions

    def _of_regex(self, text: bytes) -> Test:
        source = as_text(text)
        search = _compiled(source, fold=self._fold).search
        if not self.whole and _joinable(source):
            lines = _compiled(b"(?m:" + source + b")", fold=self._fold).search

            def sieve(names: bytes) -> bool:
                if b"\n" in names or not is_text(names):
                    return True
                return lines(names.replace(b"\0", b"\n")) is not None

            self._sieve = sieve

        def test(subject: bytes) -> bool:
            return search(as_text(subject)) is not None

        return test

    # ---- globs

    def _is_everything(self, tokens: list[Token]) -> bool:
        if not self.whole:
            return tokens == [STAR]
        below = path_of(self.prefix) + (b"/" if self.prefix else b"")
        return tokens in ([ANY], [below, ANY])

    def _of_glob(self, tokens: list[Token]) -> Test:
        self._literal = literal_of(tokens, last_segment=self.whole)
        if self._fold:
            self._literal = self._literal.lower() if self._literal.isascii() else b""
        elif self.whole:
            self.prefix = _fixed_directories(tokens)
        plain = all(isinstance(token, bytes) or token == STAR for token in tokens)
        if plain and not self.whole and not self._fold:
            self.slow = False
            return _pieces_test(tokens)
        self.slow = True
        matched = _compiled(translated(tokens, paths=self.whole), fold=self._fold).fullmatch

        def test(subject: bytes) -> bool:
            return matched(as_text(subject)) is not None

        return test


def _compiled(source: bytes, *, fold: bool) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.case_sensitive = not fold
    try:
        return re2.compile(source, options)
    except re2.error as error:
        told = error.args[0] if error.args else b""
        said = told.decode(errors="backslashreplace") if isinstance(told, bytes) else str(told)
        raise QueryError(
            f"this is no regular expression: {said}",
            remedy="RE2 syntax: https://github.com/google/re2/wiki/Syntax; it has no "
            "backreferences and no look-around",
        ) from error


def _joinable(source: bytes) -> bool:
    """Whether lines can stand for names: no anchor of the whole text, no flags that change it."""
    if b"\\A" in source or b"\\z" in source or b"\\C" in source:
        return False
    return source.count(b"(?") == source.count(b"(?:")


def _pieces_test(tokens: list[Token]) -> Test:
    """A test for literals and stars alone: prefix, suffix, and what stands between, in order."""
    pieces: list[bytes] = [b""]
    for token in tokens:
        if isinstance(token, bytes):
            pieces[-1] += token
        else:
            pieces.append(b"")
    if len(pieces) == 1:
        return pieces[0].__eq__
    first, middle, last = pieces[0], [p for p in pieces[1:-1] if p], pieces[-1]
    least = len(first) + len(last)
    if not middle and not first:
        return lambda name: name.endswith(last)
    if not middle and not last:
        return lambda name: name.startswith(first)

    def test(name: bytes) -> bool:
        if len(name) < least or not name.startswith(first) or not name.endswith(last):
            return False
        at, end = len(first), len(name) - len(last)
        for piece in middle:
            at = name.find(piece, at, end)
            if at < 0:
                return False
            at += len(piece)
        return True

    return test


def _fixed_directories(tokens: list[Token]) -> tuple[bytes, ...]:
    """Names of the directories that every matching path begins with."""
    fixed = tokens[0] if tokens and isinstance(tokens[0], bytes) else b""
    if not fixed.startswith(b"/"):
        return ()
    return tuple(part for part in fixed[1:].split(b"/")[:-1] if part)
