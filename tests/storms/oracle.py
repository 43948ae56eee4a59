"""What is true: `os.walk` and `lstat`, and what the view says of it."""

from __future__ import annotations

import base64
import os
import stat
from pathlib import Path
from typing import Any

TYPES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
}
Fields = tuple[Any, ...]
FIELDS = ("type", "size", "mtime_ns", "ctime_ns", "ino", "mode", "uid", "gid", "nlink")
ROLLUP = ("files", "dirs", "others", "bytes", "newest_mtime_ns")


def truth(root: Path) -> dict[bytes, Fields]:
    """Every path below the root, relative to it, with what lstat says."""
    top = os.fsencode(root)
    out: dict[bytes, Fields] = {b"/": _fields(os.lstat(top))}
    stack = [(top, b"")]
    while stack:
        at, prefix = stack.pop()
        for name in os.listdir(at):
            path = os.path.join(at, name)
            found = os.lstat(path)
            out[prefix + b"/" + name] = _fields(found)
            if stat.S_ISDIR(found.st_mode):
                stack.append((path, prefix + b"/" + name))
    return out


def _fields(s: os.stat_result) -> Fields:
    kind = TYPES[stat.S_IFMT(s.st_mode)]
    return (
        kind, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino, s.st_mode, s.st_uid, s.st_gid,
        s.st_nlink,
    )  # fmt: skip


def rollups(tree: dict[bytes, Fields]) -> dict[bytes, Fields]:
    """`du` of every directory, recomputed: files, dirs, others, bytes, newest mtime."""
    sums: dict[bytes, list[int]] = {p: [0, 0, 0, 0, 0] for p, f in tree.items() if f[0] == "dir"}
    seen: dict[bytes, int | None] = dict.fromkeys(sums)
    for path, fields in tree.items():
        if path == b"/":
            continue
        above = path
        while above != b"/":
            above = above.rpartition(b"/")[0] or b"/"
            total = sums[above]
            kind = 1 if fields[0] == "dir" else 0 if fields[0] == "file" else 2
            total[kind] += 1
            if fields[0] == "file":
                total[3] += fields[1]
            if fields[0] != "dir":
                newest = seen[above]
                seen[above] = fields[2] if newest is None else max(newest, fields[2])
    return {p: (*s[:4], seen[p]) for p, s in sums.items()}


def path_of(entry: dict[str, Any]) -> bytes:
    """The bytes of an entry's path."""
    if "path_b64" in entry:
        return base64.b64decode(entry["path_b64"])
    return str(entry["path"]).encode()


def told(entries: list[dict[str, Any]]) -> dict[bytes, Fields]:
    """Entries of the view in the form of `truth`."""
    return {path_of(e): tuple(e[f] for f in FIELDS) for e in entries}


def told_rollups(entries: list[dict[str, Any]]) -> dict[bytes, Fields]:
    """The rollups of the view's directories in the form of `rollups`."""
    return {
        path_of(e): tuple(e["rollup"][f] for f in ROLLUP) for e in entries if e["type"] == "dir"
    }


def differences(true: dict[bytes, Fields], view: dict[bytes, Fields], most: int = 12) -> list[str]:
    """The first differences, readable; empty when the view is the tree."""
    out = []
    for path in sorted({*true, *view}):
        a, b = true.get(path), view.get(path)
        if a != b:
            out.append(f"{path!r}\n    tree {a}\n    view {b}")
            if len(out) == most:
                break
    return out
