"""From the configuration that runs to another one: what has to begin, end, change or stay.

Pure. `reconcile` compares two configurations and returns a `Plan`; who carries it out asks drivers
whether they can take other options as they run, and begins and ends things in a good order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fustor_core.config.model import Config, DriverBlock, Pipe, View
from fustor_core.config.roles import ROLES, SECTIONS

Act = Literal["start", "stop", "adopt", "restart"]

PIPE_LIVE = frozenset(
    """heartbeat_interval_sec audit_interval_sec audit sentinel_interval_sec error_retry_interval
    max_consecutive_errors backoff_multiplier max_backoff_seconds on_max_errors""".split()
)
"""What a pipe takes as it runs; its other keys need a restart."""

CHOSEN = ("audit_interval_sec", "sentinel_interval_sec")
"""A pipe's own value wins over the view's, even where it is the default."""

PROGRAM_LIVE: Mapping[str, tuple[str, ...]] = {
    "agent": (),
    "audit_log": (),
    "log": ("level",),
    "state": ("vis_update_rate",),
}
"""Of settings that belong to no single thing, those that hold at once."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Something whose configuration is not what it runs with.

    Args:
        kind: ``pipe``, ``view``, ``receiver`` or ``forest``. name: its id.
        act: what has to be done about it.
        keys: dotted keys below it that differ; none when it begins or ends.
        drivers: to adopt, these have to take other options as they run, or it is restarted:
            ``sink``, ``view``, ``arbitrator``.
    """

    kind: str
    name: str
    act: Act
    keys: tuple[str, ...] = ()
    drivers: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """How people see it."""
        return label(self.kind, self.name)


@dataclass(frozen=True, slots=True)
class Plan:
    """What there is to do.

    Args:
        differences: pipes first.
        untouched: labels of what goes on as it is.
        program: dotted keys that only a restart of the program makes take effect.
    """

    differences: tuple[Difference, ...] = ()
    untouched: tuple[str, ...] = ()
    program: tuple[str, ...] = ()

    def of(self, kind: str, *acts: Act) -> list[Difference]:
        """The differences of a kind with one of these acts."""
        return [one for one in self.differences if one.kind == kind and one.act in acts]

    def labels(self, *acts: Act) -> list[str]:
        """What these acts are for."""
        return [one.label for one in self.differences if one.act in acts]


def label(kind: str, name: str) -> str:
    """A pipe's id; others with their kind before: ``view:data``."""
    return name if kind == "pipe" else f"{kind}:{name}"


def reconcile(old: Config, new: Config, roles: Sequence[str] = ROLES) -> Plan:
    """What leads from one configuration to another.

    Args:
        old: what runs. new: what shall run.
        roles: the parts that are looked at; the others stay.
    """
    sections = [section for role in ROLES if role in roles for section in SECTIONS[role]]
    differences: list[Difference] = []
    untouched: list[str] = []
    for section in sections:
        kind = section.removesuffix("s")
        before, after = _running(getattr(old, section)), _running(getattr(new, section))
        for name in [*before, *(name for name in after if name not in before)]:
            found = _compare(kind, name, before.get(name), after.get(name))
            if found is None:
                untouched.append(label(kind, name))
            else:
                differences.append(found)
    return Plan(tuple(differences), tuple(untouched), tuple(_of_program(old, new)))


def _running(section: Mapping[str, Any]) -> dict[str, Any]:
    return {name: one for name, one in section.items() if not getattr(one, "disabled", False)}


def _compare(kind: str, name: str, before: Any, after: Any) -> Difference | None:
    if before is None:
        return Difference(kind, name, "start")
    if after is None:
        return Difference(kind, name, "stop")
    if kind == "pipe":
        return _pipe(name, before, after)
    if kind == "view":
        return _view(name, before, after)
    keys = tuple(_keys(before, after))
    if not keys:
        return None
    return Difference(kind, name, "adopt" if kind == "forest" else "restart", keys)


def _pipe(name: str, before: Pipe, after: Pipe) -> Difference | None:
    keys = [*_keys(before, after)]
    keys += [k for k in CHOSEN if k not in keys and before.chosen(k) != after.chosen(k)]
    takes_options = before.sink.driver == after.sink.driver
    asked = [key for key in keys if key.startswith("sink.") and takes_options]
    live = all(key in asked or key.partition(".")[0] in PIPE_LIVE for key in keys)
    return _difference("pipe", name, keys, {"sink"} if asked else set(), live=live)


def _view(name: str, before: View, after: View) -> Difference | None:
    keys = [*_keys(before, after)]
    drivers = set()
    live = True
    for key in keys:
        block, _, option = key.rpartition(".")
        if option == "driver":
            live = False
        elif block == "arbitrator":
            drivers.add("arbitrator")
        elif option not in View.model_fields:
            drivers.add("view")
    return _difference("view", name, keys, drivers, live=live)


def _difference(
    kind: str, name: str, keys: Sequence[str], drivers: set[str], *, live: bool
) -> Difference | None:
    if not keys:
        return None
    if not live:
        return Difference(kind, name, "restart", tuple(keys))
    return Difference(kind, name, "adopt", tuple(keys), tuple(sorted(drivers)))


def _keys(before: Any, after: Any) -> Iterator[str]:
    """Keys that differ, as they are written; one level into blocks of drivers."""
    for key in type(before).model_fields:
        one, other = getattr(before, key), getattr(after, key)
        if one == other:
            continue
        if key == "options":
            yield from (k for k in {**one, **other} if _item(one, k) != _item(other, k))
        elif isinstance(one, DriverBlock) or key == "arbitrator":
            yield from (f"{key}.{inner}" for inner in _keys(one, other))
        else:
            yield key


def _item(options: Mapping[str, Any], key: str) -> tuple[bool, Any]:
    """An option; one that is not written differs from one that is null."""
    return key in options, options.get(key)


def _of_program(old: Config, new: Config) -> Iterator[str]:
    for section, live in PROGRAM_LIVE.items():
        keys = _keys(getattr(old, section), getattr(new, section))
        yield from (f"{section}.{key}" for key in keys if key not in live)
    if old.hooks != new.hooks:
        yield "hooks"
