"""The names in a directory, as bytes."""

from __future__ import annotations

import os
import sys

_ENCODING = sys.getfilesystemencoding()


def entries(fd: int) -> list[bytes]:
    """Names in the directory open on `fd`, as bytes, unsorted.

    Raises:
        OSError: as readdir.
    """
    names = os.listdir(fd)  # by descriptor it gives text only: back to bytes in one go
    return "\0".join(names).encode(_ENCODING, "surrogateescape").split(b"\0") if names else []


def in_order(fd: int) -> tuple[list[bytes], bytes]:
    """(names in the directory open on `fd` in the order of their bytes, the same as one blob).

    Raises:
        OSError: as readdir.
    """
    found = os.listdir(fd)
    if not found:
        return [], b""
    found.sort()  # texts are compared faster than bytes; of ASCII the order is the same
    text = "\0".join(found)
    blob = text.encode(_ENCODING, "surrogateescape")
    names = blob.split(b"\0")
    if text.isascii():
        return names, blob
    names.sort()
    return names, b"\0".join(names)
