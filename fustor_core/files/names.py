"""The names in a directory, as bytes."""

from __future__ import annotations

import os
import sys

_ENCODING = sys.getfilesystemencoding()
# Where the order of texts is that of their bytes: in UTF-8 of all that can be written in it.
_IN_ORDER = "utf-8" if _ENCODING == "utf-8" else "ascii"


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
    found.sort()  # texts are compared faster than bytes
    text = "\0".join(found)
    try:
        blob = text.encode(_IN_ORDER)
    except UnicodeEncodeError:  # a name that is no text in this encoding
        blob = text.encode(_ENCODING, "surrogateescape")
    else:
        return blob.split(b"\0"), blob
    names = blob.split(b"\0")
    names.sort()
    return names, b"\0".join(names)
