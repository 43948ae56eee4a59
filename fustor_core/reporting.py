"""What `up` and `run` tell while they run: the events of interfaces.md §2."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import anyio

from fustor_core.contracts import Query
from fustor_core.documents import stamp_text
from fustor_core.fusion_pipe import FusionPipeline

PAUSE_S = 0.25
STATUS_S = 1.0

Tell = Callable[[dict[str, Any]], None]


def event(kind: str, **fields: Any) -> dict[str, Any]:
    """An event, stamped with the time of day."""
    return {"event": kind, "ts": stamp_text(time.time_ns()), **fields}


class Reporter:
    """Watches one view and tells how its first scan goes, that it is ready, and what it holds.

    Args:
        pipeline: the view. about: more fields for ``ready``, asked when it is told.
        tell: takes the events.
    """

    def __init__(
        self, pipeline: FusionPipeline, about: Callable[[], Mapping[str, Any]], tell: Tell
    ) -> None:
        self._pipeline = pipeline
        self._about = about
        self._tell = tell
        self._began = time.monotonic()
        self._last: tuple[Any, ...] = ()
        self.ready = anyio.Event()

    async def run(self, *, scanned: Callable[[], bool]) -> None:
        """Report until cancelled.

        Args:
            scanned: whether the first scan of every pipe that feeds the view is over.
        """
        while not scanned():
            self._tell(event("scanning", **self._figures()))
            await anyio.sleep(PAUSE_S)
        self._tell(event("ready", **self._figures(), **self._about()))
        self.ready.set()
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
            "quality": quality,
        }
