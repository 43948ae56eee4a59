"""``${VAR}``, ``${VAR:-x}``, ``${file:/run/secrets/k}`` and ``$$`` in values."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

_FILE_BYTES_MAX = 1 << 20
_REFERENCE = re.compile(r"\$\$|\$\{([^}]*)\}|\$\{")
_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)


class InterpolationError(ValueError):
    """A reference that cannot be resolved; `offset` is where it begins in the text."""

    def __init__(self, message: str, *, offset: int, suggestion: str = "") -> None:
        super().__init__(message)
        self.offset = offset
        self.suggestion = suggestion


@dataclass(frozen=True, slots=True)
class Interpolated:
    """A value's text, and the files that parts of it came out of, with a digest each."""

    text: str
    files: Mapping[Path, str] = field(default_factory=dict)


def digest_of(content: bytes) -> str:
    """What tells whether a file has changed."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def interpolate(text: str, environ: Mapping[str, str], folder: Path) -> Interpolated:
    """Resolve every reference in `text`, once: what comes in is not looked at again.

    Args:
        environ: variables; one that is set but empty counts as empty, with ``:-x`` as x.
        folder: where relative ``${file:…}`` paths begin. One line end at a file's end is dropped.

    Raises:
        InterpolationError: no such variable or file, or a ``${`` that never ends.
    """
    parts: list[str] = []
    files: dict[Path, str] = {}
    at = 0
    for found in _REFERENCE.finditer(text):
        parts.append(text[at : found.start()])
        at = found.end()
        if found[0] == "$$":
            parts.append("$")
        elif found[1] is None:
            raise InterpolationError(
                "`${` without its `}`", offset=found.start(), suggestion="$${ for the text itself"
            )
        elif found[1].startswith("file:"):
            path = folder / found[1][5:].strip()
            parts.append(_read(path, found.start(), files))
        else:
            parts.append(_variable(found[1], environ, found.start()))
    parts.append(text[at:])
    return Interpolated("".join(parts), files)


def _variable(reference: str, environ: Mapping[str, str], offset: int) -> str:
    form = _VARIABLE.fullmatch(reference)
    if form is None:
        raise InterpolationError(
            f"`${{{reference}}}` is no reference",
            offset=offset,
            suggestion="${VAR}, ${VAR:-default}, ${file:/path}, or $${ for the text itself",
        )
    name, default = form[1], form[2]
    value = environ.get(name)
    if default is not None:
        return value or default
    if value is None:
        near = get_close_matches(name, environ, n=1, cutoff=0.8)
        raise InterpolationError(
            f"the environment variable {name} is not set",
            offset=offset,
            suggestion=f"${{{near[0]}}}" if near else f"${{{name}:-default}}",
        )
    return value


def _read(path: Path, offset: int, files: dict[Path, str]) -> str:
    try:
        with open(path, "rb") as stream:
            data = stream.read(_FILE_BYTES_MAX + 1)
        if len(data) > _FILE_BYTES_MAX:
            raise InterpolationError(f"{path} is too large for a value", offset=offset)
        text = data.decode()
    except OSError as error:
        raise InterpolationError(
            f"{path} cannot be read: {error.strerror}", offset=offset
        ) from error
    except UnicodeDecodeError as error:
        raise InterpolationError(f"{path} is no text", offset=offset) from error
    files[path] = digest_of(data)
    return text.removesuffix("\n").removesuffix("\r")
