"""The history of a run while it goes on: from commits to files, folder after folder."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from fustor_core.state_runs.chronicle import Chronicle
from fustor_core.state_runs.folders import folder_name, remove, run_folders, superfluous
from fustor_core.state_runs.records import Commit, RunHeader, RunState
from fustor_core.state_runs.scribe import Scribe
from fustor_core.state_runs.sealing import Keyring

_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def new_id(now: float) -> str:
    """An id of a run: ``pipeline_`` and a ULID, 26 characters that sort by time."""
    number = int(now * 1000) << 80 | secrets.randbits(80)
    return "pipeline_" + "".join(_DIGITS[number >> shift & 31] for shift in range(125, -1, -5))


class RunJournal:
    """Keeps the history of a run.

    Args:
        folder: where runs are kept; made when absent.
        state: at the beginning. keys: encrypt; None: plain.
        rotate_bytes, rotate_age_s: a folder is followed by another from there on; 0 = never.
        keep_bytes, keep_age_s: of all runs; 0 = without end.
        warn: told sentences, in any thread. about: more for the first file.

    Raises:
        StateError: the folder cannot be made.
    """

    def __init__(
        self,
        folder: Path,
        state: RunState,
        *,
        keys: Keyring | None,
        rotate_bytes: int,
        rotate_age_s: float,
        keep_bytes: int,
        keep_age_s: float,
        warn: Callable[[str], None],
        about: Mapping[str, Any],
    ) -> None:
        self._folder, self._keys, self._warn = folder, keys, warn
        self._rotate_bytes, self._rotate_age_s = rotate_bytes, rotate_age_s
        self._keep_bytes, self._keep_age_s = keep_bytes, keep_age_s
        self._about = dict(about)
        self._open(state, {})

    def __repr__(self) -> str:
        return f"<RunJournal {self.path}>"

    @property
    def path(self) -> Path:
        """Folder of the run."""
        return self._scribe.folder

    def _open(self, state: RunState, more: Mapping[str, Any]) -> None:
        header = state.header
        path = self._folder / folder_name(header)
        self._scribe = Scribe(path, header.id, keys=self._keys, trouble=self._warn)
        self._began = header.start_timestamp
        self._chronicle = Chronicle(header.id)
        self._scribe.do(self._chronicle.begin(state, **self._about, **more))

    def take(self, commit: Commit, moved: Mapping[str, bytes]) -> None:
        """A change was made."""
        for reference, content in moved.items():
            self._scribe.keep(f"artifact_{reference.partition(':')[2]}.json", content)
        self._scribe.do(self._chronicle.take(commit))

    def forget(self, name: str) -> None:
        """A node is over; its files stay."""
        self._chronicle.forget(name)

    @property
    def due(self) -> bool:
        """Whether the folder is large or old enough to be followed by another."""
        age = time.time() - self._began
        large = self._rotate_bytes and self._scribe.size_bytes > self._rotate_bytes
        return bool(large or (self._rotate_age_s and age > self._rotate_age_s))

    def rotate(self, state: RunState, header: RunHeader, limit_s: float) -> RunState:
        """End the folder and begin another; blocks while the last files are written.

        Args:
            header: of the run from here on.

        Returns:
            The state with that header.

        Raises:
            StateError: the next folder cannot be made; this one goes on.
        """
        following = RunState(header, state.context, state.nodes, state.attempts, state.version)
        before, chronicle = self._scribe, self._chronicle
        self._open(following, {"continues": before.folder.name})
        ends = {"ended": header.start_timestamp, "reason": "continued"}
        before.do(chronicle.end(state, **ends, continued_by=self.path.name))
        before.close(limit_s)
        return following

    def prune(self) -> None:
        """Remove the runs that are too old, or too many; blocks."""
        runs = run_folders(self._folder)
        for run in superfluous(
            runs, time.time(), keep_age_s=self._keep_age_s, keep_bytes=self._keep_bytes
        ):
            remove(run)

    def flush(self, limit_s: float) -> bool:
        """Wait until everything is written; blocks."""
        return self._scribe.flush(limit_s)

    def close(self, state: RunState, ext: Mapping[str, Any], limit_s: float) -> bool:
        """The run is over; blocks while the last files are written.

        Args:
            ext: more for the last file.

        Returns:
            False: not everything could be written in time.
        """
        self._scribe.do(self._chronicle.end(state, **ext))
        return self._scribe.close(limit_s)


def header_at(now: float, version: str, config_hash: str) -> RunHeader:
    """A new run's header."""
    return RunHeader(new_id(now), version, round(now, 3), config_hash)


def header_after(header: RunHeader, now: float) -> RunHeader:
    """The header of a run that goes on in another folder."""
    return msgspec.structs.replace(header, id=new_id(now), start_timestamp=round(now, 3))
