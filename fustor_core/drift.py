"""Files that have changed since they were read: pipes and views that they no longer fit show it.

The files are looked at every two seconds. What would have other settings if they were read again
gets CONF_OUTDATED; it loses the flag when the files are as they were, or a reload has
made it follow. Files that cannot be used are told once, and change no flag.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import anyio
import anyio.to_thread

from fustor_core.config import Config, ConfigErrors, Loaded
from fustor_core.fusion_pipe import FusionPipeline
from fustor_core.machine import Table
from fustor_core.pipeline import AgentPipeline
from fustor_core.reconcile import reconcile
from fustor_core.states.fusion_pipeline import FUSION_PIPELINE
from fustor_core.states.pipeline import PIPELINE, PipelineState

POLL_S = 2.0


class Drift:
    """Compares what runs with what the files say.

    Args:
        loaded: as read at the start. running: gives the configuration that runs.
        pipes, views: give the pipelines of both sides. warn: told about files that cannot be used.
    """

    def __init__(
        self,
        loaded: Loaded,
        running: Callable[[], Config],
        pipes: Callable[[], Mapping[str, AgentPipeline]],
        views: Callable[[], Mapping[str, FusionPipeline]],
        warn: Callable[..., None],
    ) -> None:
        self._read = loaded  # what the files said the last time that they could be used
        self._bad: Mapping[Path, str | None] = {}
        self._running, self._warn = running, warn
        self._pipes, self._views = pipes, views

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
        for kind, table, found in (
            ("pipe", PIPELINE, self._pipes()),
            ("view", FUSION_PIPELINE, self._views()),
        ):
            outdated = {one.name for one in plan.of(kind, "adopt", "restart", "stop")}
            for name, pipeline in found.items():
                _flag(pipeline, table, wanted=name in outdated)

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


def _flag(
    pipeline: AgentPipeline | FusionPipeline, table: Table[PipelineState], *, wanted: bool
) -> None:
    shown = bool(pipeline.state & PipelineState.CONF_OUTDATED)
    event = "config_changed" if wanted else "config_restored"
    # One that begins or ends just now is looked at again in a moment.
    if shown is not wanted and event in table.legal_events(pipeline.state):
        pipeline.outdated(on=wanted)


def placed(error: ConfigErrors) -> str:
    """What is wrong and where, in one line."""
    place = ":".join(str(part) for part in (error.file, error.line, error.column) if part)
    more = f" (and {len(error.errors) - 1} more)" if len(error.errors) > 1 else ""
    return f"{place}: {error.message}{more}" if place else f"{error.message}{more}"
