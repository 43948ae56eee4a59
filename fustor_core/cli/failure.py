"""From errors to exit codes and to one clear message (interfaces.md §2)."""

from __future__ import annotations

import errno
import json
import sys
from typing import Any

import typer

from fustor_core.cli.names import safe
from fustor_core.client import TimedOut
from fustor_core.errors import (
    ConfigError,
    CursorTooOld,
    DamagedState,
    DiskFull,
    FustorError,
    IllegalTransition,
    NoSuchKey,
    NoSuchView,
    PluginError,
    QueryError,
    Refused,
    SequenceGap,
    SlowDown,
    StateError,
    StateInUse,
    Unreachable,
)
from fustor_core.problems import URN, Problem

OK, FAILED, USAGE, CONFIG, UNREACHABLE, NOT_FOUND, DENIED, PARTIAL, CONFLICT = range(9)
UNVERIFIED = 9
OUT_OF_TIME = 124
INTERRUPTED = 130
TERMINATED = 143

_EXITS: tuple[tuple[type[FustorError], int, str], ...] = (  # the first that fits
    (IllegalTransition, CONFLICT, "illegal-transition"),
    (ConfigError, CONFIG, "config"),
    (StateInUse, CONFLICT, "state-in-use"),
    (DamagedState, UNVERIFIED, "damaged"),
    (StateError, CONFIG, "state"),
    (PluginError, FAILED, "plugin"),
    (CursorTooOld, FAILED, "cursor-too-old"),
    (NoSuchView, NOT_FOUND, "no-such-view"),
    (NoSuchKey, NOT_FOUND, "no-such-key"),
    (QueryError, USAGE, "malformed"),
    (TimedOut, OUT_OF_TIME, "timeout"),
    (Unreachable, UNREACHABLE, "unreachable"),
    (SlowDown, UNREACHABLE, "slow-down"),
    (DiskFull, FAILED, "disk-full"),
    (Refused, DENIED, "forbidden"),
    (SequenceGap, CONFLICT, "sequence-gap"),
)
_SLUGS = {
    "absent": NOT_FOUND,
    "unknown-path": PARTIAL,
    "no-such-view": NOT_FOUND,
    "no-such-forest": NOT_FOUND,
    "no-such-job": NOT_FOUND,
    "no-such-key": NOT_FOUND,
    "no-such-pipe": NOT_FOUND,
    "view-locked": CONFLICT,
    "illegal-transition": CONFLICT,
    "sequence-gap": CONFLICT,
    "too-large": USAGE,
    "unsupported-media": USAGE,
}
_STATUSES = {  # of the problem documents that are made here
    USAGE: 400,
    CONFIG: 422,
    UNREACHABLE: 503,
    NOT_FOUND: 404,
    DENIED: 403,
    CONFLICT: 409,
    OUT_OF_TIME: 504,
}


class Failure(FustorError):
    """A command's own end: its exit code, and what to tell.

    Args:
        code: exit code.
        slug: kind of the problem, for ``--json``.
        message, remedy: as for every error.
        extra: further fields of the problem document.
    """

    def __init__(
        self, code: int, slug: str, message: str, *, remedy: str = "", **extra: Any
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.code = code
        self.slug = slug
        self.extra = extra


def usage(message: str, *, remedy: str = "") -> Failure:
    """Arguments that make no sense: exit 2."""
    return Failure(USAGE, "usage", message, remedy=remedy)


def exit_code(error: FustorError | OSError | typer.TyperException) -> int:
    """The exit code of an error (interfaces.md §2)."""
    return _judged(error)[0]


def document(error: FustorError | OSError | typer.TyperException) -> dict[str, Any]:
    """The error as a problem document; one that came from the server is kept as it came."""
    cause = error if isinstance(error, Problem) else error.__cause__
    if isinstance(cause, Problem):
        return cause.document
    code, slug = _judged(error)
    made = {
        "type": URN + slug,
        "title": slug.replace("-", " "),
        "status": _STATUSES.get(code, 500),
        "detail": message(error),
        "instance": "",
        "exit": code,
    }
    remedy = getattr(error, "remedy", "")
    if remedy:
        made["remedy"] = remedy
    if isinstance(error, Failure):
        made.update(error.extra)
    for key in ("file", "line", "column", "key", "suggestion", "cursor", "pid"):
        value = getattr(error, key, None)
        if isinstance(error, FustorError) and value not in (None, ""):
            made[key] = value
    return made


def message(error: BaseException) -> str:
    """What is wrong, in one or a few lines."""
    if isinstance(error, typer.TyperException):
        return error.format_message()
    if isinstance(error, OSError):
        reason = error.strerror or str(error)
        return f"{reason}: {error.filename}" if error.filename else reason
    return error.message if isinstance(error, FustorError) else str(error)


def report(error: FustorError | OSError | typer.TyperException, *, as_json: bool) -> int:
    """Tells the error on stderr and returns the exit code."""
    if as_json:
        text = json.dumps(document(error), ensure_ascii=True)
    else:
        text = "\n".join(told(error))
    # The screen may not exist yet: arguments can be wrong before it is made.
    shown = text.encode(sys.stderr.encoding or "ascii", "backslashreplace")
    sys.stderr.flush()
    sys.stderr.buffer.write(shown + b"\n")
    sys.stderr.buffer.flush()
    return exit_code(error)


def _judged(error: FustorError | OSError | typer.TyperException) -> tuple[int, str]:
    if isinstance(error, Failure):
        return error.code, error.slug
    if isinstance(error, Problem):
        by_status = DENIED if error.status in (401, 403) else FAILED
        return _SLUGS.get(error.slug, by_status), error.slug
    if isinstance(error, typer.TyperException):
        return USAGE, "usage"
    if isinstance(error, OSError):
        denied = error.errno in (errno.EACCES, errno.EPERM)
        return (DENIED, "forbidden") if denied else (FAILED, "failed")
    for kind, code, slug in _EXITS:
        if isinstance(error, kind):
            return code, slug
    return FAILED, "failed"


def told(error: FustorError | OSError | typer.TyperException) -> list[str]:
    """The error as lines for people: what, where, and the remedy."""
    several = getattr(error, "errors", ())
    if len(several) > 1:
        return [line for one in several for line in told(one)]
    place = ""
    if isinstance(error, ConfigError) and error.file and not message(error).startswith(error.file):
        place = ":".join(str(part) for part in (error.file, error.line, error.column) if part)
        place += ": "
    first, *more = message(error).splitlines() or [""]
    lines = [f"fustor: {safe(place)}{safe(first)}", *(f"  {safe(line)}" for line in more)]
    if isinstance(error, ConfigError) and error.excerpt:
        lines += excerpt_lines(error.excerpt, error.line, error.column)
    if isinstance(error, ConfigError) and error.suggestion:
        lines.append(f"  suggestion: {safe(error.suggestion)}")
    if isinstance(error, CursorTooOld) and error.cursor:
        lines.append(f"  go on with: --since {safe(error.cursor)}")
    context = getattr(error, "ctx", None)
    if isinstance(error, typer.TyperException) and context is not None:
        lines.append(f"  {context.get_usage()}")
        lines.append(f"  help: {context.command_path} --help")
    remedy = getattr(error, "remedy", "")
    if remedy:
        lines.append(f"  remedy: {safe(remedy)}")
    return lines


def excerpt_lines(excerpt: str, line: int | None, column: int | None) -> list[str]:
    """A line of a file with its number, and a mark under the column."""
    number = f"{line} | " if line else "| "
    lines = [f"    {number}{safe(excerpt)}"]
    if column:
        lines.append("    " + " " * (len(number) + len(safe(excerpt[: column - 1]))) + "^")
    return lines
