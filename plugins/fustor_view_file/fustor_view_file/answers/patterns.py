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
from fustor_view_file.answers.globs import (
    ANY,
    STAR,
    Token,
    last_segment,
    tokens_of,
    translated,
)
from fustor_view_file.answers.literals import of_regex, of_tokens
from fustor_view_file.answers.paths import path_of
from fustor_view_file.answers.pieces import Hit, Pieces

PATTERN_BYTES_MAX = 4096
_ODD = {0xDC80 + i: 0x10DC80 + i for i in range(128)}  # a byte that is no UTF-8 → private use
_SPARE = 8  # matches in a blob that are always worth a look one by one
Test = Callable[[bytes], bool]
Hits = Callable[[bytes], list[Hit]]


def as_text(raw: bytes) -> bytes:
    """UTF-8 for any bytes: what is none already becomes a private character a byte."""
    try:
        raw.decode()
    except UnicodeDecodeError:
        return raw.decode(errors="surrogateescape").translate(_ODD).encode()
    return raw


class Pattern:
    """A pattern, ready to be used on whole directories.

    Attributes:
        everything: all names match, below `prefix`.
        whole: it is about view paths, not names.
        slow: a name may cost a call into the engine.
        piece: what every name holds that matches, ``b""`` when nothing is certain.
        prefix: names of the directory outside of which no path can match.
        test: whether a name matches, or a view path when the pattern is about paths.
        names_in: the names of a blob that match; for a pattern about paths those that can.
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
        self.piece = b""
        self.everything = not text
        self.slow = True
        self.test: Test
        self.names_in: Hits
        if query.regex:
            self._of_regex(as_text(text), fold=query.ignore_case)
        else:
            self._of_glob(tokens_of(text, paths=self.whole), fold=query.ignore_case)

    def paths_in(self, names: bytes, prefix: bytes) -> list[Hit]:
        """The names of a directory whose paths match.

        Args:
            prefix: path of the directory, ending in a slash.
        """
        test = self.test
        return [hit for hit in self.names_in(names) if test(prefix + hit[1])]

    # ---- regular expressions

    def _of_regex(self, source: bytes, *, fold: bool) -> None:
        search = _compiled(source, fold=fold).search
        self.test = lambda subject: search(as_text(subject)) is not None
        self.names_in = all_in
        if self.whole:
            return
        self.names_in = _each(self.test)
        self.piece = b"" if fold else of_regex(source)
        if _joinable(source):
            lines = _compiled(b"(?m:" + source + b")", fold=fold)
            self.names_in = _in_lines(self.test, lines, b"\n")

    # ---- globs

    def _of_glob(self, tokens: list[Token], *, fold: bool) -> None:
        if self.whole:
            self._of_path_glob(tokens, fold=fold)
            return
        self.everything = self.everything or tokens == [STAR]
        self.piece = b"" if fold else of_tokens(tokens)
        if self.everything:
            self.slow, self.test, self.names_in = False, _always, all_in
        elif Pieces.can(tokens) and not fold:
            pieces = Pieces(tokens)
            self.slow, self.test, self.names_in = False, pieces.test, pieces.hits
        else:
            self.test, self.names_in = _of_names(tokens, fold=fold)

    def _of_path_glob(self, tokens: list[Token], *, fold: bool) -> None:
        matched = _compiled(translated(tokens, paths=True), fold=fold).fullmatch
        self.test = lambda subject: matched(as_text(subject)) is not None
        self.names_in = all_in
        name = last_segment(tokens)
        if name and name != [STAR]:
            direct = Pieces.can(name) and not fold
            self.piece = b"" if fold else of_tokens(name)
            self.names_in = Pieces(name).hits if direct else _of_names(name, fold=fold)[1]
        if not fold:
            self.prefix = _fixed_directories(tokens)
        below = path_of(self.prefix) + (b"/" if self.prefix else b"")
        self.everything = self.everything or tokens in ([ANY], [below, ANY])
        if self.everything:
            self.slow = False


def all_in(names: bytes) -> list[Hit]:
    """All names of a blob."""
    return list(enumerate(split_names(names)))


def _always(subject: bytes) -> bool:
    return True


def _of_names(tokens: list[Token], *, fold: bool) -> tuple[Test, Hits]:
    """Test and search for a glob on names that RE2 must read."""
    matched = _compiled(translated(tokens, paths=False), fold=fold).fullmatch

    def test(name: bytes) -> bool:
        return matched(as_text(name)) is not None

    inside = translated(tokens, paths=False, apart=True)
    framed = _compiled(b"(?:\\A|\\x{0})" + inside + b"(?:\\z|\\x{0})", fold=fold)
    return test, _in_lines(test, framed, b"\0")


def _each(test: Test) -> Hits:
    return lambda names: [hit for hit in enumerate(split_names(names)) if test(hit[1])]


def _in_lines(test: Test, expression: Any, separator: bytes) -> Hits:
    """A search that asks the engine about all names of a blob at once.

    Where a name matches, some match of the expression in the blob overlaps it. So only names that
    a match touches are tested one by one; when there are too many matches, all are.

    Args:
        expression: matches wherever a name matches. separator: what it takes to stand between.
    """
    each, finditer = _each(test), expression.finditer

    def hits(names: bytes) -> list[Hit]:
        if not names.isascii() and as_text(names) is not names:
            return each(names)
        blob = names
        if separator != b"\0":  # where a name holds one, the engine only sees more than there is
            blob = names.replace(b"\0", separator)
        out: list[Hit] = []
        if not names:
            return out
        left = _SPARE + names.count(b"\0") // 4
        done = row = counted = 0  # names before `done` were tested; rows up to `counted`
        for match in finditer(blob):
            left -= 1
            if left < 0:
                return each(names)
            begin, finish = match.span()
            begin = max(done, names.rfind(b"\0", 0, begin) + 1)
            end = names.find(b"\0", finish)
            end = len(names) if end < 0 else end
            if begin > end:
                continue
            row += names.count(b"\0", counted, begin)
            counted = begin
            for i, name in enumerate(names[begin:end].split(b"\0")):
                if test(name):
                    out.append((row + i, name))
            done = end + 1
        return out

    return hits


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


def _fixed_directories(tokens: list[Token]) -> tuple[bytes, ...]:
    """Names of the directories that every matching path begins with."""
    fixed = tokens[0] if tokens and isinstance(tokens[0], bytes) else b""
    if not fixed.startswith(b"/"):
        return ()
    return tuple(part for part in fixed[1:].split(b"/")[:-1] if part)
