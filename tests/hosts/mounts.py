"""One tree at several mount points, as hosts that share a storage see it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest


class Mounts:
    """Bind mounts, undone by `close`."""

    def __init__(self) -> None:
        self._made: list[Path] = []

    def bind(self, tree: Path, at: Path) -> Path:
        """The tree at another place; skips the test where nobody may mount."""
        at.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(["mount", "--bind", tree, at], capture_output=True, check=False)
        if done.returncode:
            pytest.skip(f"bind mounts are not permitted here: {done.stderr.decode().strip()}")
        self._made.append(at)
        return at

    def close(self) -> None:
        """Undo all of them, also while somebody still looks."""
        while self._made:
            subprocess.run(["umount", "--lazy", self._made.pop()], capture_output=True, check=False)
