"""What runs in one process: views, receivers, pipes. Each begins and ends by itself.

Start: views (state read, journal replayed) → receivers → pipes. Stop goes the other way round:
pipes drain first, the state is written back last.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from typing import Any

import anyio
import anyio.abc

from fustor_core.berth import Berth
from fustor_core.building import Builder
from fustor_core.config import Config, DriverBlock, View
from fustor_core.contracts import Attached, Receiver, Reporting
from fustor_core.contracts.adjusting import Adjusting
from fustor_core.engine import Engine
from fustor_core.errors import FustorError
from fustor_core.fusion import Fusion
from fustor_core.fusion_pipe import FusionPipeline
from fustor_core.kept import Kept
from fustor_core.machine import Move
from fustor_core.pipe_words import coverage, path_item
from fustor_core.pipeline import AgentPipeline
from fustor_core.reporting import PipeReporter, Tell, ViewReporter

FIRST_SCAN_OVER = frozenset({"snapshot_end", "follow", "stand_by"})


class Premises:
    """Everything that one process runs.

    Args:
        builder: makes it. engine: supervises it. tell: takes the events of `up`.
        socket: path of the API socket, for events.

    Attributes:
        views, receivers, berths: what there is, by name.
        fusion: the door to the views; given before anything is added.
        agent: id of the agent, for pipes. key: of this run, for people; "" = there is none.
        page: what follows the address of the page in a link that lets in once; "" = no page.
        scanned: pipes whose first scan is over. serving: set when questions are answered.
    """

    fusion: Fusion

    def __init__(self, builder: Builder, engine: Engine, tell: Tell, socket: str) -> None:
        self.builder, self.engine = builder, engine
        self.views: dict[str, FusionPipeline] = {}
        self.receivers: dict[str, Receiver] = {}
        self.berths: dict[str, Berth] = {}
        self._view_configs: dict[str, View] = {}  # what each was built with
        self._receiver_configs: dict[str, DriverBlock] = {}
        self.agent = ""
        self.key = ""
        self.page = ""
        self.scanned: set[str] = set()
        self.serving = anyio.Event()
        self._tell, self._socket = tell, socket
        self._of_views, self._doors, self._reports = Kept(), Kept(), Kept()
        self._pipes: anyio.abc.TaskGroup | None = None

    def __repr__(self) -> str:
        return f"<Premises views={sorted(self.views)} pipes={sorted(self.berths)}>"

    @property
    def pipes(self) -> dict[str, AgentPipeline]:
        """The pipelines of the last starts, by id."""
        return {name: berth.pipeline for name, berth in self.berths.items()}

    def config(self) -> Config:
        """The configuration that runs: of each thing the one that it was built with, or adopted."""
        pipes = {name: b.pipeline.config for name, b in self.berths.items() if b.stays}
        views, receivers = dict(self._view_configs), dict(self._receiver_configs)
        runs = {"pipes": pipes, "views": views, "receivers": receivers}
        return self.builder.loaded.config.model_copy(update=runs)

    # -- living

    async def live(self, stop: anyio.Event) -> None:
        """Run what was added, and what is added meanwhile, until `stop`."""
        for receiver in self.receivers.values():
            bind(receiver)
        async with anyio.create_task_group() as whole:
            self._of_views.live_in(whole)
            for name in self.views:
                await self._begin_view(name)
            async with anyio.create_task_group() as doors:
                self._doors.live_in(doors)
                for name in self.receivers:
                    self._begin_receiver(name)
                self.serving.set()
                async with anyio.create_task_group() as reports:
                    self._reports.live_in(reports)
                    for name in self.views:
                        self._report_view(name)
                    await self._run_pipes(stop)
                    reports.cancel_scope.cancel()
                doors.cancel_scope.cancel()
            whole.cancel_scope.cancel()

    async def _run_pipes(self, stop: anyio.Event) -> None:
        async with anyio.create_task_group() as self._pipes:
            for name in self.berths:
                self._begin_pipe(name)
            await stop.wait()
            for berth in self.berths.values():
                berth.end()

    # -- views

    def add_view(self, name: str) -> None:
        """Build a view and read its state.

        Raises:
            FustorError, OSError: it cannot be built, or its state cannot be read.
        """
        view = self.builder.view(name)
        view.open()
        view.fold.judged.clear()  # what was replayed was counted when it came
        self.views[name] = self.fusion.pipelines[name] = view
        self._view_configs[name] = self.builder.loaded.config.views[name]

    async def start_view(self, name: str) -> None:
        """As `add_view`, while this lives."""
        self.add_view(name)
        await self._begin_view(name)
        self._report_view(name)

    async def end_view(self, name: str) -> None:
        """Close a view; its state is kept, its sessions have to look for another."""
        del self.views[name], self._view_configs[name], self.fusion.pipelines[name]
        await self._reports.end(f"view {name}")
        await self._of_views.end(name)

    async def restart_view(self, name: str) -> None:
        """Close a view and open it again, with new drivers; raises as `add_view`."""
        await self.end_view(name)
        await self.start_view(name)

    def adopt_view(self, name: str, drivers: Sequence[str]) -> bool:
        """Take what a view's configuration says now while it serves.

        Args:
            drivers: ``view`` and ``arbitrator``, where options of theirs differ.

        Returns:
            False: a driver has to be built anew for that.
        """
        view = self.views[name]
        judge = self.builder.options("arbitrator", name)
        made = {"view": (view.view, None), "arbitrator": (view.fold.arbitrator, judge)}
        for kind in drivers:
            driver, options = made[kind]
            if not adjusted(driver, options or self.builder.options(kind, name)):
                return False
        view.adopt(self.builder.view_options(name, judge))
        self._view_configs[name] = self.builder.loaded.config.views[name]
        return True

    async def _begin_view(self, name: str) -> None:
        ready = anyio.Event()
        self._of_views.begin(name, partial(_run_view, self.views[name], ready))
        await ready.wait()

    def _report_view(self, name: str) -> None:
        reporter = ViewReporter(
            self.views[name],
            about=partial(self._about_view, name),
            scanned=lambda: all(
                pipe.id in self.scanned for pipe in self.pipes.values() if pipe.config.view == name
            ),
            tell=self._tell,
        )
        self._reports.begin(f"view {name}", reporter.run)

    # -- receivers

    def add_receiver(self, name: str) -> None:
        """Build a receiver.

        Raises:
            FustorError, OSError: it cannot be built.
        """
        self.receivers[name] = self.builder.receiver(name)
        self._receiver_configs[name] = self.builder.loaded.config.receivers[name]

    def start_receiver(self, name: str) -> None:
        """As `add_receiver`, while this lives; it listens when this returns.

        Raises:
            FustorError, OSError: it cannot be built, or cannot listen.
        """
        receiver = self.builder.receiver(name)
        bind(receiver)
        self._receiver_configs[name] = self.builder.loaded.config.receivers[name]
        self.receivers[name] = receiver
        self._begin_receiver(name)

    async def end_receiver(self, name: str) -> None:
        """Close a receiver; requests that run may end."""
        del self.receivers[name], self._receiver_configs[name]
        await self._doors.end(name)

    async def restart_receiver(self, name: str) -> None:
        """Close a receiver and open it as it is configured now, or else as it was before.

        Raises:
            FustorError, OSError: it cannot be built, or cannot listen; it goes on as before.
        """
        before, config = self.receivers[name], self._receiver_configs[name]
        await self.end_receiver(name)
        try:
            self.start_receiver(name)
        except (FustorError, OSError):
            bind(before)
            self.receivers[name], self._receiver_configs[name] = before, config
            self._begin_receiver(name)
            raise

    def _begin_receiver(self, name: str) -> None:
        receiver = self.receivers[name]

        async def serve() -> None:
            await self.engine.supervise(
                f"receiver {name}", lambda: receiver.serve(self.fusion, self.fusion)
            )

        self._doors.begin(name, serve)

    # -- pipes

    def add_pipe(self, name: str) -> None:
        """Build a pipe.

        Raises:
            FustorError, OSError: its drivers cannot be built.
        """
        self.berths[name] = Berth(partial(self._build_pipe, name))

    def start_pipe(self, name: str) -> None:
        """As `add_pipe`, while this lives; one that is about to end starts again.

        Raises:
            FustorError, OSError: its drivers cannot be built.
        """
        berth = self.berths.get(name)
        if berth is not None and not berth.over.is_set():
            berth.stay()
            return
        self.add_pipe(name)
        self._begin_pipe(name)

    def restart_pipe(self, name: str, *, held: bool = False) -> anyio.Event:
        """Stop a pipe and start it again; one that stayed down after too many errors, too.

        Args:
            held: what a person has paused stays paused.

        Returns:
            Set when it has started again.

        Raises:
            FustorError, OSError: its drivers cannot be built.
        """
        self.scanned.discard(name)
        if not self.berths[name].over.is_set():
            return self.berths[name].restart(held=held)
        self.start_pipe(name)
        done = anyio.Event()
        done.set()
        return done

    def adopt_pipe(self, name: str, drivers: Sequence[str]) -> bool:
        """Take what a pipe's configuration says now while it runs.

        Args:
            drivers: ``sink``, where options of its differ.

        Returns:
            False: a driver has to be built anew for that.
        """
        pipe = self.berths[name].pipeline
        if "sink" in drivers and not adjusted(pipe.sink, self.builder.options("sink", name)):
            return False
        pipe.adopt(self.builder.loaded.config.pipes[name])
        return True

    def end_pipe(self, name: str) -> anyio.Event:
        """Stop a pipe: what is queued is sent, for a while. It is known until it has ended.

        Returns:
            Set when it has.
        """
        berth = self.berths[name]
        berth.end()
        return berth.over

    def _build_pipe(self, name: str, generation: int, held: bool) -> AgentPipeline:
        made = self.builder.pipe(name, self.agent, self.fusion, generation=generation, held=held)
        root = made.config.source.options.get("root")
        view = self.views.get(made.config.view or "")
        if isinstance(made.sink, Attached) and view is not None and isinstance(root, str):
            view.root_path = os.fsencode(root)
        return made

    def _begin_pipe(self, name: str) -> None:
        assert self._pipes is not None, "nothing lives yet"
        berth = self.berths[name]
        self._pipes.start_soon(self._keep_pipe, name, berth, name=f"pipe {name}")
        if not isinstance(berth.pipeline.sink, Attached):
            reporter = PipeReporter(
                partial(_document, berth),
                scanned=lambda: name in self.scanned,
                socket=self._socket,
                tell=self._tell,
            )
            self._reports.begin(f"pipe {name}", reporter.run)

    async def _keep_pipe(self, name: str, berth: Berth) -> None:
        await self.engine.supervise(f"pipe {name}", berth.run)
        berth.over.set()
        if not berth.stays and self.berths.get(name) is berth:
            del self.berths[name]
            self.scanned.discard(name)
        await self._reports.end(f"pipe {name}")

    # -- telling

    def moved(self, move: Move[Any]) -> None:
        """A machine has moved."""
        if move.machine == "pipeline" and move.event in FIRST_SCAN_OVER:
            self.scanned.add(move.subject)

    def urls(self) -> list[str]:
        """Where this can be reached over a network."""
        addresses = [a for r in self.receivers.values() for a in getattr(r, "addresses", ())]
        return [address for address in addresses if not address.startswith("unix:")]

    def _about_view(self, view: str) -> dict[str, Any]:
        """What ``ready`` says of a view beside its figures."""
        urls = self.urls()
        fields: dict[str, Any] = {"socket": self._socket}
        if urls:
            fields |= {"url": urls[0]} | ({"key": self.key} if self.key else {})
            fields |= {"page": f"{urls[0]}/{self.page}"} if self.page else {}
        for pipe in self.pipes.values():
            if pipe.config.view == view and isinstance(pipe.source, Reporting):
                fields |= {"root": str(pipe.config.source.options.get("root", ""))}
                fields |= _covered(pipe)
        return fields


def adjusted(driver: object, options: object) -> bool:
    """Whether a driver has taken other options."""
    return isinstance(driver, Adjusting) and driver.adjust(options)


def bind(receiver: Receiver) -> None:
    """Let a receiver listen, if it can before it serves.

    Raises:
        FustorError: it cannot.
    """
    listen = getattr(receiver, "bind", None)
    if listen is not None:
        listen()


async def _run_view(view: FusionPipeline, ready: anyio.Event) -> None:
    async with anyio.create_task_group() as group:
        await group.start(view.run)
        ready.set()


def _document(berth: Berth) -> dict[str, Any]:
    return berth.pipeline.document()


def _covered(pipe: AgentPipeline) -> dict[str, Any]:
    """What of a source is polled instead of watched, and what is left out."""
    told = coverage(pipe.source)
    uncovered = told.get("uncovered", ())
    return {
        "polled": len(uncovered),
        "polled_reason": told.get("reason", ""),
        "excluded": [path_item(path) for path in told.get("excluded", ())],
    }
