"""Rows of an agent of 0.8.17 as claims. Pure.

Identity is by path, since these rows carry no inode: register ``(path_key(P), n)`` says what stands
at ``P/n``. Two things follow from that, and are claimed: whoever saw ``/a/b/c`` saw that ``/a`` and
``/a/b`` were directories, which such an agent does not always say; and where a path is gone or a
file, nothing is below it, which it leaves out, too.
"""

from __future__ import annotations

from collections.abc import Iterable

from fustor_core.claims import Cell, Key, Origin, Root, Stamp, edge_row, path_key
from fustor_receiver_v08.messages import Sight

IDENTITY = "fustor 0.8.17, by path"
ROOT = path_key(b"/")
KNOWN_MOST = 200_000

Below = Iterable[tuple[bytes, ...]]
"""Names of the paths of entries that a view knows below some path."""


def path_of(names: tuple[bytes, ...]) -> bytes:
    """The view path of these names."""
    return b"/" + b"/".join(names)


def root_proof(stamp: Stamp, origin: Origin, course: str = "") -> Root:
    """That an agent looks at a tree. Such an agent cannot say which one.

    Args:
        course: a whole scan begins with it, or is over; see `Root`.
    """
    return Root(
        key=ROOT, identity=IDENTITY, stamp=stamp, origin=origin, birth="none", course=course
    )


class Ground:
    """The directories that claims have led to, so that each is told once and not with each row.

    Shared by all sessions of a view: what one says is gone is gone for the others.
    """

    def __init__(self) -> None:
        self._known: set[bytes] = set()

    def __repr__(self) -> str:
        return f"<Ground {len(self._known)}>"

    def __contains__(self, path: bytes) -> bool:
        return path in self._known

    def add(self, path: bytes) -> None:
        """A directory was claimed."""
        if len(self._known) >= KNOWN_MOST:
            self._known.clear()  # it costs some claims that say nothing new
        self._known.add(path)

    def drop(self, path: bytes) -> None:
        """No directory stands there any more."""
        if path in self._known:
            prefix = path + b"/"
            self._known = {p for p in self._known if p != path and not p.startswith(prefix)}


class Testimony:
    """The claims of one push, in the making.

    Args:
        ground: of the view.
    """

    def __init__(self, ground: Ground) -> None:
        self.claims: list[Cell | Root] = []
        self._ground = ground

    def seen(self, sight: Sight, stamp: Stamp, origin: Origin) -> None:
        """What stands at a path."""
        names = sight.names
        for depth in range(1, len(names)):
            above = path_of(names[:depth])
            if above not in self._ground:
                self._edge(names[:depth], stamp, origin)
        path = sight.path
        if sight.is_dir:
            if names:
                self._edge(names, stamp, origin)
            own = Cell(
                dir=path_key(path), name=b"", value=sight.row, stamp=stamp, origin=origin, path=path
            )
            self.claims.append(own)
            return
        self._ground.drop(path)
        self._cell(names, sight.row, stamp, origin, sight.flags)

    def gone(self, names: tuple[bytes, ...], below: Below, stamp: Stamp, origin: Origin) -> None:
        """Nothing stands at a path.

        Args:
            below: what the view knows below it; what this push has claimed there is known here.
        """
        self.empty(names, below, stamp, origin)
        self._cell(names, None, stamp, origin)

    def empty(self, names: tuple[bytes, ...], below: Below, stamp: Stamp, origin: Origin) -> None:
        """Nothing is below a path: it is gone, or a file."""
        path = path_of(names)
        prefix = path + b"/"
        lost = {path_of(one): one for one in below}
        for claim in self.claims:
            if isinstance(claim, Cell) and claim.name and (claim.path + b"/").startswith(prefix):
                whole = (*_names(claim.path), claim.name)
                lost[path_of(whole)] = whole
        for one in sorted(lost.values(), key=len, reverse=True):
            self._cell(one, None, stamp, origin)
        self._ground.drop(path)

    def _edge(self, names: tuple[bytes, ...], stamp: Stamp, origin: Origin) -> None:
        path = path_of(names)
        self._cell(names, edge_row(path_key(path)), stamp, origin)
        self._ground.add(path)

    def _cell(
        self,
        names: tuple[bytes, ...],
        value: bytes | None,
        stamp: Stamp,
        origin: Origin,
        flags: int = 0,
    ) -> None:
        parent = path_of(names[:-1])
        key: Key = ROOT if len(names) == 1 else path_key(parent)
        self.claims.append(
            Cell(
                dir=key,
                name=names[-1],
                value=value,
                stamp=stamp,
                origin=origin,
                flags=flags,
                path=parent,
            )
        )


def _names(path: bytes) -> tuple[bytes, ...]:
    return () if path == b"/" else tuple(path[1:].split(b"/"))
