"""Ears that hear nothing: what a registry of directories needs, and no kernel."""

from __future__ import annotations

from collections.abc import Container, Iterator

from fustor_core.claims import Key
from fustor_core.files.inotify import Raw


class Numbers:
    """Directories are known by their inode numbers, and nothing is ever heard."""

    way, why, warning, fd = "fanotify", "", "", -1

    def add(self, fd: int, key: Key) -> int:
        return key.ino

    def own(self, key: Key) -> int:
        return key.ino

    def remove(self, wd: int) -> None:
        pass

    def read(self) -> bytes:
        return b""

    def sift(self, data: bytes, known: Container[int]) -> bytes:
        return data

    def events(self, data: bytes, known: Container[int]) -> Iterator[Raw]:
        return iter(())

    def overrun(self, now_us: int) -> bool:
        return False

    def close(self) -> None:
        pass
