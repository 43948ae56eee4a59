"""What becomes of claims that can be sent no more: their directories are owed a listing. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from fustor_core.admission import usable
from fustor_core.claims import Cell, Claim, Key, Listing, Many, Origin, Owe, Root, Stamp

DIRECTORIES_MAX = 64  # more that are owed at once are one obligation at the root


def owe(
    key: Key, path: bytes, reason: str, now_us: int, *, deep: bool = True, code: int = 0
) -> Owe:
    """Evidence about a directory was lost, up to `now_us` of the raw clock."""
    stamp, origin = Stamp(now_us, now_us, 0, "s"), Origin.REALTIME
    return Owe(dir=key, deep=deep, reason=reason, stamp=stamp, origin=origin, path=path, errno=code)


def places(claims: Iterable[Claim]) -> dict[Key, bool]:
    """The directories that claims may have changed, as far as they name them: → with all below."""
    found: dict[Key, bool] = {}
    for claim in claims:
        if isinstance(claim, Root | Many) or not usable(claim.dir):
            continue
        shallow = isinstance(claim, Cell) and not claim.name
        found[claim.dir] = found.get(claim.dir, False) or not shallow
        if isinstance(claim, Listing) and claim.via is not None and usable(claim.via[0]):
            found.setdefault(claim.via[0], False)  # its own edge may have changed, and no more
    return found


def parted(claims: Iterable[Claim]) -> tuple[list[Cell], list[Claim]]:
    """The last cell about each name, and what is no cell."""
    cells: dict[tuple[Key, bytes], Cell] = {}
    rest: list[Claim] = []
    for claim in claims:
        if isinstance(claim, Cell):
            cells.pop((claim.dir, claim.name), None)
            cells[claim.dir, claim.name] = claim
        else:
            rest.append(claim)
    return list(cells.values()), rest


def owed(claims: Iterable[Claim], root: Key | None, reason: str, now_us: int) -> list[Owe]:
    """One obligation for each directory that the claims are about.

    A claim may have been half of a move, or the only sight of a new directory: deep, but for
    a directory's own attributes. That many directories are as they were is no sight of anything:
    with that nothing is lost.

    Args:
        root: stands for all of them when they are many; None = not known.
    """
    paths: dict[Key, tuple[bytes, bool]] = {}
    for claim in claims:
        if not isinstance(claim, Root | Many):
            shallow = isinstance(claim, Cell) and not claim.name
            _, deep = paths.get(claim.dir, (b"", False))
            paths[claim.dir] = (claim.path, deep or not shallow)
    if len(paths) > DIRECTORIES_MAX and root is not None:
        paths = {root: (b"/", True)}
    return [owe(key, path, reason, now_us, deep=deep) for key, (path, deep) in paths.items()]
