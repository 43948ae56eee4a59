"""What stands at a view path, and how sure that is: present, absent (proven), unknown."""

from __future__ import annotations

from dataclasses import dataclass

from fustor_core.claims import is_dir
from fustor_view_file.directory import Directory
from fustor_view_file.tree import Tree

PRESENT = "present"
ABSENT = "absent"
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Place:
    """What a path leads to.

    Attributes:
        existence: of what was asked about.
        directory: the directory at the path, None when it is none.
        parent: the directory that holds the last name, None for the root and where the walk ended
            early. name: the last name. row: its row.
        near: the deepest directory on the way that is known, None while the root is not.
        doubtful: directories above `near` below which all is owed a fresh look.
    """

    existence: str
    directory: Directory | None = None
    parent: Directory | None = None
    name: bytes = b""
    row: bytes | None = None
    near: Directory | None = None
    doubtful: tuple[Directory, ...] = ()


def locate(tree: Tree, parts: tuple[bytes, ...]) -> Place:
    """Walk to a path by its names."""
    at = tree.root
    if at is None:
        return Place(UNKNOWN, name=parts[-1] if parts else b"")
    doubtful: list[Directory] = []
    disputed = False  # an edge on the way is: the path may mean another directory
    for depth, name in enumerate(parts, 1):
        last = depth == len(parts)
        row = at.pack.get(name)
        register = at.get(name)
        sure = at.listed and not doubtful and not disputed
        sure = sure and register is not None and not register.debt
        if row is None or not is_dir(row):
            existence = PRESENT if row is not None and last else ABSENT if sure else UNKNOWN
            held = at if last else None
            return Place(existence, None, held, parts[-1], row if last else None, at, (*doubtful,))
        child = tree.child(at, name, row)
        if child is None:  # hidden: it sits elsewhere, and a look is owed
            return Place(UNKNOWN, None, at if last else None, parts[-1], None, at, (*doubtful,))
        disputed = disputed or (register is not None and register.debt)
        if at.owed is not None and at.deep:
            doubtful.append(at)
        at = child
    name = at.name if at.parent is not None else b""
    return Place(PRESENT, at, at.parent, name, None, at, (*doubtful,))
