"""From the configuration to drivers and to what they work in: views, receivers, pipes."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fustor_core.config import Loaded
from fustor_core.contracts import Accept, Attached, Receiver, Sink, Source
from fustor_core.files.compiled import compiled
from fustor_core.fusion_pipe import FusionPipeline
from fustor_core.machine import Move
from fustor_core.outbox import Limits
from fustor_core.peers import FusionOptions
from fustor_core.pipe_words import Host
from fustor_core.pipeline import AgentPipeline
from fustor_core.registry import Registry
from fustor_core.spool import Spool
from fustor_core.state import StateDirectory, is_inside

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
OWN_STAT = Path("/proc/self/stat")
START_TIME = 22 - 3  # of the fields behind the program's name (proc(5))


def process_name() -> str:
    """Names this process within the boot: a process id alone comes again."""
    facts = OWN_STAT.read_text(errors="replace").rpartition(")")[2].split()
    return f"{os.getpid()}-{facts[START_TIME]}"


class Builder:
    """Makes what runs from the configuration as it is now.

    Args:
        loaded: the configuration. registry: where drivers come from. state: the directory.
        part: ``fusion`` or ``agent``, where the API socket is.
        warn: told sentences, with fields for events. moved: told of transitions.

    Attributes:
        loaded: replaced by a reload; what is built from then on follows it.
        history: folder, resolved, that no source looks into either; None: there is none.
        on_view: told of each view that was made.
    """

    def __init__(
        self,
        loaded: Loaded,
        registry: Registry,
        state: StateDirectory,
        part: str,
        *,
        warn: Callable[..., None],
        moved: Callable[[Move[Any]], None],
    ) -> None:
        self.loaded = loaded
        self.history: Path | None = None
        self.on_view: Callable[[FusionPipeline], None] = lambda view: None
        self._registry, self._state, self._part = registry, state, part
        self._warn, self._moved = warn, moved
        self._boot = BOOT_ID.read_text().strip()
        self._process = process_name()

    def __repr__(self) -> str:
        return f"<Builder of {', '.join(self.loaded.roles)} in {self._state.home}>"

    def _driver(self, kind: str, name: str, path: tuple[str, ...], **more: Any) -> Any:
        """A driver with its options from the configuration, and what the program adds."""
        made = self._registry.driver(kind, name)
        options = self.loaded.options(path, made.Config)
        if more:
            options = options.model_copy(update=more)
        return made(options)

    def options(self, kind: str, name: str) -> Any:
        """What the configuration says now to a driver that there is.

        Args:
            kind: ``source``, ``sink``, ``view`` or ``arbitrator``. name: of its pipe or view.
        """
        config = self.loaded.config
        if kind in ("source", "sink"):
            path: tuple[str, ...] = ("pipes", name, kind)
        else:
            path = ("views", name) if kind == "view" else ("views", name, kind)
        driver = next(driver for _, driver, at, _ in config.blocks() if at == path)
        return self.loaded.options(path, self._registry.driver(kind, driver).Config)

    # -- fusion

    def view(self, name: str) -> FusionPipeline:
        """A view with its arbitrator; not opened."""
        config = self.loaded.config.views[name]
        path = ("views", name)
        arbitrator = self._driver("arbitrator", config.arbitrator.driver, (*path, "arbitrator"))
        made = FusionPipeline(
            self.view_options(name, arbitrator.config),
            self._driver("view", config.driver, path),
            arbitrator,
            self._state.views / name,
            boot=self._boot,
            on_move=self._moved,
            on_alarm=lambda text: self._warn(f"view {name}: {text}", view=name),
            stores=compiled().stores,
        )
        self.on_view(made)
        return made

    def view_options(self, name: str, arbitrator: Any) -> FusionOptions:
        """What the core takes of a view's configuration.

        Args:
            arbitrator: the options of its arbitrator, as the driver's model.
        """
        config = self.loaded.config.views[name]
        return FusionOptions(
            view=name,
            session_timeout_s=config.session_timeout_seconds,
            audit_interval_s=config.audit_interval_sec,
            sentinel_interval_s=config.sentinel_interval_sec,
            max_sessions=config.max_sessions,
            loose_age_s=getattr(arbitrator, "loose_age", 3600.0),
            hot_s=getattr(arbitrator, "hot_file_threshold", 30.0),
            driver=config.driver,
            arbitrator=config.arbitrator.driver,
        )

    def receiver(self, name: str) -> Receiver:
        """A receiver; it listens nowhere yet."""
        config = self.loaded.config.receivers[name]
        here = self._state.socket(self._part)
        path = ("receivers", name)
        made: Receiver = self._driver("receiver", config.driver, path, socket_path=here)
        return made

    # -- agent

    def pipe(
        self, name: str, agent: str, door: Accept, *, generation: int, held: bool
    ) -> AgentPipeline:
        """A pipe with drivers of its own.

        Args:
            agent: id of the agent. door: what a sink is given that ends in this process.
            generation, held: see `AgentPipeline`.
        """
        config = self.loaded.config.pipes[name]
        source = self._source(name)
        sink: Sink = self._driver("sink", config.sink.driver, ("pipes", name, "sink"))
        if isinstance(sink, Attached):
            sink.attach(door)
        return AgentPipeline(
            name,
            config,
            source,
            sink,
            Host(agent, self._boot, self._process, f"fustor/{version('fustor')}"),
            limits=Limits(spool_bytes=self.loaded.config.agent.spool_bytes),
            drain_timeout_s=self.loaded.config.agent.drain_timeout,
            spool=Spool(self._state.agent / "spool" / f"{name}.owed"),
            generation=generation,
            held=held,
            on_move=self._moved,
        )

    def _source(self, name: str) -> Source:
        """A pipe's source; what the program itself writes is left out where it lies below."""
        made = self._registry.driver("source", self.loaded.config.pipes[name].source.driver)
        options = self.loaded.options(("pipes", name, "source"), made.Config)
        root = getattr(options, "root", None)
        if root is not None and "exclude_paths" in type(options).model_fields:
            top = Path(os.path.realpath(root))
            own = [os.path.realpath(self._state.home)]
            if self.history is not None and self.history != top:
                own.append(str(self.history))
            inside = [path for path in own if is_inside(top, Path(path))]
            excluded = [*options.exclude_paths, *inside]
            options = options.model_copy(update={"exclude_paths": excluded})
        source: Source = made(options)
        return source
