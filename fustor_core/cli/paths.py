"""The PATH argument: from what a person typed to a view and a path in it.

`VIEW:/p` is that view; else a host path inside a root that the local server watches; else, when it
starts with ``/``, a view path in the chosen or the only view. All paths are bytes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fustor_core.cli.names import below, quoted, raw
from fustor_core.errors import NoSuchView, QueryError

Links = Callable[[bytes], bool]


@dataclass(frozen=True, slots=True)
class Place:
    """A path in a view: `path` is absolute there, ``/`` is the watched root."""

    view: str
    path: bytes


@dataclass(frozen=True, slots=True)
class Watched:
    """A view and the host directory that it shows."""

    view: str
    root: bytes


def watched(views: Sequence[Mapping[str, Any]]) -> list[Watched]:
    """The views of a ``views`` document; the root of one that shows no directory is empty."""
    return [Watched(str(view["view"]), raw(view, "root")) for view in views]


def resolve(
    argument: bytes | None,
    views: Sequence[Watched],
    *,
    chosen: str | None = None,
    cwd: bytes | None = None,
) -> Place:
    """Finds what a PATH argument means.

    Args:
        argument: as typed; None when it was left out, which is ``/``.
        views: all views of the server.
        chosen: the view of ``--view``.
        cwd: working directory for host paths; None: host paths are not tried (``--server``).

    Raises:
        QueryError: it means nothing here, or could be in several views.
        NoSuchView: the view of ``--view`` or ``VIEW:`` does not exist.
    """
    names = [view.view for view in views]
    if chosen is not None and chosen not in names:
        raise NoSuchView(chosen, names)
    if argument is not None:
        prefix, colon, path = argument.partition(b":/")
        if colon and os.fsdecode(prefix) in names:
            return Place(os.fsdecode(prefix), inside_view(b"/" + path))
        if cwd is not None and argument:
            within = [view for view in views if chosen in (None, view.view)]
            found = on_host(argument, within, cwd)
            if found:
                return _only(found, argument)
        if not argument.startswith(b"/"):
            raise _outside(argument, prefix if colon else b"", views, cwd)
    view = chosen or _only_view(names, argument)
    return Place(view, inside_view(argument or b"/"))


def on_host(argument: bytes, views: Sequence[Watched], cwd: bytes) -> list[Place]:
    """The places of a host path: one for each view of the longest root that contains it.

    Symbolic links are followed above a root and never below it, as the views do not follow them.

    Args:
        argument: absolute, or relative to `cwd`.
    """
    full = os.path.join(cwd, argument)
    if b".." not in full.split(b"/"):
        # Without a look at the disk where that will do: the storage may be hung.
        found = _within(_plain(full), [(view.root, view.view) for view in views])
        if found:
            return found
    roots = [(os.path.realpath(view.root), view.view) for view in views if view.root[:1] == b"/"]
    return _within(physical(full, [root for root, _ in roots]), roots)


def physical(path: bytes, roots: Sequence[bytes], is_link: Links = os.path.islink) -> bytes:
    """The path without ``.``, ``..`` and those symbolic links that stand outside of the roots.

    Args:
        path: absolute.
        roots: real paths of watched directories.
        is_link: asked only about names outside of the roots.
    """
    at = b"/"
    for part in path.split(b"/"):
        if part in (b"", b"."):
            continue
        if part == b"..":
            at = os.path.dirname(at)
            continue
        step = os.path.join(at, part)
        if any(below(at, root) for root in roots) or not is_link(step):
            at = step
        else:
            at = os.path.realpath(step)
    return at


def _within(full: bytes, roots: Sequence[tuple[bytes, str]]) -> list[Place]:
    """The place in each view of the longest root that contains the path."""
    containing = [root for root, _ in roots if root[:1] == b"/" and below(full, root)]
    longest = max(containing, key=len, default=b"")
    rest = full[len(longest.rstrip(b"/")) :] or b"/"
    return [Place(view, rest) for root, view in roots if containing and root == longest]


def _plain(path: bytes) -> bytes:
    return b"/" + b"/".join(part for part in path.split(b"/") if part not in (b"", b"."))


def inside_view(path: bytes) -> bytes:
    """A view path in its one form: absolute, no empty part, no ``.`` or ``..``, no final slash.

    Raises:
        QueryError: it leaves the view, or holds a NUL.
    """
    parts: list[bytes] = []
    for part in path.split(b"/"):
        if part == b"..":
            if not parts:
                raise QueryError(f"{quoted(path)} leads out of the view")
            parts.pop()
        elif part not in (b"", b"."):
            parts.append(part)
    if b"\0" in path:
        raise QueryError(f"no path: {quoted(path)} holds a NUL")
    return b"/" + b"/".join(parts)


def _only(found: Sequence[Place], argument: bytes) -> Place:
    if len(found) > 1:
        forms = ", ".join(f"{place.view}:{quoted(place.path)}" for place in found)
        raise QueryError(
            f"{quoted(argument)} is in more than one view: {forms}",
            remedy="choose one: write it as VIEW:/path, or give --view",
        )
    return found[0]


def _only_view(names: Sequence[str], argument: bytes | None) -> str:
    if len(names) == 1:
        return names[0]
    what = quoted(argument) if argument else "the path that was left out"
    if not names:
        raise NoSuchView("", ())
    raise QueryError(
        f"{what} could be in any of these views: {', '.join(names)}",
        remedy="choose one: write it as VIEW:/path, or give --view",
    )


def _outside(
    argument: bytes, prefix: bytes, views: Sequence[Watched], cwd: bytes | None
) -> Exception:
    if prefix and b"/" not in prefix:
        return NoSuchView(os.fsdecode(prefix), [view.view for view in views])
    if cwd is None:
        return QueryError(
            f"{quoted(argument)} is no view path",
            remedy="with --server paths are view paths: they start with /, or are VIEW:/path",
        )
    roots = ", ".join(f"{view.view} = {quoted(view.root)}" for view in views if view.root)
    return QueryError(
        f"{quoted(argument)} is in no watched directory (here: {quoted(cwd)})",
        remedy=f"watched: {roots or 'nothing'}; or write it as VIEW:/path",
    )
