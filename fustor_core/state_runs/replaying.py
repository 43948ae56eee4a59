"""A run rebuilt from what its files say, version after version. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fustor_core.state_runs.chronicle import CONTEXT, FINAL, INIT, Document, node_of
from fustor_core.state_runs.records import CONTEXT_FIELDS, NODE_FIELDS

HEADER_FIELDS = ("id", "version", "start_timestamp", "config_hash")


@dataclass(frozen=True, slots=True)
class Version:
    """One change of the state.

    Attributes:
        seq: its number among those that are kept. at: seconds since 1970. writer: who made it.
        changes: node → field → value.
    """

    seq: int
    at: float
    writer: str
    changes: Mapping[str, Mapping[str, Any]]


@dataclass(slots=True)
class Story:
    """A run as its files tell it.

    Attributes:
        header, context: as it began. ext: beside them.
        versions: every change that is kept, in order.
        summed: of nodes with more attempts than are kept, the sums of the others.
        attempts: of each node. final: the last document; None when the run did not end by itself.
        missing: changes that no file has.
    """

    header: Document
    context: Document
    ext: Document
    versions: list[Version] = field(default_factory=list)
    summed: dict[str, Document] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    final: Document | None = None
    missing: int = 0

    @property
    def complete(self) -> bool:
        """Whether the run came to its end and nothing of it is missing."""
        return self.final is not None and not self.missing

    @property
    def last_at(self) -> float:
        """When the last change that is known was made."""
        return max((one.at for one in self.versions), default=self.header["start_timestamp"])


def story(files: Mapping[str, Document]) -> Story:
    """What the files of one run tell.

    Args:
        files: name → document; those of other names do not count.

    Raises:
        KeyError: there is no first file, or a document is no such thing.
    """
    first = files[INIT]
    made = Story(
        {key: first[key] for key in HEADER_FIELDS},
        {key: first["context"][key] for key in CONTEXT_FIELDS},
        dict(first["ext"]),
        final=files.get(FINAL),
    )
    gone: dict[str, tuple[int, int]] = {}
    for name, document in files.items():
        node = node_of(name)
        summed = document["ext"].get("summed") if node and node[1] is None else None
        if node and summed:
            gone[node[0]] = summed["from"], summed["through"]
            made.summed[node[0]] = summed
    steps: dict[int, list[tuple[float, str, str, Document]]] = {}
    known = sum(sums["changes"] for sums in made.summed.values())
    for name, document in files.items():
        node = node_of(name)
        if node is None or node[1] is None:
            continue
        low, high = gone.get(node[0], (0, -1))
        if low <= node[1] <= high:
            continue  # its sums were written, and then the power went
        ext = document["ext"]
        label = str(ext["name"])
        made.attempts[label] = max(made.attempts.get(label, 0), node[1])
        known += ext["left_out"]
        for change in ext["changes"]:
            told = change["at"], change["writer"], label, change["set"]
            steps.setdefault(change["seq"], []).append(told)
    for seq, parts in sorted(steps.items()):
        changes = {label: told for _, _, label, told in parts}
        made.versions.append(Version(seq, parts[0][0], parts[0][1], changes))
    last = made.final["ext"]["changes"] if made.final else max(steps, default=0)
    made.missing = max(0, last - len([seq for seq in steps if seq]) - known)
    return made


def states(told: Story) -> Iterator[tuple[Version, dict[str, Document]]]:
    """Every version with the nodes as they were then; the mapping is the caller's."""
    nodes: dict[str, Document] = {}
    for version in told.versions:
        for label, values in version.changes.items():
            before = {} if "node_id" in values else nodes.get(label, {})
            nodes[label] = {**before, **values}
        yield version, dict(nodes)


def state_at(told: Story, seq: int | None = None) -> Document:
    """The state as it was after a change; None: the last.

    Returns:
        ``{header fields, context, nodes, ext: {seq, at, complete, …}}``, as the last file has it.
    """
    nodes: dict[str, Document] = {}
    number, at = 0, told.header["start_timestamp"]
    for version, now in states(told):
        if seq is not None and version.seq > seq:
            break
        nodes, number, at = now, version.seq, max(at, version.at)
    context = dict(told.context)
    changed = nodes.pop(CONTEXT, None)
    if changed:
        context["artifacts"] = (changed["output_payload"] or {}).get("artifacts", {})
    ext = {"seq": number, "at": at, "complete": told.complete, "missing": told.missing}
    return {**told.header, "context": context, "nodes": nodes, "ext": ext}


def differences(one: Document, other: Document) -> list[Document]:
    """What is different between two states: ``{field, before, after}``, by field."""
    before, after = dict(_flat(one)), dict(_flat(other))
    return [
        {"field": key, "before": before.get(key), "after": after.get(key)}
        for key in sorted({*before, *after})
        if before.get(key) != after.get(key)
    ]


def _flat(state: Document) -> Iterator[tuple[str, Any]]:
    for key in HEADER_FIELDS:
        yield key, state[key]
    context = state["context"]
    for key in CONTEXT_FIELDS:
        values = context[key]
        if isinstance(values, Mapping):
            for name, value in values.items():
                yield f"{CONTEXT}.{key}.{name}", value
        else:
            yield f"{CONTEXT}.{key}", values
    for name, node in state["nodes"].items():
        for key in NODE_FIELDS:
            yield f"nodes.{name}.{key}", node.get(key)
