"""What a disk has when the power goes: all that was synced, and of the rest what chance left.

Strict, as POSIX has it: a file's data are safe when the file was synced, its name when its
directory was. What was not synced is there, or is not, or in part; names of one directory are lost
from the end, as file systems keep the order of their metadata.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from .tape import Call

SECTOR = 512
IGNORED = ("-shm", ".sock", "lock")  # not kept, or made anew at each start
FATES = ("lost", "kept", "mixed")


class Write(NamedTuple):
    """Bytes at an offset; none: the file is cut, or grown, to there."""

    begun: int
    offset: int
    data: bytes | None


class Naming(NamedTuple):
    """A name is given, or taken away; both when a file is renamed."""

    begun: int
    gone: str | None
    name: str | None
    node: File | Folder | None


@dataclass(eq=False)
class File:
    """What is safe, and what was written since."""

    safe: bytes = b""
    since: list[Write] = field(default_factory=list)

    def synced(self, until: int) -> None:
        """What was written before a place on the tape is safe."""
        done = [write for write in self.since if write.begun < until]
        self.since = [write for write in self.since if write.begun >= until]
        self.safe = _written(self.safe, done)

    @property
    def size(self) -> int:
        """As the program sees it."""
        return len(_written(self.safe, self.since))

    def left(self, fate: str, rng: random.Random) -> bytes:
        """What the disk has."""
        kept = {"lost": [], "kept": self.since}.get(fate)
        if kept is None:
            kept = [torn for write in self.since for torn in _torn(write, rng)]
        return _written(self.safe, kept)


@dataclass(eq=False)
class Folder:
    """The same of names."""

    safe: dict[str, File | Folder] = field(default_factory=dict)
    now: dict[str, File | Folder] = field(default_factory=dict)
    since: list[Naming] = field(default_factory=list)

    def named(self, naming: Naming) -> None:
        """Something happens to a name."""
        self.since.append(naming)
        _applied(self.now, naming)

    def synced(self, until: int) -> None:
        """What happened before a place on the tape is safe."""
        for naming in self.since:
            if naming.begun < until:
                _applied(self.safe, naming)
        self.since = [naming for naming in self.since if naming.begun >= until]

    def left(self, fate: str, rng: random.Random) -> dict[str, File | Folder]:
        """What the disk has."""
        count = {"lost": 0, "kept": len(self.since)}.get(fate)
        names = dict(self.safe)
        for naming in self.since[: rng.randint(0, len(self.since)) if count is None else count]:
            _applied(names, naming)
        return names


class Disk:
    """A directory, and what a program did below it.

    Args:
        root: the directory, with all that is safe before the program starts.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.top = _read(root) if root.exists() else Folder()
        self._offsets: dict[int, int] = {}
        self._nodes: dict[int, File] = {}

    def does(self, call: Call) -> None:
        """One call of the program."""
        act = getattr(self, f"_{call.name}", None)
        if act is not None:
            act(call)
        elif self._inside(call.path(0)) or call.name.startswith(("copy", "send")):
            raise NotImplementedError(f"{call.name} {call.arguments[:2]}")

    def touched(self, call: Call) -> bool:
        """Whether a call is about this disk."""
        named = [n for n, said in enumerate(call.arguments[:3]) if said[0] == '"' or "<" in said]
        return any(
            self._inside(call.path(n)) for n in (named[:1] if "write" in call.name else named)
        )

    def image(self, at: Path, fate: str, rng: random.Random) -> None:
        """Write what is left of it."""
        _laid(self.top, at, fate, rng)

    # ---- calls

    def _openat(self, call: Call) -> None:
        path, flags = call.path(1), call.arguments[2]
        if call.result is None or not self._inside(path):
            self._nodes.pop(-1 if call.result is None else call.result, None)
            return
        folder, node = self._folder(path.parent), self._found(path)
        if node is None and "O_CREAT" in flags:
            node = File()
            folder.named(Naming(call.begun, None, path.name, node))
        if isinstance(node, File):
            if "O_TRUNC" in flags:
                node.since.append(Write(call.begun, 0, None))
            self._nodes[call.result] = node
            self._offsets[call.result] = node.size if "O_APPEND" in flags else 0
        else:
            self._nodes.pop(call.result, None)

    def _lseek(self, call: Call) -> None:
        if call.result is not None:
            self._offsets[_descriptor(call)] = call.result

    def _write(self, call: Call) -> None:
        node = self._written_to(call)
        if node is not None:
            number = _descriptor(call)
            data = call.data(1)[: call.result]
            node.since.append(Write(call.begun, self._offsets[number], data))
            self._offsets[number] += len(data)

    def _pwrite64(self, call: Call) -> None:
        node = self._written_to(call)
        if node is not None:
            node.since.append(Write(call.begun, call.number(3), call.data(1)[: call.result]))

    def _ftruncate(self, call: Call) -> None:
        node = self._written_to(call)
        if node is not None:
            node.since.append(Write(call.begun, call.number(1), None))

    def _fsync(self, call: Call) -> None:
        path = call.path(0)
        if call.result is None or not self._inside(path):
            return
        node = self._nodes.get(_descriptor(call)) or self._found(path)
        assert node is not None, f"synced, and never seen: {path}"
        node.synced(call.begun)

    _fdatasync = _fsync

    def _rename(self, call: Call) -> None:
        old, new = call.path(0), call.path(1)
        if call.result is None or not self._inside(old):
            return
        assert old.parent == new.parent, f"renamed to another directory: {old}"
        node = self._found(old)
        assert node is not None, f"renamed, and never seen: {old}"
        self._folder(old.parent).named(Naming(call.begun, old.name, new.name, node))

    def _unlink(self, call: Call, at: int = 0) -> None:
        path = call.path(at)
        if call.result is not None and self._inside(path):
            self._folder(path.parent).named(Naming(call.begun, path.name, None, None))

    def _unlinkat(self, call: Call) -> None:
        self._unlink(call, 1)

    _rmdir = _unlink

    def _mkdir(self, call: Call) -> None:
        path = call.path(0)
        if call.result is not None and self._inside(path):
            self._folder(path.parent).named(Naming(call.begun, None, path.name, Folder()))

    # ---- finding

    def _written_to(self, call: Call) -> File | None:
        path = call.path(0)
        if not self._inside(path) or path.name.endswith(IGNORED):
            return None
        node = self._nodes.get(_descriptor(call))
        assert node is not None, f"written, and never opened: {path}"
        return node

    def _inside(self, path: Path) -> bool:
        return path.is_relative_to(self.root) and path != self.root.parent

    def _found(self, path: Path) -> File | Folder | None:
        node: File | Folder | None = self.top
        for part in path.relative_to(self.root).parts:
            node = node.now.get(part) if isinstance(node, Folder) else None
        return node

    def _folder(self, path: Path) -> Folder:
        node = self._found(path) if self._inside(path) else Folder()
        assert isinstance(node, Folder), f"no directory, and used as one: {path}"
        return node


def _descriptor(call: Call) -> int:
    return int(call.arguments[0].partition("<")[0])


def _written(data: bytes, writes: list[Write]) -> bytes:
    if not writes:
        return data
    found = bytearray(data)
    for write in writes:
        end = write.offset + len(write.data or b"")
        if len(found) < end:
            found.extend(bytes(end - len(found)))
        if write.data is None:
            del found[write.offset :]
        else:
            found[write.offset : end] = write.data
    return bytes(found)


def _torn(write: Write, rng: random.Random) -> list[Write]:
    """None of it, all, or some of its sectors."""
    fate = rng.choice(("none", "all", "some"))
    if fate == "none" or write.data is None:
        return [] if fate == "none" else [write]
    found, data, place = [], write.data, 0
    while place < len(data):
        step = SECTOR - (write.offset + place) % SECTOR
        if fate == "all" or rng.random() < 0.5:
            found.append(Write(write.begun, write.offset + place, data[place : place + step]))
        place += step
    return found


def _applied(names: dict[str, File | Folder], naming: Naming) -> None:
    if naming.gone is not None:
        names.pop(naming.gone, None)
    if naming.name is not None and naming.node is not None:
        names[naming.name] = naming.node


def _read(path: Path) -> Folder:
    folder = Folder()
    for entry in sorted(os.scandir(path), key=lambda entry: entry.name):
        if entry.is_dir():
            folder.safe[entry.name] = _read(Path(entry.path))
        elif entry.is_file() and not entry.name.endswith(IGNORED):
            folder.safe[entry.name] = File(Path(entry.path).read_bytes())
    folder.now = dict(folder.safe)
    return folder


def _laid(folder: Folder, at: Path, fate: str, rng: random.Random) -> None:
    at.mkdir(mode=0o700, parents=True)
    for name, node in folder.left(fate, rng).items():
        if name.endswith(IGNORED):
            continue
        if isinstance(node, Folder):
            _laid(node, at / name, fate, rng)
        else:
            (at / name).write_bytes(node.left(fate, rng))
            (at / name).chmod(0o600)
