"""Who asks: told beside a request, for the audit log. No decision depends on it."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks for something.

    Args:
        way: how it came: ``key`` and ``network`` (a request that showed a good key, or none),
            ``socket`` (the Unix socket), ``files`` (a command that works on the state directory
            itself), ``signal``, ``program`` (nobody: the program by itself).
        key_id: the key that was shown. address: where it came from.
        uid: of who has opened the socket, runs the command or sent the signal; None = not known.
    """

    way: Literal["key", "network", "socket", "files", "signal", "program"] = "program"
    key_id: str = ""
    address: str = ""
    uid: int | None = None

    def document(self) -> dict[str, Any]:
        """As it stands in the audit log."""
        known = {"key": self.key_id or None, "address": self.address or None, "uid": self.uid}
        return {
            "way": self.way,
            **{key: value for key, value in known.items() if value is not None},
        }


PROGRAM = Asker()
ASKER: ContextVar[Asker] = ContextVar("fustor_asker", default=PROGRAM)
"""Who asks for what is being done; a receiver sets it for each request."""
