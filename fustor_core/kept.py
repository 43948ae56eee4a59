"""Tasks of one group, each of which can be ended by itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import anyio.abc


class Kept:
    """Named tasks of one group, each of which can be ended by itself."""

    def __init__(self) -> None:
        self._group: anyio.abc.TaskGroup | None = None
        self._kept: dict[str, tuple[anyio.CancelScope, anyio.Event]] = {}

    def __repr__(self) -> str:
        return f"<Kept {', '.join(self._kept)}>"

    def live_in(self, group: anyio.abc.TaskGroup) -> None:
        """What begins from now on is a task of this group."""
        self._group = group

    def begin(self, name: str, live: Callable[[], Awaitable[None]]) -> None:
        """Start a task."""
        assert self._group is not None, "it lives in no group yet"
        scope, over = anyio.CancelScope(), anyio.Event()
        self._kept[name] = scope, over
        self._group.start_soon(self._keep, name, live, name=name)

    async def _keep(self, name: str, live: Callable[[], Awaitable[None]]) -> None:
        scope, over = self._kept[name]
        try:
            with scope:
                await live()
        finally:
            over.set()

    async def end(self, name: str) -> None:
        """Cancel a task and wait for its end; one that there is not has ended."""
        found = self._kept.pop(name, None)
        if found is not None:
            scope, over = found
            scope.cancel()
            await over.wait()
