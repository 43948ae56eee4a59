"""The last whole scan in few bytes: every directory with its silence, in the order of the walk.

Nothing in here is evidence. A cheap audit compares directories with it, many at a time, and what is
sent on the strength of it fusion compares with what it holds itself.
"""

from __future__ import annotations

import os
from array import array
from typing import NamedTuple

import zstandard

from fustor_core.claims import KEY, SILENCE, Key, Silence
from fustor_core.recall import Recall

DIRECTORIES = 512  # in a block
PATH_BYTES_MOST = 3000  # the kernel takes 4096; one that is longer, and there is no book
BYTES_MOST = 256 << 20
LEVEL = 1  # of zstd
_NO_SILENCE = bytes(SILENCE.size)  # of an inode 0: never equal to that of a directory


class Block(NamedTuple):
    """Directories that a walk met one after the other, on one file system.

    Attributes:
        top: view path of a directory that all of them are in, b"" for the root.
        paths: of each below `top`, joined by NUL and compressed, which is an eighth of them.
        keys, silences: as in a claim of many.
        marks: what `Members.mark` said of each, 0 when it was not asked.
        dev: st_dev. exact: whether their keys have births.
    """

    top: bytes
    paths: bytes
    keys: bytes
    silences: bytes
    marks: array[int]
    dev: int
    exact: bool

    @property
    def size_bytes(self) -> int:
        """About what it takes."""
        return len(self.paths) + len(self.keys) + len(self.silences) + 8 * len(self.marks) + 400

    def names(self) -> list[bytes]:
        """Paths below `top`, ``.`` for the root itself."""
        return zstandard.decompress(self.paths).split(b"\0")

    def view_path(self, name: bytes) -> bytes:
        """The view path of one of `names`."""
        return b"/" if name == b"." and not self.top else self.top + b"/" + name

    def key(self, index: int) -> Key:
        """The key of one of them."""
        return Key(*KEY.unpack_from(self.keys, index * KEY.size))


class Book(NamedTuple):
    """What one whole scan has found.

    Attributes:
        recall, life: what was sent in it; when that is forgotten the book is void.
    """

    blocks: list[Block]
    recall: Recall
    life: int

    def holds(self, recall: Recall | None) -> bool:
        """Whether it goes with this recall, as it is now."""
        return self.recall is recall and self.recall.lives == self.life

    def kids(self, number: int, index: int) -> dict[bytes, Key]:
        """Names and keys of the directories in one of them, as the scan has met them.

        Args:
            number: of the block. index: of the directory in it.
        """
        path = self.blocks[number].view_path(self.blocks[number].names()[index])
        prefix = path.rstrip(b"/") + b"/"
        kids: dict[bytes, Key] = {}
        first = index + 1
        for block in self.blocks[number:]:
            names = block.names()
            for at in range(first, len(names)):
                below = block.view_path(names[at])
                if not below.startswith(prefix):
                    return kids
                name = below[len(prefix) :]
                if b"/" not in name:
                    kids[name] = block.key(at)
            first = 0
        return kids


class Writer:
    """Makes a book, directory by directory.

    Args:
        recall: what will have been sent of them.
    """

    def __init__(self, recall: Recall) -> None:
        self._recall, self._life = recall, recall.lives
        self._blocks: list[Block] = []
        self._bytes = 0
        self._paths: list[bytes] = []
        self._keys: list[bytes] = []
        self._silences: list[bytes] = []
        self._marks = array("Q")
        self._kind = (0, True)

    def __repr__(self) -> str:
        return f"<Writer {len(self._blocks)} blocks>"

    def add(self, path: bytes, key: Key, silence: Silence | None, dev: int) -> None:
        """The next directory; without a silence when it has to be looked at again.

        Args:
            path: its view path. dev: st_dev.
        """
        packed = _NO_SILENCE if silence is None else SILENCE.pack(*silence)
        self._add(path, KEY.pack(*key), packed, 0, (dev, key.birth != 0))

    def keep(self, block: Block) -> None:
        """All of a block again."""
        if self._paths and len(self._paths) + len(block.marks) > DIRECTORIES:
            self._end()
        if not self._paths:
            self._blocks.append(block)
            self._bytes += block.size_bytes
            return
        for index, name in enumerate(block.names()):
            self.keep_one(block, index, name)

    def keep_one(self, block: Block, index: int, name: bytes) -> None:
        """One directory of a block again."""
        key = block.keys[index * KEY.size : (index + 1) * KEY.size]
        silence = block.silences[index * SILENCE.size : (index + 1) * SILENCE.size]
        kind = block.dev, block.exact
        self._add(block.view_path(name), key, silence, block.marks[index], kind)

    def book(self) -> Book | None:
        """What was written; None when it would be too large, or paths too long."""
        self._end()
        if self._bytes > BYTES_MOST:
            return None
        return Book(self._blocks, self._recall, self._life)

    def _add(
        self, path: bytes, key: bytes, silence: bytes, mark: int, kind: tuple[int, bool]
    ) -> None:
        if self._bytes > BYTES_MOST:
            return
        if len(path) > PATH_BYTES_MOST:
            self._bytes = BYTES_MOST + 1
            self._blocks.clear()
            return
        if kind != self._kind or len(self._paths) >= DIRECTORIES:
            self._end()
            self._kind = kind
        self._paths.append(path)
        self._keys.append(key)
        self._silences.append(silence)
        self._marks.append(mark)

    def _end(self) -> None:
        paths = self._paths
        if not paths:
            return
        first = min(paths)
        top = os.path.commonpath([first, max(paths)])
        top = (os.path.dirname(top) if top == first else top).rstrip(b"/")
        block = Block(
            top,
            _compressed(b"\0".join(path[len(top) + 1 :] or b"." for path in paths)),
            b"".join(self._keys),
            b"".join(self._silences),
            self._marks,
            *self._kind,
        )
        self._paths, self._keys, self._silences, self._marks = [], [], [], array("Q")
        self._blocks.append(block)
        self._bytes += block.size_bytes
        if self._bytes > BYTES_MOST:
            self._blocks.clear()


def _compressed(content: bytes) -> bytes:
    """In no more memory than it takes: what the library gives keeps room for the content itself."""
    return memoryview(zstandard.compress(content, LEVEL)).tobytes()
