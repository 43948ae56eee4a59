"""Files that have changed since they were read: pipes that they no longer fit show it.

The files are looked at every two seconds. A pipe whose own settings would be others if they were
read again gets CONF_OUTDATED; it loses the flag when the files are as they were, or a reload has
made it follow. Files that cannot be used are told once, and change no flag.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import anyio
import anyio.to_thread

from fustor_core.config import Config, ConfigErrors, Loaded
from fustor_core.pipeline import AgentPipeline
from fustor_core.reconcile import reconcile
from fustor_core.states.pipeline import PIPELINE, PipelineState

POLL_S = 2.0


class Drift:
    """Compares what runs with what the files say.

    Args:
        loaded: as read at the start. running: gives the configuration that runs.
        pipes: gives the pipelines. warn: told about files that cannot be used.
    """

    def __init__(
        self,
        loaded: Loaded,
        running: Callable[[], Config],
        pipes: Callable[[], Mapping[str, AgentPipeline]],
        warn: Callable[..., None],
    ) -> None:
        self._read = loaded  # what the files said the last time that they could be used
        self._bad: Mapping[Path, str | None] = {}
        self._running, self._pipes, self._warn = running, pipes, warn

    def __repr__(self) -> str:
        return f"<Drift of {len(self._read.merged.files)} files>"

    async def watch(self) -> None:
        """Look again and again; returns at once for a configuration that is not from files."""
        while self._read.reading is not None:
            await self.look()
            await anyio.sleep(POLL_S)

    async def look(self) -> None:
        """Look once."""
        try:
            fresh = await anyio.to_thread.run_sync(self._look_at_files)
        except ConfigErrors as error:
            self._warn(
                f"a configuration file has changed and cannot be used: {placed(error)};"
                " what runs goes on as it was read before",
                file=error.file,
                line=error.line,
                column=error.column,
            )
        else:
            self.read(fresh)

    def read(self, loaded: Loaded) -> None:
        """This is what the files say now."""
        self._read = loaded
        plan = reconcile(self._running(), loaded.config)
        outdated = {one.name for one in plan.of("pipe", "adopt", "restart", "stop")}
        for name, pipe in self._pipes().items():
            shown = bool(pipe.state & PipelineState.CONF_OUTDATED)
            wanted = name in outdated
            event = "config_changed" if wanted else "config_restored"
            # A pipe that begins or ends just now is looked at again in a moment.
            if shown is not wanted and event in PIPELINE.legal_events(pipe.state):
                pipe.outdated(on=wanted)

    def _look_at_files(self) -> Loaded:
        """What the files say; as before when they have not changed, or still cannot be used.

        Raises:
            ConfigErrors: they cannot be used, which was not known yet.
        """
        found = self._read.fingerprint()
        if found in (self._read.known(), self._bad):
            return self._read
        self._bad = found
        return self._read.again()


def placed(error: ConfigErrors) -> str:
    """What is wrong and where, in one line."""
    place = ":".join(str(part) for part in (error.file, error.line, error.column) if part)
    more = f" (and {len(error.errors) - 1} more)" if len(error.errors) > 1 else ""
    return f"{place}: {error.message}{more}" if place else f"{error.message}{more}"
