"""The directories that `fustor up` is given: each must be one that can be watched."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from fustor_core.cli.failure import DENIED, Failure, usage
from fustor_core.cli.names import below, quoted
from fustor_core.errors import FustorError


@dataclass(frozen=True, slots=True)
class Root:
    """A directory to watch: as it was typed, and where it really is."""

    typed: bytes
    real: bytes


def checked(arguments: Sequence[str], home: Path) -> list[Root]:
    """The directories, when all of them can be watched at once.

    Args:
        arguments: as typed.
        home: the state directory.

    Raises:
        Failure: the first that cannot, with what to do about it (exit 2, or 6 when not readable).
    """
    roots = [_directory(os.fsencode(argument)) for argument in arguments]
    state = os.path.realpath(os.fsencode(home))
    for root in roots:
        if below(root.real, state):
            raise usage(
                f"{quoted(root.typed)} is the state directory itself, or lies inside it: "
                f"{quoted(state)}",
                remedy="keep the state elsewhere: --home DIR, or FUSTOR_HOME",
            )
    for number, root in enumerate(roots):
        for other in roots[:number]:
            if below(root.real, other.real) or below(other.real, root.real):
                raise _nested(other, root)
    return roots


def _directory(typed: bytes) -> Root:
    try:
        facts = os.stat(typed or b".")
    except OSError as error:
        raise _unusable(typed, error) from error
    if not stat.S_ISDIR(facts.st_mode):
        above = os.path.dirname(os.path.abspath(typed))
        raise usage(
            f"{quoted(typed)} is no directory", remedy=f"watch the one it is in: {quoted(above)}"
        )
    try:
        with os.scandir(typed or b"."):
            pass
        os.lstat(os.path.join(typed, b"."))  # readable, but may it be entered?
    except OSError as error:
        raise _unusable(typed, error) from error
    return Root(typed, os.path.realpath(typed))


def _unusable(typed: bytes, error: OSError) -> FustorError:
    if error.errno in (errno.EACCES, errno.EPERM):
        return Failure(
            DENIED,
            "forbidden",
            f"permission denied: {quoted(typed)} cannot be read",
            remedy="run as a user who may list and enter it, or change that: chmod u+rx",
        )
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        link = "is a symbolic link to nothing" if os.path.islink(typed) else "does not exist"
        near = _near(typed)
        meant = f"did you mean {quoted(near)}? else create it first" if near else "create it first"
        return usage(f"{quoted(typed)} {link}", remedy=meant)
    return Failure(1, "failed", f"{quoted(typed)} cannot be looked at: {error.strerror}")


def _near(typed: bytes) -> bytes:
    """A directory beside it with nearly the same name, or nothing."""
    above, name = os.path.split(os.path.normpath(typed))
    try:
        with os.scandir(above or b".") as entries:
            names = [os.fsdecode(entry.name) for entry in entries if entry.is_dir()]
    except OSError:
        return b""
    found = get_close_matches(os.fsdecode(name), names, n=1)
    return os.path.join(above, os.fsencode(found[0])) if found else b""


def _nested(first: Root, second: Root) -> FustorError:
    if first.real == second.real:
        same = f"{quoted(first.typed)} and {quoted(second.typed)} are the same directory"
        return usage(same, remedy="name it once")
    outer, inner = (first, second) if below(second.real, first.real) else (second, first)
    return usage(
        f"{quoted(inner.typed)} lies inside {quoted(outer.typed)}; views must be apart",
        remedy=f"name only {quoted(outer.typed)}; its view shows the other directory too",
    )
