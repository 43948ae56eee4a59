"""Where a list goes on: behind the last entry that was told, so that changes do not shift it.

Opaque to users; valid as long as the view is, whatever happened to the entry that it names.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

from fustor_core.errors import QueryError

_LENGTH_MAX = 1 << 20


def cursor_of(verb: str, directory: Sequence[bytes], name: bytes) -> str:
    """The cursor behind an entry.

    Args:
        verb: the question; a cursor is good for the same one.
        directory: names of the directory's path. name: the entry's.
    """
    raw = b"\0".join((verb.encode(), b"/".join(directory), name))
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def read_cursor(verb: str, cursor: str) -> tuple[tuple[bytes, ...], bytes]:
    """The directory and name in a cursor.

    Raises:
        QueryError: it was not made for this question.
    """
    refusal = QueryError(
        f"{cursor[:40]!r} is no cursor of {verb}",
        remedy="give next_cursor of the answer before, or leave it out to begin anew",
    )
    if len(cursor) > _LENGTH_MAX or not cursor.isascii():
        raise refusal
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        fields = base64.b64decode(padded, altchars=b"-_", validate=True).split(b"\0")
    except (binascii.Error, ValueError) as error:
        raise refusal from error
    if len(fields) != 3 or fields[0] != verb.encode():
        raise refusal
    directory = tuple(part for part in fields[1].split(b"/") if part)
    return directory, fields[2]
