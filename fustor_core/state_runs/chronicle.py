"""What the files of a run say while it goes on: which are written, with what, and which go. Pure.

    state_init.json                     header and context, as the run began
    state_node_<node id>_attempt<N>.json   the node as this attempt left it, and every change of it
    state_node_<node id>_final.json     the node as it came to rest the last time; sums
    state_final.json                    everything as the run ended; missing when it was killed

The fields of header, node and context stand at the top of each document, under their own names; all
else stands below ``ext``. A file is always replaced as a whole, and each one that holds an attempt
can be understood alone: its first change is the whole node. So whatever a crash leaves is a
history, of which the last moments may be missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from fustor_core.state_runs.records import Commit, NodeState, RunState
from fustor_core.states.node import NodeStatus

FORMAT = 1
INIT = "state_init.json"
FINAL = "state_final.json"
KEPT_FIRST = KEPT_LAST = 20
"""Attempts of each node whose files are kept."""
CHANGES_MOST = 256
"""Changes of one attempt that are kept: half of the first, half of the last ones."""
CONTEXT = "context"
"""The node whose output is the context, when artifacts change."""
AT_REST = frozenset((NodeStatus.SUCCEEDED, NodeStatus.FAILED))
_NODE_FILE = re.compile(r"state_node_(?P<node>[\w.-]+)_(?:attempt(?P<attempt>[0-9]+)|final)\.json")

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Put:
    """A file is written, in place of the one of that name."""

    name: str
    document: Document


@dataclass(frozen=True, slots=True)
class Drop:
    """A file goes."""

    name: str


Act = Put | Drop


@dataclass(slots=True)
class _Attempt:
    number: int
    began: float
    changes: list[Document] = field(default_factory=list)
    left_out: int = 0


@dataclass(slots=True)
class _Node:
    attempt: _Attempt
    kept: list[int] = field(default_factory=list)
    last: dict[int, Document] = field(default_factory=dict)  # figures of the attempts that are kept
    summed: Document | None = None


class Chronicle:
    """The files of one run.

    Args:
        run: id of the run.
    """

    def __init__(self, run: str) -> None:
        self.run = run
        self.number = 0
        self._nodes: dict[str, _Node] = {}

    def __repr__(self) -> str:
        return f"<Chronicle of {self.run}: {self.number} changes>"

    def begin(self, state: RunState, **ext: Any) -> Iterator[Act]:
        """The run begins with this state.

        Args:
            ext: more for ``ext``: roles, process, the run that this one continues.
        """
        header = msgspec.to_builtins(state.header)
        context = msgspec.to_builtins(state.context)
        yield Put(INIT, {**header, "context": context, "ext": {"format": FORMAT, **ext}})
        for name, node in state.nodes.items():
            at, number = state.header.start_timestamp, state.attempts[name]
            yield from self._take(name, node, number, {}, at, "engine")

    def take(self, commit: Commit) -> Iterator[Act]:
        """A change was made; figures that only go on are not kept."""
        if commit.sampled:
            return
        self.number += 1
        for name in commit.nodes:
            values = {p[2]: v for p, v in commit.changes.items() if p[:2] == ("nodes", name)}
            node, number = commit.state.nodes[name], commit.state.attempts[name]
            yield from self._take(name, node, number, values, commit.at, commit.writer)
        if any(path[0] == CONTEXT for path in commit.changes):
            artifacts = {"artifacts": dict(commit.state.context.artifacts)}
            suffix = self.run[-8:]
            node = NodeState(f"{CONTEXT}_{suffix}", NodeStatus.EXECUTING, output_payload=artifacts)
            values = {"output_payload": artifacts}
            yield from self._take(CONTEXT, node, 1, values, commit.at, commit.writer)

    def end(self, state: RunState, **ext: Any) -> Iterator[Act]:
        """The run is over.

        Args:
            ext: more for ``ext``: when it ended, why, the report.
        """
        header = msgspec.to_builtins(state.header)
        nodes = {name: msgspec.to_builtins(node) for name, node in state.nodes.items()}
        for name, node in state.nodes.items():
            if name in self._nodes and node.status not in AT_REST:
                yield self._final(node, self._nodes[name])
        context = msgspec.to_builtins(state.context)
        more = {"format": FORMAT, "attempts": dict(state.attempts), "changes": self.number, **ext}
        yield Put(FINAL, {**header, "context": context, "nodes": nodes, "ext": more})

    def forget(self, name: str) -> None:
        """A node is over; its files stay."""
        self._nodes.pop(name, None)

    def _take(
        self,
        name: str,
        node: NodeState,
        number: int,
        values: Mapping[str, Any],
        at: float,
        writer: str,
    ) -> Iterator[Act]:
        known = self._nodes.get(name)
        if known is None:
            known = self._nodes[name] = _Node(_Attempt(number, at), [number])
            values = {}
        elif known.attempt.number != number:
            known.attempt = _Attempt(number, at)
            known.kept.append(number)
            values = {}
            yield from self._sum_up(node, known)
        told = msgspec.to_builtins(values) if values else msgspec.to_builtins(node)
        change = {"seq": self.number, "at": at, "writer": writer, "set": told}
        _add(known.attempt, change)
        known.last[number] = _figures(node, known.attempt, at)
        yield Put(attempt_file(node.node_id, number), self._document(name, node, known.attempt, at))
        if node.status in AT_REST:
            yield self._final(node, known)

    def _document(self, name: str, node: NodeState, attempt: _Attempt, at: float) -> Document:
        ext = {
            "format": FORMAT,
            "run": self.run,
            "name": name,
            "attempt": attempt.number,
            "began": attempt.began,
            "at": at,
            "left_out": attempt.left_out,
            "changes": list(attempt.changes),
        }
        return {**msgspec.to_builtins(node), "ext": ext}

    def _final(self, node: NodeState, known: _Node) -> Put:
        ext = {
            "format": FORMAT,
            "run": self.run,
            "attempts": known.attempt.number,
            "kept": list(known.kept),
            "summed": known.summed,
            "seq": self.number,
        }
        return Put(final_file(node.node_id), {**msgspec.to_builtins(node), "ext": ext})

    def _sum_up(self, node: NodeState, known: _Node) -> Iterator[Act]:
        """Of more attempts than are kept one goes, after its figures stand in the final file."""
        if len(known.kept) <= KEPT_FIRST + KEPT_LAST:
            return
        gone = known.kept.pop(KEPT_FIRST)
        figures = known.last.pop(gone)
        known.summed = _summed(known.summed, gone, figures)
        yield self._final(node, known)
        yield Drop(attempt_file(node.node_id, gone))


def attempt_file(node_id: str, number: int) -> str:
    """Name of the file of one attempt."""
    return f"state_node_{node_id}_attempt{number}.json"


def final_file(node_id: str) -> str:
    """Name of the file of a node's outcome."""
    return f"state_node_{node_id}_final.json"


def node_of(name: str) -> tuple[str, int | None] | None:
    """Node id and attempt (None: the final file) of a file's name; None when it is of no node."""
    found = _NODE_FILE.fullmatch(name)
    if found is None:
        return None
    return found["node"], int(found["attempt"]) if found["attempt"] else None


def _add(attempt: _Attempt, change: Document) -> None:
    attempt.changes.append(change)
    if len(attempt.changes) > CHANGES_MOST:
        del attempt.changes[CHANGES_MOST // 2]
        attempt.left_out += 1


def _figures(node: NodeState, attempt: _Attempt, at: float) -> Document:
    return {
        "status": node.status.value,
        "execution_time": node.execution_time,
        "began": attempt.began,
        "at": at,
        "changes": len(attempt.changes) + attempt.left_out,
    }


def _summed(summed: Document | None, number: int, figures: Document) -> Document:
    """The sums with one more attempt."""
    sums = dict(summed or {"from": number, "count": 0, "execution_time": 0.0, "changes": 0})
    sums.setdefault("began", figures["began"])
    counts = {**sums.get("statuses", {})}
    counts[figures["status"]] = counts.get(figures["status"], 0) + 1
    return {
        **sums,
        "through": number,
        "count": sums["count"] + 1,
        "statuses": counts,
        "execution_time": round(sums["execution_time"] + figures["execution_time"], 6),
        "changes": sums["changes"] + figures["changes"],
        "at": figures["at"],
    }
