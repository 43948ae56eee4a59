"""Who changes a shared tree: storms from several hosts at once, a slow writer, a blind one."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.storms.weather import Storm

PART = 250


class Storms:
    """Several storms at once, each in a folder of its own, through the mounts of several hosts.

    Args:
        roots: where the tree is mounted, one for each writer; may repeat.
        outside: a place that nobody watches. seed: of the first; the others count on.
    """

    def __init__(self, roots: list[Path], outside: Path, seed: int = 0) -> None:
        self.storms = []
        for number, root in enumerate(roots):
            folder, parked = root / f"writer-{number}", outside / f"writer-{number}"
            folder.mkdir()
            parked.mkdir()
            self.storms.append(Storm(folder, parked, seed + number))

    def run(self, operations: int) -> None:
        """So many operations of each, at once; returns when all are done."""
        threads = [
            threading.Thread(target=storm.run, args=(operations,), daemon=True)
            for storm in self.storms
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    @contextmanager
    def raging(self, part: int = PART, pause_s: float = 0.05) -> Iterator[None]:
        """They go on through the block, until its end: so many operations, then a pause."""
        over = threading.Event()

        def rage(storm: Storm) -> None:
            while not over.is_set():
                storm.run(part)
                over.wait(pause_s)  # two cores are shared with the processes that are tested

        threads = [threading.Thread(target=rage, args=(s,), daemon=True) for s in self.storms]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join()

    def calm(self) -> None:
        """All is over."""
        for storm in self.storms:
            storm.calm()


class SlowWriter:
    """Appends a line a second: changes that are steady and few; a context manager."""

    def __init__(self, path: Path, pause_s: float = 1.0) -> None:
        self.path = path
        self.lines = 0
        self._pause_s = pause_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> SlowWriter:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(self._pause_s):
            with self.path.open("ab") as out:
                out.write(b"a line\n")
            self.lines += 1


class BlindWriter:
    """Changes files of the tree where no watch looks: through names that lie outside of it.

    A kernel tells a directory's watchers of what happens through its own names only.

    Args:
        tree, outside: on the same file system.
    """

    def __init__(self, tree: Path, outside: Path, files: int) -> None:
        self.folder = tree / "blind"
        self.folder.mkdir()
        self.paths = []
        self._names = []
        for number in range(files):
            path = self.folder / f"shared-{number}"
            path.write_bytes(b"first")
            name = outside / f"name-{number}"
            os.link(path, name)
            self.paths.append(path)
            self._names.append(name)

    def write(self) -> None:
        """Change all of them."""
        for name in self._names:
            with name.open("ab") as out:
                out.write(b" and more")


def many_files(folder: Path, directories: int, files: int) -> int:
    """A tree that takes a while to scan; returns how many files it has."""
    for number in range(directories):
        below = folder / f"d{number // 100}" / f"d{number % 100}"
        below.mkdir(parents=True)
        for name in range(files):
            (below / f"f{name}").touch()
    return directories * files


def nap(seconds: float) -> None:
    """Time that is part of what is tested: nothing happens that could be waited for."""
    time.sleep(seconds)
