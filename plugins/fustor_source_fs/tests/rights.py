"""Rights that a process of a test gives up: the tests run as root."""

from __future__ import annotations

import ctypes
import struct

CAP_SYS_ADMIN = 21
_VERSION, _CAPS = 0x20080522, struct.Struct("=IIIIII")  # capabilities(7)


def without(*capabilities: int) -> None:
    """This process gives capabilities up."""
    libc = ctypes.CDLL(None, use_errno=True)
    head = struct.pack("=Ii", _VERSION, 0)
    data = ctypes.create_string_buffer(_CAPS.size)
    if libc.capget(head, data):
        raise OSError(ctypes.get_errno(), "capget")
    values = list(_CAPS.unpack(data.raw))
    for capability in capabilities:
        word, bit = divmod(capability, 32)
        values[word * 3] &= ~(1 << bit)
    if libc.capset(head, _CAPS.pack(*values)):
        raise OSError(ctypes.get_errno(), "capset")
