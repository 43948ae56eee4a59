"""How large a node may be, and what is done about one that is larger. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from fustor_core.errors import StateTooLarge
from fustor_core.state_runs.records import NODE_FIELDS, NodeState

NODE_LIMIT = 16 << 10
"""Bytes of a node as JSON."""
NODE_WARNING = 12 << 10
WORTH_MOVING = 256
"""What is smaller than this would hardly become smaller as a reference."""
VALUE_LIMIT = 1 << 20
"""Of one value that is kept beside its node."""
REFERENCE = "$artifact"
PAYLOADS = ("input_payload", "output_payload")


@dataclass(frozen=True, slots=True)
class Fitted:
    """A node that is no larger than it may be.

    Attributes:
        size: in bytes. moved: contents that it refers to now, by their reference.
    """

    node: NodeState
    size: int
    moved: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def large(self) -> bool:
        """Whether people should hear of its size."""
        return self.size >= NODE_WARNING or bool(self.moved)


def size_of(value: object) -> int:
    """Bytes of a value as JSON."""
    return len(msgspec.json.encode(value))


def fitted(name: str, node: NodeState, *, keeps: bool = True) -> Fitted:
    """A node as it may be kept: the largest values of its payloads become references.

    Args:
        name: of the node. keeps: whether there is a place for what is referred to.

    Raises:
        StateTooLarge: it is too large all the same; names the field.
    """
    size = size_of(node)
    moved: dict[str, bytes] = {}
    while size > NODE_LIMIT:
        found = _largest(node) if keeps else None
        if found is None:
            fields = {key: size_of(getattr(node, key)) for key in NODE_FIELDS}
            worst = max(fields, key=lambda key: fields[key])
            raise StateTooLarge(f"nodes.{name}.{worst}", size=size, limit=NODE_LIMIT)
        payload, key, content = found
        if len(content) > VALUE_LIMIT:
            whole = f"nodes.{name}.{payload}.{key}"
            raise StateTooLarge(whole, size=len(content), limit=VALUE_LIMIT)
        reference = f"sha256:{hashlib.sha256(content).hexdigest()}"
        moved[reference] = content
        values = dict(getattr(node, payload))
        values[key] = {REFERENCE: reference, "size": len(content)}
        node = msgspec.structs.replace(node, **{payload: values})
        size = size_of(node)
    return Fitted(node, size, moved)


def _largest(node: NodeState) -> tuple[str, str, bytes] | None:
    """Payload, key and content of the largest value that is worth moving."""
    best: tuple[str, str, bytes] | None = None
    for payload in PAYLOADS:
        values: Mapping[str, Any] = getattr(node, payload) or {}
        for key, value in values.items():
            if isinstance(value, dict) and REFERENCE in value:
                continue
            content = msgspec.json.encode(value)
            if len(content) > WORTH_MOVING and (best is None or len(content) > len(best[2])):
                best = payload, key, content
    return best
