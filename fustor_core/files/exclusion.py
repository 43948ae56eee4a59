"""What the user left out: names, view paths, and host paths such as the state directory."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence

NameTest = Callable[[bytes], bool]


class Exclusion:
    """Decides which names of a directory are left out.

    Args:
        globs: on the name; with a ``/`` in them, on the view path: ``*`` and ``?`` stop at a slash
            there, ``**`` does not. A slash at the end is ignored.
        paths: view paths left out together with everything below them.
    """

    def __init__(self, globs: Sequence[str] = (), paths: Sequence[bytes] = ()) -> None:
        names, wholes = [], []
        for glob in globs:
            text = os.fsencode(glob).rstrip(b"/")
            if b"/" in text:
                wholes.append(_pattern(b"/" + text.lstrip(b"/"), across=False))
            elif text:
                names.append(_pattern(text, across=True))
        self._names = _either(names)
        self._wholes = _either(wholes)
        self._below: dict[bytes, set[bytes]] = {}
        for path in paths:
            folder, _, name = path.rpartition(b"/")
            self._below.setdefault(folder or b"/", set()).add(name)

    def within(self, folder: bytes) -> NameTest | None:
        """The test for names in the directory at this view path; None when all are wanted."""
        exact = self._below.get(folder)
        names, wholes = self._names, self._wholes
        if exact is None and names is None and wholes is None:
            return None
        prefix = b"/" if folder == b"/" else folder + b"/"

        def left_out(name: bytes) -> bool:
            return bool(
                (exact is not None and name in exact)
                or (names is not None and names.fullmatch(name))
                or (wholes is not None and wholes.fullmatch(prefix + name))
            )

        return left_out

    def covers(self, path: bytes) -> bool:
        """Whether a view path, or anything above it, is left out."""
        folder, parts = b"/", path.strip(b"/").split(b"/")
        for name in parts if path != b"/" else []:
            test = self.within(folder)
            if test is not None and test(name):
                return True
            folder = (b"" if folder == b"/" else folder) + b"/" + name
        return False

    def __repr__(self) -> str:
        return f"Exclusion(names={self._names}, paths={self._wholes}, below={self._below})"


def view_paths(root: bytes, host_paths: Sequence[bytes]) -> list[bytes]:
    """View paths of those host paths that lie below the root, links resolved."""
    top = os.path.realpath(root)
    prefix = top.rstrip(b"/") + b"/"
    whole = (os.path.realpath(path) for path in host_paths)
    return [b"/" + path[len(prefix) :] for path in whole if path.startswith(prefix)]


def _either(patterns: list[bytes]) -> re.Pattern[bytes] | None:
    return re.compile(b"|".join(patterns), re.DOTALL) if patterns else None


def _pattern(glob: bytes, *, across: bool) -> bytes:
    """A glob as a regular expression; `across`: the text it is used on has no slashes."""
    out, at = b"", 0
    any_run, any_one = (b".*", b".") if across else (b"[^/]*", b"[^/]")
    while at < len(glob):
        char = glob[at : at + 1]
        at += 1
        if char == b"*":
            if glob[at : at + 1] == b"*":
                at += 1
                if glob[at : at + 1] == b"/":  # `**/x` is x at any depth, the top included
                    at += 1
                    out += b"(?:.*/)?"
                else:
                    out += b".*"
            else:
                out += any_run
        elif char == b"?":
            out += any_one
        elif char == b"[":
            end = glob.find(b"]", at + 2 if glob[at : at + 1] in b"!^" else at + 1)
            if end < 0:
                out += rb"\["
                continue
            inner = glob[at:end].replace(b"\\", rb"\\").replace(b"[", rb"\[")
            if inner[:1] in b"!^":
                inner = b"^" + inner[1:]
            out += b"[" + inner + b"]"
            at = end + 1
        else:
            out += re.escape(char)
    return b"(?:" + out + b")"
