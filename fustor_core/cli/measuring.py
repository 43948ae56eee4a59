"""How far a measurement is: a bar on a terminal, else a line for each part."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from fustor_core.cli.call import Call


class Progress:
    """What goes on and how much of it is done; on stderr."""

    def __init__(self, call: Call) -> None:
        settings, self._screen = call.settings, call.screen
        self._drawn = self._screen.talk_terminal and not (settings.no_progress or settings.quiet)
        self._bar: Any = None
        self._task: Any = None
        self._last = ""

    def __repr__(self) -> str:
        return f"<Progress {self._last!r}>"

    def __enter__(self) -> Progress:
        if self._drawn:
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Drawn

            columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
            self._bar = Drawn(*columns, console=Console(stderr=True), transient=True)
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def tell(self, what: str, share: float) -> None:
        """Shows it.

        Args:
            share: how much of this part is done, 0 … 1; 0 may mean that nobody knows.
        """
        begun, self._last = what != self._last, what
        if self._bar is None:
            if begun and not self._drawn:
                self._screen.note(what)
            return
        if begun:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task = self._bar.add_task(what, total=None)
        if share:
            self._bar.update(self._task, total=1.0, completed=share)
