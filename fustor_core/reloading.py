"""The configuration read again, and what runs made to follow it.

Everything is read and checked before anything changes. What changes does so in this order: views
that are new, pipes, views that go, receivers. Pipes drain for a while when they stop or begin anew;
a receiver may be the one that the request came through. Neither is waited for longer than a moment.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.abc
import anyio.to_thread

from fustor_core import logs
from fustor_core.config import Config, ConfigErrors, Loaded, require_roots
from fustor_core.config.roles import SECTIONS
from fustor_core.contracts.adjusting import Renewing
from fustor_core.documents import stamp_text
from fustor_core.drift import Drift
from fustor_core.errors import ConfigError, FustorError
from fustor_core.premises import Premises
from fustor_core.problems import URN, Problem
from fustor_core.reconcile import Difference, Plan, label, reconcile
from fustor_core.registry import Registry
from fustor_core.reporting import Tell, event

SETTLE_S = 5.0


@dataclass(slots=True)
class Report:
    """What a reload has done: the document of interfaces.md §2, `reload`.

    Attributes:
        outdated: what needs a restart, which was not wanted.
        waiting: keys, and upgraded drivers, that the next start of the program follows.
    """

    started: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    untouched: list[str] = field(default_factory=list)
    outdated: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)

    def document(self, generation: int) -> dict[str, Any]:
        """As JSON."""
        return {
            "generation": generation,
            "started": self.started,
            "stopped": self.stopped,
            "changed": self.changed,
            "untouched": self.untouched,
            "outdated": self.outdated,
            "waiting": self.waiting,
            "errors": self.errors,
        }

    def failed(self, one: Difference, error: FustorError | OSError) -> None:
        """Something could not be done."""
        self.errors.append({"name": one.label, "message": str(error)})


class Reloading:
    """Holds the configuration in force, and changes it.

    Args:
        loaded: as read at the start. premises: what runs. registry: where its drivers are from.
        drift: told what the files say. tell: takes events.

    Attributes:
        loaded: the configuration in force.
        generation: how many configurations were in force, this one included.
        outcome: whether the last one could be followed, and when one last could, ns since 1970.
    """

    def __init__(
        self, loaded: Loaded, premises: Premises, registry: Registry, drift: Drift, tell: Tell
    ) -> None:
        self.loaded, self.generation = loaded, 1
        self.outcome = (True, time.time_ns())
        self._premises, self._registry = premises, registry
        self._drift, self._tell = drift, tell
        self._turn = anyio.Lock()
        self._later: anyio.abc.TaskGroup | None = None

    def __repr__(self) -> str:
        return f"<Reloading generation={self.generation}>"

    def document(self) -> dict[str, Any]:
        """For `fustor status`."""
        good, at_ns = self.outcome
        told = {"generation": self.generation, "successful": good}
        return {**told, "successful_at": stamp_text(at_ns)}

    async def live(self) -> None:
        """Do what takes longer than a request may, until cancelled."""
        async with anyio.create_task_group() as self._later:
            await anyio.sleep_forever()

    async def reload(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Read the files again and follow them.

        Args:
            asked: ``role``: this part only, or None. ``restart``: False = what needs a restart goes
                on as it is, and shows CONF_OUTDATED.

        Raises:
            Problem: a file cannot be used; nothing has changed.
        """
        role = asked.get("role")
        async with self._turn:
            try:
                read = await anyio.to_thread.run_sync(self.loaded.again)
                fresh = read if role is None else self._part_of(read, role)
                plan = reconcile(self._premises.config(), fresh.config, fresh.roles)
                require_roots(fresh, _new_roots(plan))
            except ConfigErrors as error:
                self.outcome = (False, self.outcome[1])
                raise refusal(error) from error
            self.loaded = self._premises.builder.loaded = fresh
            self.generation += 1
            logs.reset(fresh.config.log.level)
            report = Report(untouched=list(plan.untouched), waiting=list(plan.program))
            upgrades = self._registry.upgraded().items()
            report.waiting += [f"{kind} driver {name} {told}" for (kind, name), told in upgrades]
            await self._carry_out(plan, report, restart=asked.get("restart", True) is not False)
            self._drift.read(read)
            good = not report.errors
            self.outcome = (good, time.time_ns() if good else self.outcome[1])
        document = report.document(self.generation)
        self._tell(event("reloaded", **document))
        return document

    def _part_of(self, read: Loaded, role: str) -> Loaded:
        """The configuration in force with one part of what was read."""
        return Loaded(
            config_with(self.loaded.config, read.config, role),
            read.merged,
            read.reading,
            read.left_out,
        )

    # -- doing

    async def _carry_out(self, plan: Plan, report: Report, *, restart: bool) -> None:
        premises = self._premises
        for one in plan.of("view", "start"):
            await self._try(one, report, report.started, premises.start_view)
        await self._follow_pipes(plan, report, restart=restart)
        for one in plan.of("view", "stop"):
            await self._try(one, report, report.stopped, premises.end_view)
        for one in plan.of("view", "adopt", "restart"):
            if one.act == "adopt" and premises.adopt_view(one.name, one.drivers):
                report.changed.append(one.label)
            elif restart:
                await self._try(one, report, report.changed, premises.restart_view)
            else:
                report.outdated.append(one.label)
        for one in plan.of("receiver", "start"):
            await self._try(one, report, report.started, _soon(premises.start_receiver))
        for one in plan.of("receiver", "stop", "restart"):
            if one.act == "stop":
                report.stopped.append(one.label)
                self._begin_later(premises.end_receiver, one)
            elif restart:
                report.changed.append(one.label)
                self._begin_later(premises.restart_receiver, one)
            else:
                report.outdated.append(one.label)
        self._renew(report)
        report.started += [one.label for one in plan.of("forest", "start")]
        report.stopped += [one.label for one in plan.of("forest", "stop")]
        report.changed += [one.label for one in plan.of("forest", "adopt")]

    def _renew(self, report: Report) -> None:
        """Let receivers that stay as they are read their files again."""
        for name, receiver in self._premises.receivers.items():
            told = label("receiver", name)
            if told not in report.untouched or not isinstance(receiver, Renewing):
                continue
            try:
                if receiver.renew():
                    report.untouched.remove(told)
                    report.changed.append(told)
            except (FustorError, OSError) as error:
                report.errors.append({"name": told, "message": str(error)})

    async def _follow_pipes(self, plan: Plan, report: Report, *, restart: bool) -> None:
        premises = self._premises
        ending = []
        for one in plan.of("pipe", "stop"):
            ending.append(premises.end_pipe(one.name))
            report.stopped.append(one.label)
        for one in plan.of("pipe", "adopt", "restart"):
            if one.act == "adopt" and premises.adopt_pipe(one.name, one.drivers):
                report.changed.append(one.label)
            elif restart:
                ending.append(premises.restart_pipe(one.name, held=True))
                report.changed.append(one.label)
            else:
                report.outdated.append(one.label)
        for one in plan.of("pipe", "start"):
            await self._try(one, report, report.started, _soon(premises.start_pipe))
        with anyio.move_on_after(SETTLE_S):
            for over in ending:
                await over.wait()

    async def _try(
        self,
        one: Difference,
        report: Report,
        done: list[str],
        act: Callable[[str], Awaitable[None]],
    ) -> None:
        try:
            await act(one.name)
        except (FustorError, OSError) as error:
            report.failed(one, error)
        else:
            done.append(one.label)

    def _begin_later(self, act: Callable[[str], Awaitable[None]], one: Difference) -> None:
        assert self._later is not None, "`live` runs"
        self._later.start_soon(self._do_later, act, one)

    async def _do_later(self, act: Callable[[str], Awaitable[None]], one: Difference) -> None:
        try:
            await act(one.name)
        except (FustorError, OSError) as error:
            told = f"receiver {one.name} goes on as before: {error}"
            self._tell(event("warning", message=told))


def config_with(config: Config, other: Config, role: str) -> Config:
    """A configuration with one part of another."""
    return config.model_copy(update={key: getattr(other, key) for key in SECTIONS[role]})


def refusal(error: ConfigErrors) -> Problem:
    """Files that cannot be used, as an answer: the first fault, and all of them."""
    faults = [_fault(one) for one in error.errors]
    told = {
        "type": f"{URN}malformed",
        "title": "the configuration cannot be used",
        "status": 422,
        "detail": error.message,
        "remedy": error.remedy or "nothing has changed; put it right and reload again",
    }
    first = {key: value for key, value in faults[0].items() if key != "message"}
    return Problem({**told, **first, "errors": faults})


def _fault(error: ConfigError) -> dict[str, Any]:
    return {
        "message": error.message,
        "file": error.file,
        "line": error.line,
        "column": error.column,
        "key": error.key,
        "suggestion": error.suggestion,
        "excerpt": error.excerpt,
    }


def _new_roots(plan: Plan) -> set[str]:
    """Pipes whose root was not looked for yet."""
    begin = {one.name for one in plan.of("pipe", "start")}
    moved = {one.name for one in plan.of("pipe", "restart") if "source.root" in one.keys}
    return begin | moved


def _soon(act: Callable[[str], None]) -> Callable[[str], Awaitable[None]]:
    async def do(name: str) -> None:
        act(name)

    return do
