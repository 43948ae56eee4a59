"""From a configuration to what runs; the one place that wires.

Start: state directory and locks → views (state read, journal replayed) → receivers → pipes.
Stop goes the other way round: pipes drain first, the state is written back last.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import anyio.to_thread

from fustor_core.config import Loaded
from fustor_core.contracts import Attached, Receiver, Reporting, Source
from fustor_core.desk import Desk, problem
from fustor_core.engine import Engine
from fustor_core.errors import NoSuchView
from fustor_core.forests import Forests
from fustor_core.fusion import Fusion
from fustor_core.fusion_pipe import FusionPipeline
from fustor_core.machine import Move
from fustor_core.outbox import Limits
from fustor_core.peers import FusionOptions
from fustor_core.pipe_words import Host, coverage, path_item
from fustor_core.pipeline import AgentPipeline
from fustor_core.registry import Registry, refuse_earlier_system
from fustor_core.reporting import Reporter, Tell, event
from fustor_core.state import StateDirectory, is_inside

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
PARTS = ("agent", "fusion")
FIRST_SCAN_OVER = frozenset({"snapshot_end", "follow", "stand_by"})


async def run(
    loaded: Loaded, home: Path, *, on_event: Tell, stop: anyio.Event, debug: bool = False
) -> None:
    """Run what a configuration says, until `stop` is set.

    Args:
        loaded: the configuration. home: the state directory.
        on_event: takes the events of `up` (interfaces.md §2).

    Raises:
        FustorError: it cannot be started; nothing runs then.
    """
    with ExitStack() as held:
        house = House(loaded, home, on_event, debug=debug)
        house.open(held)
        await house.live(stop)
    on_event(event("stopped"))


class House:
    """Everything that one process runs.

    Attributes:
        registry, engine, fusion, pipes, receivers: what was built from the configuration.
    """

    def __init__(self, loaded: Loaded, home: Path, tell: Tell, *, debug: bool = False) -> None:
        self.loaded = loaded
        self.state = StateDirectory(home)
        self.registry = Registry()
        self.engine = Engine(self._warn, debug=debug)
        self.views: dict[str, FusionPipeline] = {}
        self.pipes: dict[str, AgentPipeline] = {}
        self.sources: dict[str, Source] = {}
        self.receivers: dict[str, Receiver] = {}
        self.stopping = anyio.Event()
        self._scanned: set[str] = set()  # pipes whose first scan is over
        self._kept: dict[str, tuple[anyio.CancelScope, anyio.Event]] = {}  # lives of views
        self._reports: dict[str, anyio.CancelScope] = {}
        self._tell = tell
        self._boot = BOOT_ID.read_text().strip()
        self._key: str | None = None

    # ---- building

    def open(self, held: ExitStack) -> None:
        """Take the state directory, build everything, read the state.

        Args:
            held: keeps locks until the end.
        """
        refuse_earlier_system()
        self.state.prepare(version=version("fustor"))
        held.enter_context(self.state.lock("up", PARTS))
        for plugin in self.registry.load_hooks():
            self._warn(f"plugin {plugin.name} could not be loaded: {plugin.error}")
        for name in self.loaded.config.views:
            self.views[name] = self._view(name)
        desk = Desk(self.loaded, self.registry, self.pipes, drop=self._drop, stop=self.stopping.set)
        self.fusion = Fusion(self.views, outer=desk.commands(), about=self._about)
        forests = Forests(lambda: self.loaded.config.forests, self.fusion.query)
        self.fusion.outer |= forests.commands()
        for name in self.loaded.config.receivers:
            self.receivers[name] = self._receiver(name)
        identity = self.state.agent_identity()
        if identity.replaces:
            self._warn(f"this state came from another machine: the agent is now {identity.id}")
        agent = self.loaded.config.agent.id or identity.id
        for name, pipe in self.loaded.config.pipes.items():
            if not pipe.disabled:
                self.pipes[name] = self._pipe(name, agent)
        for pipeline in self.views.values():
            pipeline.open()

    def _driver(self, kind: str, name: str, path: tuple[str, ...], **more: Any) -> Any:
        """A driver with its options from the configuration, and what the program adds."""
        made = self.registry.driver(kind, name)
        options = self.loaded.options(path, made.Config)
        if more:
            options = options.model_copy(update=more)
        return made(options)

    def _view(self, name: str) -> FusionPipeline:
        config = self.loaded.config.views[name]
        arbitrator = self._driver(
            "arbitrator", config.arbitrator.driver, ("views", name, "arbitrator")
        )
        options = FusionOptions(
            view=name,
            session_timeout_s=config.session_timeout_seconds,
            audit_interval_s=config.audit_interval_sec,
            sentinel_interval_s=config.sentinel_interval_sec,
            max_sessions=config.max_sessions,
            loose_age_s=getattr(arbitrator.config, "loose_age", 3600.0),
            hot_s=getattr(arbitrator.config, "hot_file_threshold", 30.0),
            driver=config.driver,
            arbitrator=config.arbitrator.driver,
        )
        return FusionPipeline(
            options,
            self._driver("view", config.driver, ("views", name)),
            arbitrator,
            self.state.views / name,
            boot=self._boot,
            on_move=self._moved,
            on_alarm=lambda text: self._warn(f"view {name}: {text}", view=name),
        )

    def _receiver(self, name: str) -> Receiver:
        config = self.loaded.config.receivers[name]
        listed = config.options.get("listen") or []
        more: dict[str, Any] = {"socket_path": self.state.socket("fusion")}
        if any(not str(place).startswith("unix") for place in listed):
            more["key"] = self._bearer()
        made: Receiver = self._driver("receiver", config.driver, ("receivers", name), **more)
        return made

    def _bearer(self) -> Any:
        """The key of this run for TCP; told once, kept nowhere."""
        import secrets

        from pydantic import SecretStr

        if self._key is None:
            self._key = f"fst_{secrets.token_hex(4)}_{secrets.token_urlsafe(32)}"
        return SecretStr(self._key)

    def _pipe(self, name: str, agent: str) -> AgentPipeline:
        config = self.loaded.config.pipes[name]
        source = self._source(name)
        sink = self._driver("sink", config.sink.driver, ("pipes", name, "sink"))
        if isinstance(sink, Attached):
            sink.attach(self.fusion)
        self.sources[name] = source
        root = config.source.options.get("root")
        if isinstance(root, str) and config.view in self.views:
            self.views[config.view].root_path = os.fsencode(root)
        return AgentPipeline(
            name,
            config,
            source,
            sink,
            Host(agent, self._boot, str(os.getpid()), f"fustor/{version('fustor')}"),
            limits=Limits(spool_bytes=self.loaded.config.agent.spool_bytes),
            drain_timeout_s=self.loaded.config.agent.drain_timeout,
            on_move=self._moved,
        )

    def _source(self, name: str) -> Source:
        """A pipe's source; the state directory is left out where it lies below the root."""
        made = self.registry.driver("source", self.loaded.config.pipes[name].source.driver)
        options = self.loaded.options(("pipes", name, "source"), made.Config)
        root = getattr(options, "root", None)
        home = os.path.realpath(self.state.home)
        can = "exclude_paths" in type(options).model_fields
        if root is not None and can and is_inside(Path(os.path.realpath(root)), Path(home)):
            excluded = [*options.exclude_paths, home]
            options = options.model_copy(update={"exclude_paths": excluded})
        source: Source = made(options)
        return source

    # ---- living

    async def live(self, stop: anyio.Event) -> None:
        """Serve until `stop`, or until somebody asks for the end over the socket."""
        for receiver in self.receivers.values():
            bind = getattr(receiver, "bind", None)
            if bind is not None:
                bind()
        async with anyio.create_task_group() as whole:
            for name, view in self.views.items():
                await whole.start(self._keep, name, view, name=f"view {name}")
            async with anyio.create_task_group() as doors:
                for name, receiver in self.receivers.items():
                    doors.start_soon(self._serve, name, receiver)
                async with anyio.create_task_group() as reports:
                    for name, view in self.views.items():
                        reporter = Reporter(view, partial(self._ready, name), self._tell)
                        reports.start_soon(self._report, name, reporter)
                    await self._run_pipes(stop)
                    reports.cancel_scope.cancel()
                doors.cancel_scope.cancel()
            whole.cancel_scope.cancel()

    async def _keep(
        self, name: str, view: FusionPipeline, *, task_status: anyio.abc.TaskStatus[None]
    ) -> None:
        """A view's life, which `drop` may end."""
        over = anyio.Event()
        with anyio.CancelScope() as scope:
            self._kept[name] = scope, over
            await view.run(task_status=task_status)
        over.set()

    async def _run_pipes(self, stop: anyio.Event) -> None:
        async with anyio.create_task_group() as pipes:
            for name, pipe in self.pipes.items():
                pipes.start_soon(self.engine.supervise, f"pipe {name}", pipe.run)
            async with anyio.create_task_group() as ends:
                ends.start_soon(_first_of, stop, self.stopping, ends)
                ends.start_soon(_first_of, self.stopping, stop, ends)
            for pipe in self.pipes.values():
                pipe.stop()

    async def _serve(self, name: str, receiver: Receiver) -> None:
        await self.engine.supervise(
            f"receiver {name}", lambda: receiver.serve(self.fusion, self.fusion)
        )

    async def _report(self, view: str, reporter: Reporter) -> None:
        pipes = [p for p in self.pipes.values() if p.config.view == view]
        with anyio.CancelScope() as self._reports[view]:
            await reporter.run(scanned=lambda: all(p.id in self._scanned for p in pipes))

    def _ready(self, view: str) -> dict[str, Any]:
        addresses = [a for r in self.receivers.values() for a in getattr(r, "addresses", ())]
        urls = [a for a in addresses if not a.startswith("unix:")]
        fields: dict[str, Any] = {"socket": str(self.state.socket("fusion"))}
        if urls:
            fields |= {"url": urls[0], "key": self._key}
        for name, pipe in self.pipes.items():
            source = self.sources[name]
            if pipe.config.view == view and isinstance(source, Reporting):
                fields |= {"root": str(pipe.config.source.options.get("root", ""))}
                fields |= _covered(coverage(source))
        return fields

    # ---- what people ask for

    def _about(self) -> dict[str, Any]:
        return {
            "version": version("fustor"),
            "home": str(self.state.home),
            "roles": list(PARTS),
            "ready": self._scanned >= self.pipes.keys(),
            "pipes": [pipe.document() for pipe in self.pipes.values()],
        }

    async def _drop(self, name: str) -> None:
        """Forget a view and all that is stored of it; not while anything feeds it."""
        view = self.views.get(name)
        if view is None:
            raise NoSuchView(name, sorted(self.views))
        feeding = [p.id for p in self.pipes.values() if p.config.view == name]
        feeding += [s.pipe for s, _ in view.session_list() if s.pipe not in feeding]
        if feeding:
            told = f"view {name!r} cannot be dropped while pipes feed it: {', '.join(feeding)}"
            raise problem("view-locked", 409, told)
        scope, over = self._kept[name]
        del self.views[name], self.fusion.pipelines[name]
        self._reports[name].cancel()
        scope.cancel()
        await over.wait()
        await anyio.to_thread.run_sync(partial(shutil.rmtree, self.state.views / name))

    # ---- telling

    def _warn(self, text: str, **fields: Any) -> None:
        kind = "frozen" if "second look or a person" in text else "warning"
        self._tell(event(kind, message=text, **fields))

    def _moved(self, move: Move[Any]) -> None:
        if move.event in FIRST_SCAN_OVER:
            self._scanned.add(move.subject)
        self.registry.hooks.fustor_transition(
            machine=move.machine, subject=move.subject, event=move.event, old=move.old, new=move.new
        )


async def _first_of(one: anyio.Event, other: anyio.Event, ends: anyio.abc.TaskGroup) -> None:
    await one.wait()
    other.set()
    ends.cancel_scope.cancel()


def _covered(told: Mapping[str, Any]) -> dict[str, Any]:
    """What of a source is polled instead of watched, and what is left out."""
    uncovered = told.get("uncovered", ())
    return {
        "polled": len(uncovered),
        "polled_reason": told.get("reason", ""),
        "excluded": [path_item(path) for path in told.get("excluded", ())],
    }
