"""From a configuration to what runs; the one place that wires."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import anyio.to_thread

from fustor_core import logs, tracing
from fustor_core.building import Builder
from fustor_core.config import AGENT, FUSION, ROLES, Loaded
from fustor_core.contracts import ASKER, Access, Asker, Asset
from fustor_core.desk import Desk, problem
from fustor_core.drift import Drift
from fustor_core.driven import NAME, Driven
from fustor_core.engine import Engine, attempt, sentence
from fustor_core.errors import NoSuchView
from fustor_core.forests import Forests
from fustor_core.fusion import Fusion
from fustor_core.fusion_pipe import FusionPipeline
from fustor_core.key_store import KeyStore
from fustor_core.machine import Move
from fustor_core.minutes import Minutes
from fustor_core.notice import Notice
from fustor_core.pipeline import AgentPipeline
from fustor_core.premises import Premises
from fustor_core.problems import Problem
from fustor_core.recording import Recording, plans_of
from fustor_core.registry import Registry, refuse_earlier_system
from fustor_core.reloading import Reloading
from fustor_core.reporting import Tell, event
from fustor_core.shelf import shelved
from fustor_core.state import StateDirectory
from fustor_core.witness import Witness

PAGE_RIGHTS = Access("", frozenset({"read", "scan", "admin"}))
"""Of whoever follows the link that `fustor up` prints: it is the owner of the process."""


async def run(
    loaded: Loaded, home: Path, *, on_event: Tell, stop: anyio.Event, debug: bool = False
) -> None:
    """Run what a configuration says, until `stop` is set.

    Args:
        loaded: the configuration; its roles say whether pipes run, or views, or both.
        home: the state directory.
        on_event: takes the events of `up` (interfaces.md §2).

    Raises:
        FustorError: it cannot be started; nothing runs then.
    """
    with ExitStack() as held:
        house = House(loaded, home, on_event, debug=debug)
        house.open(held)
        held.callback(tracing.end)
        if lack := tracing.begin(loaded.roles):
            on_event(event("warning", message=lack))
        async with anyio.create_task_group() as signals:
            signals.start_soon(_hear_hangups, house)
            await house.live(stop)
            signals.cancel_scope.cancel()
    on_event(event("stopped"))


class House:
    """One process of Fustor.

    Attributes:
        registry, engine, fusion, premises, reloading: what it consists of.
    """

    def __init__(self, loaded: Loaded, home: Path, tell: Tell, *, debug: bool = False) -> None:
        self.roles = loaded.roles
        self.state = StateDirectory(home)
        self.registry = Registry()
        self.engine = Engine(self._warn, debug=debug)
        self.stopping = anyio.Event()
        self._tell = tell
        self._notice = Notice(os.environ)
        part = FUSION if FUSION in self.roles else AGENT
        self._driven = Driven(self.state.home / part / NAME)
        builder = Builder(
            loaded, self.registry, self.state, part, warn=self._warn, moved=self._moved
        )
        self.minutes = Minutes(loaded, self.state, self._warn)
        socket = str(self.state.socket(part))
        self.premises = Premises(builder, self.engine, tell, socket)
        self._drift = Drift(
            loaded,
            self.premises.config,
            lambda: self.pipes,
            lambda: self.premises.views,
            self._warn,
        )
        self.reloading = Reloading(loaded, self.premises, self.registry, self._drift, tell)
        logs.reset(loaded.config.log.level)

    @property
    def loaded(self) -> Loaded:
        """The configuration in force."""
        return self.reloading.loaded

    @property
    def views(self) -> Mapping[str, FusionPipeline]:
        """The views, by name."""
        return self.premises.views

    @property
    def pipes(self) -> Mapping[str, AgentPipeline]:
        """The pipelines of the last starts, by id of the pipe."""
        return self.premises.pipes

    def open(self, held: ExitStack) -> None:
        """Take the state directory, build everything, read the state.

        Args:
            held: keeps locks until the end.
        """
        refuse_earlier_system()
        self.state.prepare(version=version("fustor"))
        role = "up" if self.roles == ROLES else self.roles[0]
        held.enter_context(self.state.lock(role, self.roles))
        self._begin_recording()
        self.minutes.open(held, self._secrets)
        for plugin in self.registry.load_hooks():
            self._warn(f"plugin {plugin.name} could not be loaded: {plugin.error}")
        premises, config = self.premises, self.loaded.config
        desk = Desk(
            lambda: self.loaded,
            self.registry,
            lambda: self.pipes,
            drop=self._drop,
            restart=premises.restart_pipe,
            reload=self.reloading.reload,
            stop=self.stopping.set,
        )
        keys = KeyStore(self.state.fusion if FUSION in self.roles else None)
        keys.open()
        if self.loaded.reading is None and _is_beyond_sockets(self.loaded):
            premises.key = keys.lend()  # `up` has no moment to make one before
            logs.hide([premises.key])
        outer = desk.commands()
        self.fusion = premises.fusion = Fusion(
            {},
            outer=outer,
            about=self._about,
            keys=keys,
            assets=self._assets,
            vis_update_rate=lambda: self.loaded.config.state.vis_update_rate,
            clerk=self.minutes.clerk,
        )
        if premises.key and self._assets():
            premises.page = f"#code={self.fusion.link(PAGE_RIGHTS)}"
        self.fusion.consent = self.recording.allowed
        forests = Forests(lambda: self.loaded.config.forests, self.fusion.query)
        self.fusion.outer |= {**forests.commands(), "runs": self.recording.runs}
        for name in config.views:
            premises.add_view(name)
        for name in config.receivers:
            premises.add_receiver(name)
        if AGENT in self.roles:
            premises.agent = self._agent()
        for name, pipe in config.pipes.items():
            if not pipe.disabled:
                premises.add_pipe(name)
        self.recording.open(secrets=frozenset({premises.key}), stir=self.fusion.stir)

    def _begin_recording(self) -> None:
        """What happens from now on belongs to the state of this run.

        Raises:
            ConfigError: a key, or a file of hooks, cannot be used.
        """
        plans = plans_of(self.loaded, self.state.executions, os.environ)
        self._secrets = plans.secrets
        logs.hide(plans.secrets)
        self.recording = Recording(
            self.loaded, plans, self.registry, warn=self._warn, on_move=self._driven.record
        )
        self._witness = Witness(lambda: self.pipes, lambda: self.views, self.recording.note)
        self.premises.builder.history = plans.folder
        self.premises.builder.on_view = self._witness.watch

    def _agent(self) -> str:
        """Id of this agent."""
        identity = self.state.agent_identity()
        if identity.replaces:
            self._warn(f"this state came from another machine: the agent is now {identity.id}")
        return self.loaded.config.agent.id or identity.id

    async def live(self, stop: anyio.Event) -> None:
        """Serve until `stop`, or until somebody asks for the end over the socket."""
        await self.recording.begin()
        async with anyio.create_task_group() as ends:
            ends.start_soon(self.engine.supervise, "state", self.recording.live, name="state")
            ends.start_soon(_pass_on, stop, self.stopping)
            ends.start_soon(self._notice.live, self.premises.serving, self.stopping)
            ends.start_soon(self.fusion.keep_keys, name="keys")
            ends.start_soon(self.minutes.clerk.live, name="audit log")
            ends.start_soon(self.reloading.live, name="reloading")
            ends.start_soon(self._drift.watch, name="drift")
            reason = "failed"
            try:
                await self.premises.live(self.stopping)
                reason = "stopped"
            finally:
                self.minutes.end(reason)
                with anyio.CancelScope(shield=True):
                    await self._end_recording(reason)
            ends.cancel_scope.cancel()

    async def _end_recording(self, reason: str) -> None:
        """The last file of the history; what goes wrong there ends nothing else."""
        done = await attempt(partial(self.recording.close, reason))
        if isinstance(done, Exception):
            self._warn(f"the state history has no end: {sentence(done)}")

    async def hung_up(self) -> None:
        """SIGHUP: read the files again; what is not from files ends as its terminal did."""
        if self.loaded.reading is None:
            self.stopping.set()
            return
        try:
            with self._notice.reloading():
                ASKER.set(Asker("signal"))
                await self.fusion.command("reload", {"role": None, "restart": True})
        except Problem as problem:
            place = {key: problem.document.get(key) for key in ("file", "line", "column")}
            where = ":".join(str(part) for part in place.values() if part)
            self._warn(f"not reloaded, nothing has changed: {where}: {problem.message}", **place)

    # ---- what people ask for

    def _about(self) -> dict[str, Any]:
        pipes = self.pipes
        return {
            "version": version("fustor"),
            "home": str(self.state.home),
            "roles": list(self.roles),
            "ready": self.premises.scanned >= pipes.keys(),
            "urls": self.premises.urls(),
            "audit_log": self.minutes.document(),
            "reload": self.reloading.document(),
            "pipes": [pipe.document() for pipe in pipes.values()],
        }

    def _assets(self) -> list[Asset]:
        """The files that plugins have for browsers."""
        served, faults = shelved(self.registry.hooks.fustor_assets())
        for fault in faults:
            self._warn(fault)
        return served

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
        await self.premises.end_view(name)
        await anyio.to_thread.run_sync(partial(shutil.rmtree, self.state.views / name))

    # ---- telling

    def _warn(self, text: str, **fields: Any) -> None:
        kind = "frozen" if "second look or a person" in text else "warning"
        if kind == "frozen":
            self.minutes.frozen(text, str(fields.get("view") or ""))
        self._tell(event(kind, message=logs.hidden(text), **fields))

    def _moved(self, move: Move[Any]) -> None:
        self._driven.record(move)
        logs.tell_move(move)
        self.minutes.moved(move)
        self.fusion.stir()
        self.premises.moved(move)
        self._witness.moved(move)
        self.registry.hooks.fustor_transition(
            machine=move.machine, subject=move.subject, event=move.event, old=move.old, new=move.new
        )


def _is_beyond_sockets(loaded: Loaded) -> bool:
    """Whether anything listens on TCP."""
    receivers = loaded.config.receivers.values()
    places = [str(place) for one in receivers for place in one.options.get("listen") or ()]
    return any(not place.startswith("unix") for place in places)


async def _hear_hangups(house: House) -> None:
    with anyio.open_signal_receiver(signal.SIGHUP) as hangups:
        async for _ in hangups:
            await house.hung_up()


async def _pass_on(one: anyio.Event, other: anyio.Event) -> None:
    await one.wait()
    other.set()
