"""The two parts of a configuration, agent and fusion, and which of them a process takes.

One file may hold both. `fustor agent` takes the pipes, `fustor fusion` the views with what belongs
to them, `up` and `run` take all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fustor_core.config.document import KeyPath
from fustor_core.config.merging import Merged

AGENT, FUSION = "agent", "fusion"
ROLES = (AGENT, FUSION)
SECTIONS: Mapping[str, tuple[str, ...]] = {
    AGENT: ("pipes",),
    FUSION: ("views", "forests", "receivers"),
}
KINDS: Mapping[str, tuple[str, ...]] = {
    AGENT: ("source", "sink"),
    FUSION: ("view", "arbitrator", "receiver"),
}
# The driver whose sink hands batches to a view of the same process.
LOCAL_SINK = "view"


def kinds(roles: Sequence[str]) -> frozenset[str]:
    """The kinds of drivers that these parts use."""
    return frozenset(kind for role in roles for kind in KINDS[role])


def take_part(merged: Merged, roles: Sequence[str]) -> list[str]:
    """Remove what belongs to other parts.

    Args:
        merged: the whole configuration; changed here.
        roles: the parts that stay.

    Returns:
        What was there and is left out now, for people: ``pipes a and b``, ``view c``.
    """
    told = []
    for section in (part for role in ROLES if role not in roles for part in SECTIONS[role]):
        names = list(merged.data.pop(section, None) or ())
        if names:
            word = section if len(names) > 1 else section.removesuffix("s")
            told.append(f"{word} {', '.join(names)}")
        _drop(merged.places, section)
        _drop(merged.origins, section)
    return told


def _drop(places: dict[KeyPath, Any], section: str) -> None:
    for path in [path for path in places if path[:1] == (section,)]:
        del places[path]


def check_local_sinks(merged: Merged) -> None:
    """An agent alone has no view to hand batches to: note each pipe that wants one."""
    pipes = merged.data.get("pipes")
    for name, pipe in pipes.items() if isinstance(pipes, Mapping) else ():
        sink = pipe.get("sink") if isinstance(pipe, Mapping) else None
        if not isinstance(sink, Mapping) or pipe.get("disabled") is True:
            continue
        if sink.get("driver") == LOCAL_SINK:
            merged.error(
                f"pipe {name} ends in a view of its own process, and an agent has no views",
                ("pipes", name, "sink", "driver"),
                suggestion="start it with `fustor run`, or send to a fusion server:"
                " `sink: {driver: fusion, url: …, view: …}`",
                at_value=True,
            )
