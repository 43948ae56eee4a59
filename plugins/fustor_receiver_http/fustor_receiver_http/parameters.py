"""What a query may say: the parameters of the read routes, checked here and nowhere else.

Durations, sizes and times as in interfaces.md §1; a path is text, or ``path_b64`` for bytes.
Every model turns into a `fustor_core.contracts.Query`, or its part of one.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

from fustor_core.units import parse_duration, parse_size

LIMIT = 1000
LIMIT_MAX = 10_000
STREAM_MAX = (1 << 31) - 1
EXPLAIN_LIMIT = 50
DEPTH_MAX = 1_000_000
TREE_DEPTH = 3
STABLE_S = 30.0
ID_MAX = (1 << 32) - 1
SIZE_MAX = (1 << 63) - 1  # no file is larger
NS_MIN, NS_MAX = -(1 << 63), (1 << 63) - 1
SECONDS_MAX = 200 * 365 * 86_400  # keeps nanoseconds within 64 bits
NS = 1_000_000_000

_LONGEST = 40  # characters of a size, a duration or a time
_LOST_PLUS = re.compile(r"(T.*) (\d\d:\d\d)$", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

TYPES = {
    "f": "file",
    "d": "dir",
    "l": "symlink",
    "p": "fifo",
    "s": "socket",
    "c": "char",
    "b": "block",
}


def seconds(text: str) -> float:
    """A duration, ``30`` or ``250ms 30s 10m 2h 7d``, in seconds.

    Raises:
        ValueError: it is none, or longer than 200 years.
    """
    length_s = parse_duration(_short(text))
    if length_s > SECONDS_MAX:
        raise ValueError(f"{text!r} is longer than 200 years")
    return length_s


def size(text: str) -> tuple[str, int]:
    """A size to compare with, ``1G``, ``+64KiB`` or ``-1MB``, as sign and bytes.

    Raises:
        ValueError: it is none, or larger than any file.
    """
    # an unescaped + in a URL arrives as a blank
    given = "+" + text[1:] if text.startswith(" ") else text
    sign = given[:1] if given[:1] in ("+", "-") else ""
    number = _short(given[len(sign) :])
    # digits alone are taken as they are: a float would not hold them all
    count = int(number) if number.isascii() and number.isdigit() else parse_size(number)
    if count > SIZE_MAX:
        raise ValueError(f"{text!r} is larger than any file")
    return sign, count


def moment_ns(text: str, now_ns: int) -> int:
    """A time, RFC 3339 or a duration before now, in ns since 1970.

    Args:
        text: ``2026-01-31T12:00:00Z``, ``2026-01-31`` (UTC), or ``2d`` for two days ago.
        now_ns: wall time in ns.

    Raises:
        ValueError: it is neither.
    """
    given = _short(text).strip()
    if given[:1].isdigit() and "-" not in given:
        return _clamped(now_ns - int(seconds(given) * NS))
    # an unescaped + of a zone arrives as a blank
    given = _LOST_PLUS.sub(r"\1+\2", given)
    try:
        at = datetime.fromisoformat(given)
    except ValueError:
        at = None
    if at is None or (at.tzinfo is None and len(given) > len("2026-01-31")):
        raise ValueError(f"{text!r} is no time; write 2d, 2026-01-31 or 2026-01-31T12:00:00Z")
    since = (at if at.tzinfo else at.replace(tzinfo=UTC)) - _EPOCH
    return _clamped(since // timedelta(microseconds=1) * 1000)


def _short(text: str) -> str:
    if len(text) > _LONGEST:
        raise ValueError(f"{text[:_LONGEST]!r}… is too long")
    return text


def _clamped(at_ns: int) -> int:
    return min(max(at_ns, NS_MIN), NS_MAX)


def view_path(raw: bytes) -> bytes:
    """A view path in its one form.

    Raises:
        ValueError: relative, with ``.`` or ``..``, or with a NUL.
    """
    if not raw.startswith(b"/"):
        raise ValueError("a view path starts with /")
    if b"\0" in raw:
        raise ValueError("no path holds a NUL")
    parts = [part for part in raw.split(b"/") if part]
    if b"." in parts or b".." in parts:
        raise ValueError("a view path has no . or .. in it")
    return b"/" + b"/".join(parts)


def plain_bytes(text: str) -> bytes:
    """base64, standard or for URLs, with or without padding.

    Raises:
        ValueError: it is none.
    """
    given = text.replace(" ", "+").replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(given + "=" * (-len(given) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("no base64") from error


def type_names(letters: list[str]) -> frozenset[str]:
    """``f,d`` or ``file`` as the types of entries.

    Raises:
        ValueError: there is no such type.
    """
    names = set()
    for letter in ",".join(letters).replace(" ", ",").split(","):
        if not letter:
            continue
        name = TYPES.get(letter, letter)
        if name not in TYPES.values():
            known = ", ".join(f"{short} ({long})" for short, long in TYPES.items())
            raise ValueError(f"no type {letter!r}; there are {known}")
        names.add(name)
    return frozenset(names)


def _flag(value: Any) -> Any:
    """``?suspect`` alone means yes."""
    return True if value == "" else value


def _text(example: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "examples": [example]})


def _checked(parse: Callable[[Any], Any]) -> AfterValidator:
    """Refuses what `parse` raises ValueError for, under the parameter's own name."""

    def check(value: Any) -> Any:
        parse(value)
        return value

    return AfterValidator(check)


Flag = Annotated[bool, BeforeValidator(_flag)]
Seconds = Annotated[float, BeforeValidator(seconds), _text("30s")]
Size = Annotated[str, _checked(size), _text("+1G")]
Moment = Annotated[str, _checked(lambda text: moment_ns(text, 0)), _text("2d")]
Path = Annotated[str, _checked(lambda text: view_path(text.encode())), _text("/a/b")]
PathBytes = Annotated[str, _checked(lambda text: view_path(plain_bytes(text))), _text("L2EvYg==")]
AnyBytes = Annotated[str, _checked(plain_bytes), _text("Ki5sb2c=")]
Types = Annotated[list[str], _checked(type_names)]
Limit = Annotated[
    int,
    Field(ge=1, le=STREAM_MAX, description=f"items; at most {LIMIT_MAX} in a document"),
]
Depth = Annotated[int, Field(ge=0, le=DEPTH_MAX)]


class Parameters(BaseModel):
    """No parameter that is not known."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Placed(Parameters):
    """Where: a view path as text, or as base64 of its bytes; left out, the root."""

    path: Path | None = Field(None, description="view path, / when left out")
    path_b64: PathBytes | None = Field(None, description="base64 of a view path that is no UTF-8")

    @model_validator(mode="after")
    def _one_path(self) -> Placed:
        self.place()
        return self

    def place(self) -> bytes:
        """The view path in bytes."""
        return chosen_path(self.path, self.path_b64, "path")


def chosen_path(text: str | None, encoded: str | None, name: str) -> bytes:
    """The one view path of two parameters, ``/`` when both are left out.

    Raises:
        ValueError: both are given, or it is none.
    """
    if text is not None and encoded is not None:
        raise ValueError(f"give {name} or {name}_b64, not both")
    if encoded is not None:
        return view_path(plain_bytes(encoded))
    return view_path(text.encode()) if text is not None else b"/"


class Paged(Placed):
    """A list, a page at a time."""

    limit: Limit | None = None
    cursor: str | None = Field(None, description="next_cursor of the page before")


class BlindParameters(Paged):
    by_directory: Flag = Field(False, description="one item a directory, with how many there are")


class TreeParameters(Placed):
    depth: Annotated[Depth, Field(description="0: no limit")] = TREE_DEPTH
    limit: Limit | None = None


class DuParameters(Placed):
    depth: Annotated[Depth, Field(description="0: the directory alone")] = 0


class StableParameters(Placed):
    quiet_s: Annotated[Seconds, Field(alias="for", description="quiet for how long")] = STABLE_S


class ChangesParameters(Placed):
    since: str | None = Field(None, description="cursor; left out: from now on")
    limit: Limit | None = None
    follow: Flag = Field(False, description="stay open and send changes as they happen")


class ExplainParameters(Placed):
    limit: Limit = EXPLAIN_LIMIT


class FindParameters(Paged):
    """`path` is where to search; ``in`` says the same in the words of the command line."""

    pattern: str | None = Field(None, description="glob or, with regex, RE2; all when left out")
    pattern_b64: AnyBytes | None = Field(None, description="base64 of a pattern that is no UTF-8")
    in_: Path | None = Field(None, alias="in", description="the same as path")
    in_b64: PathBytes | None = Field(None, description="the same as path_b64")
    regex: Flag = False
    whole_path: Flag = Field(False, description="match the whole view path, not the name")
    ignore_case: Flag = False
    size: Size | None = Field(None, description="1G equal, +1G larger, -1G smaller")
    newer: Moment | None = Field(None, description="mtime within a duration, or since a time")
    older: Moment | None = Field(None, description="mtime before a duration, or before a time")
    owner: str | None = Field(None, description="user, by name or number")
    group: str | None = Field(None, description="group, by name or number")
    type: Types = Field(default_factory=list, description="f d l p s c b, several with commas")
    suspect: Flag = False
    blind: Flag = False

    @model_validator(mode="after")
    def _sound(self) -> FindParameters:
        self.wanted()
        return self

    def place(self) -> bytes:
        """The view path in bytes."""
        if self.in_ is None and self.in_b64 is None:
            return super().place()
        if self.path is not None or self.path_b64 is not None:
            raise ValueError("give path or in, not both")
        return chosen_path(self.in_, self.in_b64, "in")

    def wanted(self) -> bytes:
        """The pattern in bytes."""
        if self.pattern is not None and self.pattern_b64 is not None:
            raise ValueError("give pattern or pattern_b64, not both")
        if self.pattern_b64 is not None:
            return plain_bytes(self.pattern_b64)
        if self.pattern is not None:
            return self.pattern.encode()
        return b"" if self.regex else b"*"

    def compared(self) -> tuple[str, int] | None:
        """Sign and bytes to compare the size with."""
        return None if self.size is None else size(self.size)

    def kinds(self) -> frozenset[str]:
        """The types of entries, empty for all."""
        return type_names(self.type)
