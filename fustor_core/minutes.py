"""The audit log of this process: whether one is kept, and what the program itself puts into it."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from importlib.metadata import version
from typing import Any

from fustor_core.acts import Book, Clerk
from fustor_core.config import FUSION, Loaded
from fustor_core.machine import Move
from fustor_core.state import StateDirectory
from fustor_core.state_runs.context import Scrubber


class Minutes:
    """What is written down of this process.

    Args:
        loaded: says whether a log is kept. state: where. warn: told sentences.

    Attributes:
        clerk: writes acts down; of nothing, where no log is kept.
    """

    def __init__(self, loaded: Loaded, state: StateDirectory, warn: Callable[[str], None]) -> None:
        config, roles = loaded.config.audit_log, loaded.roles
        serves = FUSION in roles
        wanted = serves if config.enabled is None else config.enabled
        part = state.fusion if serves else state.agent
        self._roles = roles
        self.book: Book | None = None
        if wanted:
            self.book = Book(
                part, rotate_bytes=config.rotate_bytes, keep_s=config.keep_age, warn=warn
            )
        self.clerk = Clerk(self.book)

    def __repr__(self) -> str:
        return f"<Minutes {self.book!r}>"

    def open(self, held: ExitStack, secrets: frozenset[str]) -> None:
        """Go on where the log ends.

        Args:
            held: closes it. secrets: texts that stand in no record.

        Raises:
            StateError: it cannot be read or written.
        """
        if self.book is None:
            return
        self.clerk.clean = Scrubber(secrets).clean
        self.book.open()
        held.callback(self.book.close)
        about = {"version": version("fustor"), "roles": list(self._roles), "pid": os.getpid()}
        self.clerk.note("start", **about, uid=os.getuid())

    def end(self, reason: str) -> None:
        """The process ends; what was noted is written when the log is closed."""
        self.clerk.spare(float("inf"))
        self.clerk.note("end", reason=reason)

    def moved(self, move: Move[Any]) -> None:
        """Who leads a view decides what is scanned: that is written down."""
        if move.machine == "leadership" and move.event in ("durable", "lapse"):
            self.clerk.note("leader-change", view=move.subject, state=str(move.new.value))

    def frozen(self, told: str, view: str) -> None:
        """A view keeps what a scan would have removed."""
        self.clerk.note("freeze", view=view, told=told)

    def document(self) -> dict[str, Any] | None:
        """For `fustor status`: its head is what others can remember."""
        if self.book is None:
            return None
        head = self.book.head
        return {"records": head.seq, "head": head.hash, "lost": self.book.lost}
