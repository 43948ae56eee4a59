"""Live state: which fields of a document have changed, and what a reader has missed. Pure.

The document is nested dictionaries with text keys; whatever is none is one field, lists too. A
change names fields by their paths (the mask) and gives the new values of those that still exist
(the payload). So a reader that is behind by any number of updates catches up with one: the union
of the masks that it missed, and the values of now. Only masks are kept, and nobody needs a queue.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

Path = tuple[str, ...]
Document = Mapping[str, Any]

CLOCKED = frozenset({"age_s", "fusion_time_us", "logical_time", "tallies", "uptime_s"})
"""Fields that change because time passes, or whatever happens: watchers are not told of them."""

SAMPLED = frozenset(
    """acked as_of as_of_us backoff_s bytes debts dirs entries files journal_bytes last_ack_at
    last_active_at memory_bytes offset_us others packs progress queue suspects unacked_bytes
    watched_dirs""".split()
)
"""Fields of a node that flow; every other one is a discrete fact, which is told soon."""

RUNS = "runs"
NODE_DEPTH = 2  # ("views", "projects"): from here on a path names fields, not things
UPDATES_KEPT = 1024
PATHS_KEPT = 65536


def live_document(
    status: Document,
    sessions: Iterable[Document],
    jobs: Iterable[Document],
    runs: Iterable[Document] = (),
) -> dict[str, Any]:
    """Everything that lives in a process, things by their names.

    Args:
        status: as `fustor status` has it. sessions, jobs: as their lists have them.
        runs: as `run_document` makes them.
    """
    process = {key: value for key, value in status.items() if key not in ("views", "pipes")}
    return {
        "process": _unclocked(process),
        "views": {str(view["view"]): _unclocked(view) for view in status.get("views") or ()},
        "pipes": {str(pipe["id"]): _unclocked(pipe) for pipe in status.get("pipes") or ()},
        # Nothing in these is clocked, and there may be thousands of them.
        "sessions": {str(one["session_id"]): one for one in sessions},
        "jobs": {str(job["id"]): job for job in jobs},
        RUNS: {str(run["id"]): run for run in runs},
    }


def difference(old: Document, new: Document) -> list[Path]:
    """Paths of the fields that differ; of a thing that came or went, the path of the thing."""
    found: list[Path] = []
    _compare(old, new, (), found)
    return found


def picked(state: Document, paths: Iterable[Path]) -> dict[str, Any]:
    """The values at these paths, nested as they are there; what does not exist is left out."""
    payload: dict[str, Any] = {}
    for path in paths:
        value: Any = state
        for part in path:
            value = value.get(part, _NOTHING) if isinstance(value, Mapping) else _NOTHING
        if value is _NOTHING:
            continue
        place = payload
        for part in path[:-1]:
            place = place.setdefault(part, {})
        place[path[-1]] = value
    return payload


def applied(state: Document, paths: Iterable[Path], payload: Document) -> dict[str, Any]:
    """The document after a change; the one before is left as it is.

    Args:
        paths: the mask. payload: a path that is not in it is removed.
    """
    changed = dict(state)
    own = {id(changed)}  # the mappings that are copies already
    for path in paths:
        place: dict[str, Any] = changed
        value: Any = payload.get(path[0], _NOTHING)
        for part, below in pairwise(path):
            inner = place.get(part)
            if not isinstance(inner, dict) or id(inner) not in own:
                place[part] = inner = dict(inner) if isinstance(inner, Mapping) else {}
                own.add(id(inner))
            place = inner
            value = value.get(below, _NOTHING) if isinstance(value, Mapping) else _NOTHING
        if value is _NOTHING:
            place.pop(path[-1], None)
        else:
            place[path[-1]] = value
    return changed


def union(masks: Iterable[Iterable[Path]]) -> list[Path]:
    """All paths of some masks, each once, and none below another one."""
    every = dict.fromkeys(path for mask in masks for path in mask)
    return [
        path for path in every if not any(path[:depth] in every for depth in range(1, len(path)))
    ]


def spelled(path: Path) -> str:
    """A path as it stands in ``update_mask``: parts joined by dots, a dot in a part escaped."""
    return ".".join(part.replace("\\", "\\\\").replace(".", "\\.") for part in path)


def is_sampled(path: Path) -> bool:
    """Whether a change there may wait for the next tick."""
    if path[0] == RUNS:  # names below it are of nodes and of what they made
        return path[-1] == "execution_time"
    return any(part in SAMPLED for part in path[NODE_DEPTH:])


@dataclass(frozen=True, slots=True)
class Update:
    """What leads a reader from one number to another.

    Attributes:
        base_seq: where the reader is; 0 = it has nothing, and this is the whole state.
        seq: where it is afterwards.
        mask: the fields. payload: their values; those that are not in it are gone.
    """

    base_seq: int
    seq: int
    mask: tuple[Path, ...]
    payload: dict[str, Any]

    def message(self, run: str, timestamp: float) -> dict[str, Any]:
        """The frame of seed 003.

        Args:
            run: names the run of numbers. timestamp: of the state, in s since 1970.
        """
        return {
            "event_type": "state_update",
            "run": run,
            "seq": self.seq,
            "base_seq": self.base_seq,
            "update_mask": [spelled(path) for path in self.mask],
            "timestamp": timestamp,
            "payload": self.payload,
        }


class Reel:
    """A state that changes, numbered, and the masks of its last changes.

    Attributes:
        seq: number of the state; 0 = nothing is known yet, the empty document.
    """

    def __init__(self, *, updates: int = UPDATES_KEPT, paths: int = PATHS_KEPT) -> None:
        self.seq = 0
        self._state: dict[str, Any] = {}
        self._masks: deque[list[Path]] = deque()
        self._updates_most, self._paths_most = updates, paths
        self._paths = 0

    def __repr__(self) -> str:
        return f"<Reel {self.seq}, {len(self._masks)} masks of {self._paths} paths>"

    @property
    def state(self) -> Document:
        """What readers at `seq` have."""
        return self._state

    def turn(self, new: Document, *, sampled: bool) -> bool:
        """Take a newer state.

        Args:
            sampled: fields that flow are taken, too; else they wait.

        Returns:
            Whether readers have something to be told.
        """
        mask = difference(self._state, new)
        if not sampled:
            mask = [path for path in mask if not is_sampled(path)]
        if not mask:
            return False
        self._state = applied(self._state, mask, picked(new, mask))
        self.seq += 1
        self._masks.append(mask)
        self._paths += len(mask)
        while len(self._masks) > self._updates_most or self._paths > self._paths_most:
            self._paths -= len(self._masks.popleft())
        return True

    def since(self, seq: int) -> Update | None:
        """What a reader is told that has the state of this number; None: it has them all.

        A number that is too old or was never given begins anew, with the whole state.
        """
        if seq == self.seq:
            return None
        missed = self.seq - seq
        if not 0 < missed <= len(self._masks) or seq <= 0:
            everything = tuple((name,) for name in self._state)
            return Update(0, self.seq, everything, dict(self._state))
        mask = union(self._masks[number] for number in range(-missed, 0))
        return Update(seq, self.seq, tuple(mask), picked(self._state, mask))


_NOTHING: Any = object()


def _compare(old: Document, new: Document, path: Path, found: list[Path]) -> None:
    for name in old:
        if name not in new:
            found.append((*path, name))
    for name, value in new.items():
        before = old.get(name, _NOTHING)
        if before is value:
            continue
        if isinstance(before, dict) and isinstance(value, dict):
            _compare(before, value, (*path, name), found)
        elif before != value or type(before) is not type(value):
            found.append((*path, name))


def _unclocked(document: Document) -> dict[str, Any]:
    return {
        name: _unclocked(value) if isinstance(value, dict) else value
        for name, value in document.items()
        if name not in CLOCKED
    }
