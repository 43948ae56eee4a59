"""Entries as they stand in documents (interfaces.md §1)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fustor_core.claims import ROW, edge_key, is_dir
from fustor_core.registers import Register, Seen
from fustor_view_file.answers.paths import named, under
from fustor_view_file.answers.rollups import rollup_of
from fustor_view_file.directory import Directory
from fustor_view_file.telling import prefix_of
from fustor_view_file.tree import Tree

Pair = tuple[bytes, bytes]  # a name and its row
Entry = dict[str, Any]

TYPES = {
    0x1: "fifo",
    0x2: "char",
    0x4: "dir",
    0x6: "block",
    0x8: "file",
    0xA: "symlink",
    0xC: "socket",
}
_COLUMNS = ("size", "mtime_ns", "ctime_ns", "ino", "mode", "uid", "gid", "nlink")


def type_of(mode: int) -> str:
    """The type in st_mode; what lstat never gives counts as a file."""
    return TYPES.get(mode >> 12, "file")


def columns_of(row: bytes) -> dict[str, Any]:
    """A row that is no edge, column by column."""
    size, mtime_ns, ctime_ns, ino, mode, uid, gid, nlink = ROW.unpack(row)
    return {
        "type": TYPES.get(mode >> 12, "file"),
        "size": size,
        "mtime_ns": mtime_ns,
        "ctime_ns": ctime_ns,
        "ino": ino,
        "mode": mode,
        "uid": uid,
        "gid": gid,
        "nlink": nlink,
    }


class Entries:
    """Makes the entries of one view at one moment.

    What nobody has seen yet is None: the times of a directory that was never listed, every column
    of a name that is shown as absent while that is disputed.

    Args:
        view: the view's name. tree: its directories. stale: nobody feeds the view.
    """

    def __init__(self, view: str, tree: Tree, *, stale: bool) -> None:
        self._view = view
        self._tree = tree
        self._doubts = ["stale"] if stale else []

    def of_directory(self, directory: Directory) -> Entry:
        """The entry of the root or of a directory that sits in another, with its totals."""
        path, name = directory.path(), directory.name if directory.parent is not None else b""
        columns = directory_columns(directory)
        seen = _seen_of(directory)
        return {
            "view": self._view,
            **named("path", path),
            **named("name", name),
            "type": "dir",
            **columns,
            "flags": self.flags_of(directory),
            "origin": _origin_of(directory),
            "observed": [seen.lo, seen.hi] if seen is not None else None,
            "rollup": rollup_of(self._tree, directory),
        }

    def flags_of(self, directory: Directory) -> list[str]:
        """The flags of a directory: those of its name in its parent, and its own."""
        parent, name = directory.parent, directory.name
        flags = []
        if self._disputed(directory):
            flags.append("debt")
        if parent is not None and parent.blind is not None and name in parent.blind:
            flags.append("blind")
        flags += self._doubts
        if not directory.listed:
            flags.append("unscanned")
        if parent is not None and parent.frozen is not None and name in parent.frozen:
            flags.append("frozen")
        return flags

    def _disputed(self, directory: Directory) -> bool:
        if directory.disputed:
            return True
        parent = directory.parent
        for key, name in self._tree.contested().get(directory.key, ()):
            other = self._tree.dirs.get(key)
            elsewhere = other is not parent or name != directory.name
            if elsewhere and other is not None and self._tree.visible(other):
                return True
        mark = parent.own.get(directory.name) if parent is not None else None
        return mark is not None and mark.debt

    def of_names(self, directory: Directory, pairs: Iterable[Pair]) -> list[Entry]:
        """The entries of some names in a directory; hidden ones are left out."""
        prefix = prefix_of(directory)
        try:
            text_prefix = prefix.decode()
        except UnicodeDecodeError:
            text_prefix = ""
        base, origin = directory.base, directory.origin.value
        plain = base is not None and not _particular(directory)
        lo, hi = (base.lo, base.hi) if base is not None else (0, 0)
        view, doubts, unpack = self._view, self._doubts, ROW.unpack
        out: list[Entry] = []
        for name, row in pairs:
            size, mtime_ns, ctime_ns, ino, mode, uid, gid, nlink = unpack(row)
            kind = TYPES.get(mode >> 12, "file")
            if kind == "dir":
                child = self._tree.child(directory, name, row)
                if child is not None:
                    out.append(self.of_directory(child))
                continue
            try:
                text = name.decode() if text_prefix else ""
            except UnicodeDecodeError:
                text = ""
            entry: Entry = {
                "view": view,
                "path": text_prefix + text,
                "name": text,
                "type": kind,
                "size": size,
                "mtime_ns": mtime_ns,
                "ctime_ns": ctime_ns,
                "ino": ino,
                "mode": mode,
                "uid": uid,
                "gid": gid,
                "nlink": nlink,
                "flags": [*doubts],
                "origin": origin,
                "observed": [lo, hi],
            }
            if not text:
                del entry["path"], entry["name"]
                entry |= {**named("path", prefix + name), **named("name", name)}
            if not plain:
                self._particulars(directory, name, entry)
            out.append(entry)
        return out

    def _particulars(self, directory: Directory, name: bytes, entry: Entry) -> None:
        register = directory.get(name)
        seen = register.seen if register is not None else directory.base
        origin = register.origin if register is not None else directory.origin
        entry["flags"] = self.name_flags(directory, name, register)
        entry["origin"] = origin.value
        entry["observed"] = [seen.lo, seen.hi] if seen is not None else None

    def name_flags(self, directory: Directory, name: bytes, register: Register | None) -> list[str]:
        """The flags of a name that is no directory."""
        flags = []
        if name in directory.suspects:
            flags.append("suspect")
        if register is not None and register.debt:
            flags.append("debt")
        if directory.blind is not None and name in directory.blind:
            flags.append("blind")
        flags += self._doubts
        if directory.frozen is not None and name in directory.frozen:
            flags.append("frozen")
        return flags

    def of_nothing(self, directory: Directory, name: bytes, row: bytes | None) -> Entry:
        """A name that is not shown, though evidence speaks for it: disputed, or a hidden edge."""
        register = directory.get(name)
        columns: dict[str, Any] = {"type": None, **dict.fromkeys(_COLUMNS)}
        if row is not None and is_dir(row):
            columns |= {"type": "dir", "ino": edge_key(row).ino, "mode": ROW.unpack(row)[4]}
        entry = {
            "view": self._view,
            **named("path", under(directory.path(), name)),
            **named("name", name),
            **columns,
        }
        self._particulars(directory, name, entry)
        if "debt" not in entry["flags"]:
            entry["flags"].insert(0, "debt")
        entry["origin"] = register.origin.value if register is not None else None
        return entry

    def of_change(
        self,
        path: bytes,
        row: bytes,
        *,
        kind: str,
        flags: Iterable[str],
        origin: str,
        observed: tuple[int, int],
    ) -> Entry:
        """The entry of a change, as it was when it changed.

        A directory takes what its edge does not say from its state now.

        Args:
            path: its view path. row: its row then; that of a directory is its edge, or its own
                attributes when they were ``modified``.
        """
        rollup = {}
        entry = {"view": self._view, **_place(path), **columns_of(row)}
        if entry["type"] == "dir":
            whole = kind == "modified"
            tree = self._tree
            child = tree.directory_at(path) if whole else tree.dirs.get(edge_key(row))
            if not whole:
                entry |= edge_columns(row)
            if child is not None and tree.visible(child):
                rollup = {"rollup": rollup_of(tree, child)}
                entry |= {} if whole else directory_columns(child)
        entry["flags"], entry["origin"], entry["observed"] = [*flags], origin, [*observed]
        return entry | rollup if rollup else entry


def _place(path: bytes) -> dict[str, str]:
    """Path and name; what is no UTF-8 as base 64, the one or both."""
    try:
        text = path.decode()
    except UnicodeDecodeError:
        return {**named("path", path), **named("name", path.rpartition(b"/")[2])}
    return {"path": text, "name": text.rpartition("/")[2]}


def directory_columns(directory: Directory) -> dict[str, Any]:
    """The columns of a directory: its own attributes, and the inode that its edge names."""
    attrs = directory.attrs
    if attrs is not None and attrs.value is not None:
        columns = dict(zip(_COLUMNS, ROW.unpack(attrs.value), strict=True))
        columns["ino"] = directory.key.ino
        return columns
    parent = directory.parent
    row = parent.pack.get(directory.name) if parent is not None else None
    return edge_columns(row) if row is not None else _root_columns(directory)


def edge_columns(row: bytes) -> dict[str, Any]:
    """What an edge says of its directory: inode and type; the rest is None."""
    columns: dict[str, Any] = dict.fromkeys(_COLUMNS)
    columns["ino"] = edge_key(row).ino
    columns["mode"] = ROW.unpack(row)[4]
    return columns


def _root_columns(directory: Directory) -> dict[str, Any]:
    columns: dict[str, Any] = dict.fromkeys(_COLUMNS)
    columns["ino"] = directory.key.ino
    return columns


def _particular(directory: Directory) -> bool:
    """Whether some names have flags or stamps of their own."""
    return bool(directory.own or directory.suspects or directory.blind or directory.frozen)


def _seen_of(directory: Directory) -> Seen | None:
    """When the directory was seen: the look that gave its attributes, else its edge's."""
    if directory.attrs is not None:
        return directory.attrs.seen
    parent = directory.parent
    register = parent.get(directory.name) if parent is not None else None
    return register.seen if register is not None else directory.base


def _origin_of(directory: Directory) -> str:
    if directory.attrs is not None:
        return directory.attrs.origin.value
    parent = directory.parent
    register = parent.get(directory.name) if parent is not None else None
    return (register.origin if register is not None else directory.origin).value
