"""From a configuration to what runs; the one place that wires.

Start: state directory and locks → views (state read, journal replayed) → receivers → pipes.
Stop goes the other way round: pipes drain first, the state is written back last.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import anyio
import anyio.abc

from fustor_core.config import Loaded, effective
from fustor_core.contracts import Attached, Receiver, Reporting, Source
from fustor_core.engine import Engine
from fustor_core.fusion import Fusion
from fustor_core.fusion_pipe import FusionPipeline
from fustor_core.machine import Move
from fustor_core.outbox import Limits
from fustor_core.peers import FusionOptions
from fustor_core.pipe_words import Host, coverage, path_item
from fustor_core.pipeline import AgentPipeline
from fustor_core.problems import URN, Problem
from fustor_core.registry import Registry, refuse_earlier_system
from fustor_core.reporting import Reporter, Tell, event
from fustor_core.state import StateDirectory, is_inside
from fustor_core.states import ALL

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
        self.fusion = Fusion(self.views, outer=self._outer(), about=self._about)
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
        if root is not None and can and is_inside(Path(home), Path(os.path.realpath(root))):
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
                await whole.start(view.run, name=f"view {name}")
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

    def _outer(self) -> dict[str, Any]:
        return {
            "pipes": self._pipes,
            "pipe": self._one_pipe,
            "pause": self._pause,
            "resume": self._resume,
            "restart": self._restart,
            "stop": self._stop,
            "machines": self._machines,
            "machine": self._machine,
            "plugins": self._plugins,
            "config": self._config,
        }

    async def _pipes(self, _: Mapping[str, Any]) -> dict[str, Any]:
        return {"pipes": [pipe.document() for pipe in self.pipes.values()]}

    def _named(self, arguments: Mapping[str, Any]) -> AgentPipeline:
        found = self.pipes.get(arguments["id"])
        if found is None:
            known = ", ".join(sorted(self.pipes)) or "none"
            raise _missing("no-such-pipe", f"no pipe {arguments['id']!r}; pipes: {known}")
        return found

    async def _one_pipe(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        return self._named(arguments).document()

    async def _pause(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        pipe = self._named(arguments)
        pipe.pause()
        return pipe.document()

    async def _resume(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        pipe = self._named(arguments)
        pipe.resume()
        return pipe.document()

    async def _restart(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        pipe = self._named(arguments)
        pipe.restart()
        return pipe.document()

    async def _stop(self, _: Mapping[str, Any]) -> dict[str, Any]:
        self.stopping.set()
        return {"stopping": True, "pid": os.getpid()}

    async def _machines(self, _: Mapping[str, Any]) -> dict[str, Any]:
        return {"machines": [_short(table) for table in ALL.values()]}

    async def _machine(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        table = ALL.get(arguments["name"])
        if table is None:
            raise _missing("no-such-machine", f"no machine {arguments['name']!r}")
        return table.document()

    async def _plugins(self, _: Mapping[str, Any]) -> dict[str, Any]:
        return {"plugins": [asdict(plugin) for plugin in self.registry.plugins()]}

    async def _config(self, _: Mapping[str, Any]) -> dict[str, Any]:
        def model_of(kind: str, name: str) -> Any:
            return self.registry.driver(kind, name).Config

        return {"values": effective(self.loaded, model_of)}

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


def _short(table: Any) -> dict[str, Any]:
    document = table.document()
    events = sorted({rule["event"] for rule in document["rules"]})
    return {"name": document["name"], "states": document["states"], "events": events}


async def _first_of(one: anyio.Event, other: anyio.Event, ends: anyio.abc.TaskGroup) -> None:
    await one.wait()
    other.set()
    ends.cancel_scope.cancel()


def _missing(slug: str, detail: str) -> Problem:
    return Problem({"type": URN + slug, "title": "not found", "status": 404, "detail": detail})


def _covered(told: Mapping[str, Any]) -> dict[str, Any]:
    """What of a source is polled instead of watched, and what is left out."""
    uncovered = told.get("uncovered", ())
    return {
        "polled": len(uncovered),
        "polled_reason": told.get("reason", ""),
        "excluded": [path_item(path) for path in told.get("excluded", ())],
    }
