"""A state directory in one file, and back: tar, compressed by zstd, with a digest of every file.

Written while nothing runs on the directory, so it is one moment's state. Locks, sockets and files
that were being written are left out. The last member lists what belongs in with its size and
SHA-256; an archive is put in place only after all of it was found as listed.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import zstandard

from fustor_core.errors import DamagedState, StateError
from fustor_core.state.files import FILE_MODE, FOLDER_MODE, sync_folder
from fustor_core.state.home import OURS, PARTS, StateDirectory

MANIFEST = "MANIFEST.json"
MANIFEST_BYTES_MAX = 256 << 20
PIECE = 1 << 20
LEFT_OUT = ("lock",)

Progress = Callable[[int], None]  # told how many bytes more are done


@dataclass(slots=True)
class Contents:
    """What an archive holds: files, and their bytes before compression."""

    files: int = 0
    bytes: int = 0
    listed: dict[str, tuple[int, str]] = field(default_factory=dict)

    def add(self, name: str, size: int, digest: str) -> None:
        """One file more."""
        self.files += 1
        self.bytes += size
        self.listed[name] = (size, digest)


def export_state(home: Path, target: Path, progress: Progress = lambda _bytes: None) -> Contents:
    """Write a state directory into a file.

    Args:
        home: nothing runs on it while this does. target: must not be there yet.
        progress: told of bytes that were read.

    Raises:
        StateInUse: something runs. StateError: there is no state, or it cannot be read or written;
            `target` is not there then.
    """
    directory = StateDirectory(home)
    if not (home / "format.json").exists():
        raise StateError(f"{home} is no state directory", remedy="name it with --home DIR")
    if os.path.lexists(target):
        raise StateError(f"{target} is there already", remedy="give another name")
    if any(target.absolute().is_relative_to(home / part) for part in OURS):
        raise StateError(f"{target} lies in what is exported", remedy="give another place")
    fresh = target.with_name(f".{target.name}.new")
    with ExitStack() as held:
        held.enter_context(directory.lock("export", _parts(home)))
        try:
            contents = _write(home, fresh, progress)
            os.rename(fresh, target)
            sync_folder(target.absolute().parent)
        except OSError as error:
            raise _failed(error) from error
        finally:
            fresh.unlink(missing_ok=True)
    return contents


def import_state(archive: Path, home: Path, progress: Progress = lambda _bytes: None) -> Contents:
    """Make a state directory of an archive.

    Args:
        home: must not be there, or be empty. progress: told of bytes that were written.

    Raises:
        DamagedState: it is not whole. StateError: `home` is in the way, or cannot be written.
            Nothing has changed then.
    """
    if os.path.lexists(home) and (not home.is_dir() or any(home.iterdir())):
        raise StateError(
            f"{home} is there already, and not empty",
            remedy="move it away first, or name another with --home DIR",
        )
    fresh = home.with_name(f".{home.name}.new")
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=FOLDER_MODE)
        contents = _read(archive, fresh, progress)
        os.rename(fresh, home)
        sync_folder(home.parent)
    except (tarfile.TarError, zstandard.ZstdError, EOFError) as error:
        raise DamagedState(f"{archive}: {error}", remedy="use another copy of it") from error
    except OSError as error:
        raise _failed(error) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return contents


def _parts(home: Path) -> list[str]:
    return [part for part in PARTS if (home / part).is_dir()]


def _failed(error: OSError) -> StateError:
    place = os.fsdecode(error.filename) if error.filename else "state"
    return StateError(f"{place}: {error.strerror or error}")


# -- writing


def _write(home: Path, target: Path, progress: Progress) -> Contents:
    contents = Contents()
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
    with (
        open(descriptor, "wb") as file,
        zstandard.ZstdCompressor(threads=-1).stream_writer(file, closefd=False) as packed,
        tarfile.open(mode="w|", fileobj=packed, format=tarfile.PAX_FORMAT) as tar,
    ):
        for path in _files(home):
            name = str(path.relative_to(home))
            with path.open("rb") as content:
                size = os.fstat(content.fileno()).st_size
                read = _Digested(content, size, progress)
                tar.addfile(_member(name, size), read)
            contents.add(name, size, read.digest.hexdigest())
        manifest = json.dumps(contents.listed).encode()
        tar.addfile(_member(MANIFEST, len(manifest)), io.BytesIO(manifest))
    with target.open("rb") as written:
        os.fsync(written.fileno())
    return contents


def _files(home: Path) -> Iterator[Path]:
    """Every file that belongs to the state, folders in the order of their names."""
    for top in sorted(OURS):
        place = home / top
        if place.is_file():
            yield place
        for folder, folders, names in os.walk(place):
            folders.sort()
            for name in sorted(names):
                path = Path(folder, name)
                if name in LEFT_OUT or name.endswith(".new") or not path.is_file():
                    continue  # sockets, locks, and what a crash has left half written
                yield path


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, FILE_MODE
    return member


class _Digested(io.RawIOBase):
    """A file as it is read: its digest, and exactly so many bytes of it."""

    def __init__(self, content: IO[bytes], size: int, progress: Progress) -> None:
        self.digest = hashlib.sha256()
        self._content, self._left, self._progress = content, size, progress

    def read(self, size: int = -1) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        data = self._content.read(wanted)
        self._left -= len(data)
        self.digest.update(data)
        self._progress(len(data))
        return data


# -- reading


def _read(archive: Path, fresh: Path, progress: Progress) -> Contents:
    found = Contents()
    listed: dict[str, Any] | None = None
    with (
        archive.open("rb") as file,
        zstandard.ZstdDecompressor().stream_reader(file) as unpacked,
        tarfile.open(mode="r|", fileobj=unpacked) as tar,
    ):
        for member in tar:
            content = tar.extractfile(member) if member.isreg() else None
            if content is None or listed is not None:
                raise tarfile.ReadError(f"{member.name!r} does not belong there")
            if member.name == MANIFEST:
                listed = _listed(content.read(MANIFEST_BYTES_MAX))
            else:
                found.add(member.name, *_put(fresh, member.name, content, progress))
    if listed is None:
        raise tarfile.ReadError("its list of files is missing: it was cut off, or is none of ours")
    if listed != {name: list(facts) for name, facts in found.listed.items()}:
        raise tarfile.ReadError(_first_difference(listed, found))
    for folder, _, _ in os.walk(fresh):
        sync_folder(Path(folder))
    return found


def _listed(data: bytes) -> dict[str, Any]:
    try:
        listed = json.loads(data)
    except ValueError as error:
        raise tarfile.ReadError("its list of files cannot be read") from error
    if not isinstance(listed, dict) or "format.json" not in listed:
        raise tarfile.ReadError("it is no archive of a state directory")
    return listed


def _put(fresh: Path, name: str, content: IO[bytes], progress: Progress) -> tuple[int, str]:
    """Write one file below a folder; its size and digest."""
    parts = name.split("/")
    if parts[0] not in OURS or not all(part not in ("", ".", "..") for part in parts):
        raise tarfile.ReadError(f"{name!r} does not belong into a state directory")
    target = fresh.joinpath(*parts)
    target.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
    with open(descriptor, "wb") as file:
        while data := content.read(PIECE):
            digest.update(data)
            size += len(data)
            file.write(data)
            progress(len(data))
        file.flush()
        os.fsync(file.fileno())
    return size, digest.hexdigest()


def _first_difference(listed: dict[str, Any], found: Contents) -> str:
    for name, facts in found.listed.items():
        if listed.get(name) != list(facts):
            return f"{name} is not as it was written"
    missing = sorted(listed.keys() - found.listed.keys())
    return f"{missing[0]} is missing"
