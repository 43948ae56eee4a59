"""View paths as parts, and their form in documents (interfaces.md §1)."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from fustor_core.errors import QueryError

PATH_BYTES_MAX = 1 << 19
_SHOWN = 80


def parts_of(path: bytes) -> tuple[bytes, ...]:
    """The names in a view path; empty for the root. Repeated and final slashes are forgiven.

    Raises:
        QueryError: empty, relative, too long, or with a NUL, ``.`` or ``..`` in it.
    """
    if len(path) > PATH_BYTES_MAX:
        raise QueryError(
            f"a path of {len(path)} bytes is too long",
            remedy=f"view paths have at most {PATH_BYTES_MAX} bytes",
        )
    if not path.startswith(b"/"):
        raise QueryError(
            f"{_shown(path)} is no view path", remedy="begin it with /, which is the watched root"
        )
    if b"\0" in path:
        raise QueryError(f"{_shown(path)} holds a NUL byte", remedy="no name has one: leave it out")
    parts = tuple(part for part in path.split(b"/") if part)
    if b"." in parts or b".." in parts:
        raise QueryError(
            f"{_shown(path)} has . or .. in it", remedy="write the path without them, from the root"
        )
    return parts


def path_of(parts: Sequence[bytes]) -> bytes:
    """The view path of some names."""
    return b"/" + b"/".join(parts)


def under(path: bytes, name: bytes) -> bytes:
    """The view path of a name in a directory."""
    return path + name if path == b"/" else path + b"/" + name


def named(key: str, raw: bytes) -> dict[str, str]:
    """``{key: text}``, or ``{key_b64: …}`` for bytes that are no UTF-8."""
    try:
        return {key: raw.decode()}
    except UnicodeDecodeError:
        return {f"{key}_b64": base64.b64encode(raw).decode()}


def example(path: bytes) -> str | dict[str, str]:
    """A path in a list of paths: text, or ``{path_b64}``."""
    found = named("path", path)
    return found.get("path", found)


def answered(view: str, path: bytes, **rest: Any) -> dict[str, Any]:
    """A document that begins with its view and path."""
    return {"view": view, **named("path", path), **rest}


def _shown(path: bytes) -> str:
    shown = path[:_SHOWN].decode(errors="backslashreplace")
    return repr(shown + ("…" if len(path) > _SHOWN else ""))
