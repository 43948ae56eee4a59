"""What people ask of the program as a whole: its pipes, its plugins, its configuration, its end."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Any

from fustor_core import logs
from fustor_core.config import Loaded, effective
from fustor_core.errors import QueryError
from fustor_core.fusion import Do
from fustor_core.pipeline import AgentPipeline
from fustor_core.problems import URN, Problem
from fustor_core.registry import Registry
from fustor_core.states import ALL

Asked = Mapping[str, Any]


class Desk:
    """Takes the commands that are not fusion's own (see `Fusion.command`).

    Args:
        loaded: gives the configuration in force.
        registry: of this process. pipes: gives its pipes, by id.
        drop: forgets a view, by name. restart: begins a pipe anew, by id.
        reload: reads the configuration again. stop: ends the process.
    """

    def __init__(
        self,
        loaded: Callable[[], Loaded],
        registry: Registry,
        pipes: Callable[[], Mapping[str, AgentPipeline]],
        *,
        drop: Callable[[str], Awaitable[None]],
        restart: Callable[[str], object],
        reload: Do,
        stop: Callable[[], None],
    ) -> None:
        self._loaded, self._registry, self._pipes = loaded, registry, pipes
        self._drop, self._restart, self._reload, self._stop = drop, restart, reload, stop

    def __repr__(self) -> str:
        return f"<Desk {len(self._pipes())} pipes>"

    def commands(self) -> dict[str, Do]:
        """Every command by its name."""
        return {
            "pipes": self.list_pipes,
            "pipe": self.pipe,
            "pause": self.pause,
            "resume": self.resume,
            "restart": self.restart,
            "drop": self.drop,
            "stop": self.stop,
            "reload": self.reload,
            "machines": self.machines,
            "machine": self.machine,
            "plugins": self.plugins,
            "config": self.config,
            "log-levels": self.log_levels,
            "log-level": self.log_level,
        }

    async def list_pipes(self, asked: Asked) -> dict[str, Any]:
        """All pipes."""
        return {"pipes": [pipe.document() for pipe in self._pipes().values()]}

    def _named(self, asked: Asked) -> AgentPipeline:
        pipes = self._pipes()
        found = pipes.get(asked["id"])
        if found is None:
            known = ", ".join(sorted(pipes)) or "none"
            raise problem("no-such-pipe", 404, f"no pipe {asked['id']!r}; pipes: {known}")
        return found

    async def pipe(self, asked: Asked) -> dict[str, Any]:
        """One pipe."""
        return self._named(asked).document()

    async def pause(self, asked: Asked) -> dict[str, Any]:
        """A pipe sends nothing from here on."""
        self._named(asked).pause()
        return self._named(asked).document()

    async def resume(self, asked: Asked) -> dict[str, Any]:
        """A pipe goes on."""
        self._named(asked).resume()
        return self._named(asked).document()

    async def restart(self, asked: Asked) -> dict[str, Any]:
        """A pipe begins anew."""
        self._restart(self._named(asked).id)
        return self._named(asked).document()

    async def drop(self, asked: Asked) -> dict[str, Any]:
        """A view and all that is stored of it is forgotten."""
        await self._drop(asked["view"])
        return {"dropped": asked["view"]}

    async def stop(self, asked: Asked) -> dict[str, Any]:
        """The process ends."""
        role = asked.get("role")
        roles = self._part(role)
        if role is not None and len(roles) > 1:
            told = f"agent and fusion are one process here, {os.getpid()}, which ends as a whole"
            raise problem("illegal-transition", 409, told, remedy="stop it without --role")
        self._stop()
        return {"stopping": True, "pid": os.getpid()}

    async def reload(self, asked: Asked) -> dict[str, Any]:
        """The configuration is read again, and followed."""
        self._part(asked.get("role"))
        return await self._reload(asked)

    async def log_levels(self, asked: Asked) -> dict[str, Any]:
        """How much is logged."""
        return {"levels": logs.levels()}

    async def log_level(self, asked: Asked) -> dict[str, Any]:
        """More or less is logged from now on, until the next reload."""
        level = asked.get("level") or self._loaded().config.log.level
        if asked.get("level") is None and asked.get("logger") is None:
            logs.reset(level)
        else:
            logs.set_level(level, asked.get("logger") or logs.TOP)
        return {"levels": logs.levels()}

    def _part(self, role: str | None) -> tuple[str, ...]:
        roles = self._loaded().roles
        if role is not None and role not in roles:
            raise QueryError(
                f"no {role} runs in process {os.getpid()}, which is {' and '.join(roles)}",
                remedy=f"--role {roles[0]}, or none",
            )
        return roles

    async def machines(self, asked: Asked) -> dict[str, Any]:
        """All state machines, in short."""
        return {"machines": [_short(table.document()) for table in ALL.values()]}

    async def machine(self, asked: Asked) -> dict[str, Any]:
        """One state machine."""
        table = ALL.get(asked["name"])
        if table is None:
            raise problem("no-such-machine", 404, f"no machine {asked['name']!r}")
        return table.document()

    async def plugins(self, asked: Asked) -> dict[str, Any]:
        """The installed plugins."""
        return {"plugins": [asdict(plugin) for plugin in self._registry.plugins()]}

    async def config(self, asked: Asked) -> dict[str, Any]:
        """The configuration in force."""

        def model_of(kind: str, name: str) -> Any:
            return self._registry.driver(kind, name).Config

        return {"values": effective(self._loaded(), model_of)}


def _short(document: dict[str, Any]) -> dict[str, Any]:
    events = sorted({rule["event"] for rule in document["rules"]})
    return {"name": document["name"], "states": document["states"], "events": events}


def problem(slug: str, status: int, detail: str, *, remedy: str = "") -> Problem:
    """A refusal, as a problem document.

    Args:
        slug: of its type. status: of HTTP. detail, remedy: for people.
    """
    title = slug.replace("-", " ")
    told = {"type": URN + slug, "title": title, "status": status, "detail": detail}
    return Problem({**told, "remedy": remedy} if remedy else told)
