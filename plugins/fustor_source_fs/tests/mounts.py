"""File systems that tests mount, and marks on them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from fustor_core.files.fanotify import refused

TMPFS = ("-t", "tmpfs", "none")


def run(*words: str | Path) -> bool:
    """Whether a command of the system did it."""
    return not subprocess.run(words, capture_output=True, check=False).returncode


def need_marks(path: Path) -> None:
    """They can be had, or there is nothing to test."""
    fd = os.open(path, os.O_RDONLY)
    why, _ = refused(fd)
    os.close(fd)
    if why:
        pytest.skip(f"no fanotify here: {why}")
