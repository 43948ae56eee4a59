"""The files for browsers that plugins have brought: what is served, what is wrong with others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fustor_core.contracts import Asset

FRONT = "/"
BELOW = "/assets/"


def shelved(brought: Iterable[Sequence[Asset]]) -> tuple[list[Asset], list[str]]:
    """What is served, and sentences about the rest.

    Args:
        brought: one list a plugin, the first has the first choice of paths.
    """
    taken: dict[str, Asset] = {}
    faults = []
    for assets in brought:
        for asset in assets:
            if not _is_ours(asset.path):
                faults.append(f"{asset.path!r} is not served: a plugin's file lies at / or {BELOW}")
            elif asset.path in taken:
                faults.append(f"{asset.path!r} is served already: two plugins bring it")
            else:
                taken[asset.path] = asset
    return list(taken.values()), faults


def _is_ours(path: str) -> bool:
    parts = path.split("/")
    plain = path.isascii() and path.isprintable() and not set(path) & set("%?#\\ ")
    below = path.startswith(BELOW) and not {"", ".", ".."} & set(parts[1:])
    return plain and (path == FRONT or below)
