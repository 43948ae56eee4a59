"""A folder of runs: which there are, what the files of one say, and which of them go."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fustor_core.errors import StateError
from fustor_core.state_runs.chronicle import FINAL, FORMAT, INIT, node_of
from fustor_core.state_runs.records import RunHeader
from fustor_core.state_runs.replaying import Story, story
from fustor_core.state_runs.sealing import ENVELOPE, Keyring, Locked, Unreadable

_NAME = re.compile(r"(?P<at>\d{4}-\d{2}-\d{2}_\d{6})_(?P<id>[A-Za-z0-9_-]+)")
_STAMP = "%Y-%m-%d_%H%M%S"
_FILE_BYTES_MAX = 16 << 20


def folder_name(header: RunHeader) -> str:
    """``2023-07-20_133452_pipeline_01H3XYZ9``; the time is UTC."""
    at = datetime.fromtimestamp(header.start_timestamp, UTC)
    return f"{at.strftime(_STAMP)}_{header.id}"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """One run in a folder of them.

    Attributes:
        path: its folder. id: of the run. started: seconds since 1970, as its name has it.
        size_bytes: of its files.
    """

    path: Path
    id: str
    started: float
    size_bytes: int

    @property
    def runs(self) -> bool:
        """Whether the process that writes it still does."""
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        finally:
            os.close(fd)
        return False


@dataclass(slots=True)
class Read:
    """What the files of a run say.

    Attributes:
        story: None when not even the first file can be read.
        faults: sentences, one for each file that cannot be trusted or read.
        sealed: whether the files are encrypted. locked: and no key was given for them.
    """

    folder: RunFolder
    story: Story | None
    faults: list[str] = field(default_factory=list)
    sealed: bool = False
    locked: bool = False

    @property
    def state(self) -> str:
        """``running``, ``ended``, ``killed``, ``encrypted`` or ``unreadable``."""
        if self.story is None:
            return "encrypted" if self.locked else "unreadable"
        if self.story.final is not None:
            return "ended"
        return "running" if self.folder.runs else "killed"


def run_folders(folder: Path) -> list[RunFolder]:
    """The runs in a folder, the oldest first.

    Raises:
        StateError: it cannot be read.
    """
    try:
        found = [_run_folder(Path(entry.path)) for entry in os.scandir(folder) if entry.is_dir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StateError(f"{folder}: {error.strerror or error}") from error
    return sorted((one for one in found if one), key=lambda one: (one.started, one.id))


def run_folder(path: Path) -> RunFolder | None:
    """The run in this very folder; None when it is none."""
    return _run_folder(Path(os.path.abspath(path))) if path.is_dir() else None


def _run_folder(path: Path) -> RunFolder | None:
    named = _NAME.fullmatch(path.name)
    if named is None:
        return None
    try:
        started = datetime.strptime(named["at"], _STAMP).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
    size = 0
    with suppress(OSError):
        for entry in os.scandir(path):
            with suppress(FileNotFoundError):  # it is being written
                size += entry.stat(follow_symlinks=False).st_size
    return RunFolder(path, named["id"], started, size)


def read_run(run: RunFolder, keys: Keyring | None = None) -> Read:
    """Read the files of a run; what is wrong with some does not keep the others from being told.

    Args:
        keys: for files that are sealed.
    """
    documents: dict[str, Any] = {}
    faults: list[str] = []
    sealed: set[str] = set()
    locked = False
    for name in sorted(_state_files(run.path)):
        try:
            documents[name], was_sealed = _read_file(run, name, keys)
        except FileNotFoundError:
            continue  # summed up a moment ago
        except Unreadable as error:
            locked = locked or isinstance(error, Locked)
            faults.append(f"{error.message}; {error.remedy}" if error.remedy else error.message)
            continue
        if was_sealed:
            sealed.add(name)
    if sealed:
        plain = sorted(set(documents) - sealed)
        faults += [f"{name} was changed: it is not sealed, as the others are" for name in plain]
        for name in plain:
            del documents[name]
    told = _story(run, documents, faults)
    if told is not None and told.final is not None and told.missing:
        faults.append(f"{told.missing} changes are missing: files were removed")
    return Read(run, told, faults, bool(sealed) or locked, locked)


def _state_files(folder: Path) -> Iterable[str]:
    try:
        names = os.listdir(folder)
    except OSError as error:
        raise StateError(f"{folder}: {error.strerror or error}") from error
    return [name for name in names if name in (INIT, FINAL) or node_of(name)]


def _story(run: RunFolder, documents: Mapping[str, Any], faults: list[str]) -> Story | None:
    if INIT not in documents:
        if not any(fault.startswith(INIT) for fault in faults):
            faults.append(f"{INIT} is missing")
        return None
    try:
        told = story(documents)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        faults.append(f"{run.path.name} is damaged: {type(error).__name__} {error}")
        return None
    if told.header["id"] != run.id:
        faults.append(f"{INIT} is of another run, {told.header['id']}")
    return told


def _read_file(run: RunFolder, name: str, keys: Keyring | None) -> tuple[Any, bool]:
    """The document of a file, and whether it was sealed."""
    document = _parsed(name, _content(run.path / name))
    sealed = document.keys() == ENVELOPE
    if sealed:
        if keys is None:
            raise Locked(
                f"{name} is encrypted with the key {document['kid']}",
                remedy="give --state-encryption-key env:NAME or file:PATH",
            )
        document = _parsed(name, keys.open(run.id, name, document))
    ext = document.get("ext")
    if not isinstance(ext, dict) or not isinstance(ext.get("format"), int):
        raise Unreadable(f"{name} was changed: it is no part of a history")
    if ext["format"] > FORMAT:
        raise Unreadable(
            f"{name} has format {ext['format']}; this version reads up to {FORMAT}",
            remedy="use the version that wrote it, or a newer one",
        )
    if ext.get("run", run.id) != run.id:
        raise Unreadable(f"{name} is of another run, {ext['run']}")
    return document, sealed


def _content(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            content = file.read(_FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Unreadable(f"{path.name} cannot be read: {error.strerror or error}") from error
    if len(content) > _FILE_BYTES_MAX:
        raise Unreadable(f"{path.name} was changed: it is larger than any file of a history")
    return content


def _parsed(name: str, content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"{name} was changed or cut: it is no JSON") from error
    if not isinstance(document, dict):
        raise Unreadable(f"{name} was changed: it is no part of a history")
    return document


def superfluous(
    runs: Sequence[RunFolder], now: float, *, keep_age_s: float, keep_bytes: int
) -> list[RunFolder]:
    """The runs that go: what is too old, and then the oldest until the rest is small enough.

    Args:
        runs: the oldest first. now: seconds since 1970.
        keep_age_s, keep_bytes: of the runs that stay; 0 = without end.

    Returns:
        Never one that still runs, nor the newest.
    """
    going = []
    left = sum(run.size_bytes for run in runs)
    for run in runs[:-1]:
        old = keep_age_s and now - run.started > keep_age_s
        large = keep_bytes and left > keep_bytes
        if (old or large) and not run.runs:
            going.append(run)
            left -= run.size_bytes
    return going


def remove(run: RunFolder) -> None:
    """Remove a run.

    Raises:
        StateError: it cannot be, or not all of it.
    """
    try:
        shutil.rmtree(run.path)
    except OSError as error:
        raise StateError(
            f"{error.filename or run.path} cannot be removed: {error.strerror or error}"
        ) from error
