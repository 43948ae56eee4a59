"""The files of a key store: the table without secrets, and the pepper (0600 both)."""

from __future__ import annotations

import errno
import hmac
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from fustor_core.contracts import RIGHTS, Right
from fustor_core.documents import stamp_text
from fustor_core.errors import DiskFull, StateError
from fustor_core.keys import Key
from fustor_core.state import write_atomic
from fustor_core.state.files import FILE_MODE

TABLE = "keys.json"
PEPPER = "keys.pepper"
FORMAT = 1
PEPPER_BYTES = 32
IN_ORDER: tuple[Right, ...] = ("push", "read", "scan", "admin")


class Row(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A key as it is stored; times in µs since 1970."""

    id: str
    digest: str
    scopes: list[Right]
    views: list[str]
    pipes: list[str]
    created_us: int
    expires_us: int | None = None
    revoked_us: int | None = None
    last_used_us: int | None = None


class Stored(msgspec.Struct):
    """The file `keys.json`; `check` is over all else, under the pepper."""

    format: int
    check: str = ""
    keys: list[Row] = []

    def checked(self, pepper: bytes) -> str:
        """What `check` must be."""
        content = msgspec.json.encode(Stored(self.format, "", self.keys))
        return hmac.new(pepper, content, "sha256").hexdigest()


def read_keys(folder: Path) -> tuple[bytes | None, dict[str, Key]]:
    """The pepper, None before the first key was made, and the table.

    Files that others may read are closed to them. What a killed process left is removed.

    Raises:
        StateError: a file cannot be read, is of a newer format, or the pepper is missing.
    """
    try:
        for left in folder.glob(".keys.*.new"):
            left.unlink()
        content, pepper = _read(folder / TABLE), _read(folder / PEPPER)
    except OSError as error:
        raise StateError(f"{error.filename}: {error.strerror or error}") from error
    stored = None if content is None else _decoded(folder / TABLE, content)
    if pepper is None and (stored is None or not stored.keys):
        return None, {}
    if pepper is None or len(pepper) != PEPPER_BYTES:
        raise StateError(
            f"{folder / PEPPER} is missing or damaged: no key can be checked without it",
            remedy=f"put it back from a copy, or move {folder / 'keys.*'} away: all keys end then",
        )
    if stored is not None and not _same(stored, pepper):
        both = folder / "keys.*"
        raise StateError(
            f"{folder / TABLE} or {folder / PEPPER} is damaged: they do not belong together",
            remedy=f"put both back from a copy, or move {both} away: all keys end then",
        )
    return pepper, {} if stored is None else _table(stored)


def write_keys(folder: Path, pepper: bytes, keys: Iterable[Key]) -> None:
    """Replace the table; the pepper is written before the first one.

    Raises:
        DiskFull, StateError: nothing has changed.
    """
    rows = [
        Row(
            key.id,
            key.digest,
            [right for right in IN_ORDER if right in key.rights],
            list(key.views),
            list(key.pipes),
            key.created_us,
            key.expires_us,
            key.revoked_us,
            key.last_used_us,
        )
        for key in keys
    ]
    stored = Stored(FORMAT, "", rows)
    stored.check = stored.checked(pepper)
    content = msgspec.json.format(msgspec.json.encode(stored), indent=1) + b"\n"
    try:
        if not (folder / PEPPER).exists():
            write_atomic(folder / PEPPER, pepper)
        write_atomic(folder / TABLE, content)
    except OSError as error:
        told = f"the keys cannot be written to {folder / TABLE}: {error.strerror or error}"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(told, remedy="free space on that disk and ask again") from error
        raise StateError(told) from error


def key_document(key: Key) -> dict[str, Any]:
    """Key of interfaces.md §2."""
    return {
        "id": key.id,
        "scopes": [right for right in IN_ORDER if right in key.rights],
        "views": list(key.views),
        "pipes": list(key.pipes),
        "created": _text(key.created_us),
        "expires": _text(key.expires_us),
        "last_used": _text(key.last_used_us),
        "revoked": _text(key.revoked_us),
    }


def _text(at_us: int | None) -> str | None:
    return None if at_us is None else stamp_text(at_us * 1000)


def _read(path: Path) -> bytes | None:
    """The content, None when there is no file; from then on nobody else may read it."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with os.fdopen(fd, "rb") as file:
        if os.fstat(fd).st_mode & 0o077:
            os.fchmod(fd, FILE_MODE)
        return file.read()


def _decoded(path: Path, content: bytes) -> Stored:
    remedy = f"put it back from a copy, or move {path} away: all keys end then"
    try:
        found = msgspec.json.decode(content, type=Stored)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StateError(f"{path} is damaged: {error}", remedy=remedy) from error
    if found.format > FORMAT:
        raise StateError(
            f"{path} has format {found.format}; this version reads up to {FORMAT}",
            remedy="use the version that wrote it, or a newer one",
        )
    return found


def _same(stored: Stored, pepper: bytes) -> bool:
    """Whether the table was written with this pepper, and as it is."""
    return hmac.compare_digest(stored.check.encode(), stored.checked(pepper).encode())


def _table(stored: Stored) -> dict[str, Key]:
    return {
        row.id: Key(
            id=row.id,
            digest=row.digest,
            rights=RIGHTS.intersection(row.scopes),
            views=tuple(row.views),
            pipes=tuple(row.pipes),
            created_us=row.created_us,
            expires_us=row.expires_us,
            revoked_us=row.revoked_us,
            last_used_us=row.last_used_us,
        )
        for row in stored.keys
    }
