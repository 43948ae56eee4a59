"""Runs of unchanged listings in the cold store: a row for each, and not one for each directory.

A directory's record says of which runs it knows; what later ones say is added when it is read. When
those that are kept tell of each directory twice, they are made anew from what the directories say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from fustor_core.claims import DIGEST_BYTES, KEY, ROW_BYTES, STILL_BYTES, Key, Origin
from fustor_view_file.cold import Image
from fustor_view_file.faces import FACE_BYTES, STAMP_BYTES
from fustor_view_file.records import Look
from fustor_view_file.tree import Tree

SPARE = 10_000  # directories that may be told of beyond twice those that there are
AT_ONCE = 1000
_decode = msgspec.msgpack.Decoder(Look).decode
_encode = msgspec.msgpack.Encoder().encode


class KeptLooks:
    """The runs that lie in the cold store.

    Attributes:
        last: number of the newest. failed: of images that were not written: with the next one;
            and up to which one others are void.
    """

    def __init__(self, tree: Tree) -> None:
        self.last = 0
        self.failed: tuple[list[tuple[int, bytes]], int] = [], 0
        self._tree = tree
        self._told = 0  # directories in all of them

    def __repr__(self) -> str:
        return f"<KeptLooks until {self.last}, of {self._told} directories>"

    def into(self, image: Image) -> Iterator[None]:
        """Add what came since the last image; a step for so many directories."""
        looks, self._tree.looks = self._tree.looks, []
        image.looks, image.looks_floor = list(self.failed[0]), self.failed[1]
        for look in _joined(looks):
            self._add(image, look)
        if self._told > 2 * len(self._tree.dirs) + SPARE:
            yield from self._anew(image)

    def _add(self, image: Image, look: Look) -> None:
        self.last += 1
        self._told += len(look.keys) // KEY.size
        image.looks.append((self.last, _encode(look)))

    def _anew(self, image: Image) -> Iterator[None]:
        """One run for all directories with the same stamp."""
        runs: dict[tuple[bytes, Origin], tuple[list[bytes], list[bytes]]] = {}
        for number, directory in enumerate(self._tree.dirs.values(), 1):
            face = directory.face
            if face is not None and len(face) > FACE_BYTES:
                run = runs.setdefault((face[:STAMP_BYTES], directory.origin), ([], []))
                run[0].append(KEY.pack(*directory.key))
                run[1].append(face[FACE_BYTES:])
            if not number % AT_ONCE:
                yield
        image.looks.clear()
        image.looks_floor, self._told = self.last, 0
        for (stamp, origin), (keys, digests) in runs.items():
            self._add(image, Look(stamp, origin, b"".join(keys), b"".join(digests)))

    def restore(self, rows: Iterable[tuple[int, bytes | None]], known: Mapping[Key, int]) -> int:
        """Bring what was read of the directories up to date.

        Args:
            rows: as they were kept. known: of which a directory's record knows, where it knows of
                any.

        Returns:
            how many were damaged: what they tell of has the stamp of an earlier look.
        """
        damaged = 0
        for number, raw in rows:
            if raw is None:
                damaged += 1
                continue
            look = _decode(raw)
            stamp, digests = look.stamp, look.sums
            self._told += len(look.keys) // KEY.size
            for at, key in enumerate(KEY.iter_unpack(look.keys)):
                directory = self._tree.dirs.get(key)  # type: ignore[call-overload]
                face = directory.face if directory is not None else None
                if face is not None and number > known.get(key, 0):  # type: ignore[call-overload]
                    digest = digests[at * DIGEST_BYTES : (at + 1) * DIGEST_BYTES]
                    directory.face = stamp + face[STAMP_BYTES:FACE_BYTES] + digest
                    directory.origin = look.origin
        return damaged


def _joined(looks: list[Look]) -> Iterator[Look]:
    """Runs with one stamp as one, with the digests alone."""
    begin = 0
    for end in range(1, len(looks) + 1):
        first = looks[begin]
        more = looks[end] if end < len(looks) else None
        if more is not None and (more.stamp, more.origin) == (first.stamp, first.origin):
            continue
        keys = b"".join(look.keys for look in looks[begin:end])
        sums = b"".join(look.sums for look in looks[begin:end])
        digests = [
            sums[at : at + DIGEST_BYTES] for at in range(1 + ROW_BYTES, len(sums), STILL_BYTES)
        ]
        yield Look(first.stamp, first.origin, keys, b"".join(digests))
        begin = end
