"""What the program tells while it runs: the events of interfaces.md §2."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import anyio

from fustor_core.contracts import Query
from fustor_core.documents import stamp_text
from fustor_core.fusion_pipe import FusionPipeline

PAUSE_S = 0.25
LOOK_S = 0.02  # who waits for `ready` waits no longer than that
STATUS_S = 1.0

Tell = Callable[[dict[str, Any]], None]


def event(kind: str, **fields: Any) -> dict[str, Any]:
    """An event, stamped with the time of day."""
    return {"event": kind, "ts": stamp_text(time.time_ns()), **fields}


class ViewReporter:
    """Watches one view and tells how its first scan goes, that it is ready, and what it holds.

    Args:
        pipeline: the view. about: more fields for ``ready``, asked when it is told.
        scanned: whether the first scan of every pipe of this process that feeds it is over.
        tell: takes the events.
    """

    def __init__(
        self,
        pipeline: FusionPipeline,
        *,
        about: Callable[[], Mapping[str, Any]],
        scanned: Callable[[], bool],
        tell: Tell,
    ) -> None:
        self._pipeline = pipeline
        self._about, self._scanned, self._tell = about, scanned, tell
        self._began = time.monotonic()
        self._last: tuple[Any, ...] = ()

    async def run(self) -> None:
        """Report until cancelled."""
        while not self._scanned():
            self._tell(event("scanning", **self._figures()))
            await _ends(self._scanned)
        self._tell(event("ready", **self._figures(), **self._about()))
        while True:
            await anyio.sleep(STATUS_S)
            figures = self._figures()
            seen = tuple(v for k, v in figures.items() if k not in ("seconds", "files_per_s"))
            if seen != self._last:
                self._last = seen
                self._tell(event("status", **figures))

    def _figures(self) -> dict[str, Any]:
        seconds = time.monotonic() - self._began
        document: dict[str, Any] = {}
        for page in self._pipeline.view.read(Query("status"), self._pipeline.moment()):
            document = page.document or document
        quality = document.get("quality", {})
        files, dirs = document.get("files", 0), document.get("dirs", 0)
        return {
            "view": self._pipeline.options.view,
            "files": files,
            "dirs": dirs,
            "entries": document.get("entries", files + dirs),
            "bytes": document.get("bytes", 0),
            "seconds": round(seconds, 3),
            "files_per_s": round(files / seconds) if seconds else 0,
            "unscanned": quality.get("unscanned_total", 0),
            "sessions": len(self._pipeline.standing.sessions),
            "quality": quality,
        }


class PipeReporter:
    """Watches one pipe that feeds a view elsewhere: its state, that it is ready, its trouble.

    Ready is a pipe whose first scan is over, or that follows. A new error is a warning, and so is
    what its source warns of.

    Args:
        ask: gives its document (Pipe of interfaces.md §2).
        scanned: whether its first scan is over.
        socket: where the process answers. tell: takes the events.
    """

    SHOWN = ("sink", "view", "state", "flags", "role", "queue", "unacked_bytes", "watched_dirs")

    def __init__(
        self,
        ask: Callable[[], Mapping[str, Any]],
        *,
        scanned: Callable[[], bool],
        socket: str,
        tell: Tell,
    ) -> None:
        self._ask, self._scanned, self._socket, self._tell = ask, scanned, socket, tell
        self._last: dict[str, Any] = {}
        self._error: str | None = None
        self._warned: set[str] = set()

    async def run(self) -> None:
        """Report until cancelled."""
        ready = False
        while True:
            document = self._ask()
            fields = {"pipe": document["id"], **{key: document[key] for key in self.SHOWN}}
            self._warn_of(document)
            if not ready and self._scanned():
                ready = True
                self._tell(event("ready", **fields, socket=self._socket))
            elif fields != self._last:
                self._tell(event("status", **fields, socket=self._socket))
            self._last = fields
            if ready:
                await anyio.sleep(STATUS_S)
            else:
                await _ends(self._scanned)

    def _warn_of(self, document: Mapping[str, Any]) -> None:
        """An error that is not the last one again."""
        error = document["last_error"] if document["errors_in_row"] else None
        if error is not None and error != self._error:
            told = f"pipe {document['id']}: {error}"
            self._tell(event("warning", message=told, pipe=document["id"]))
        self._error = error
        warnings = set(document["warnings"])
        for warning in sorted(warnings - self._warned):
            told = f"pipe {document['id']}: {warning}"
            self._tell(event("warning", message=told, pipe=document["id"]))
        self._warned = warnings


async def _ends(scanned: Callable[[], bool]) -> None:
    """Waits until the first scan is over, or for the time between two events."""
    for _ in range(round(PAUSE_S / LOOK_S)):
        if scanned():
            return
        await anyio.sleep(LOOK_S)
