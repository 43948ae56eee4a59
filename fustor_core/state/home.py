"""The state directory: where it is, what it must be, what lies where in it."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import socket
import stat
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from fustor_core.errors import StateError
from fustor_core.state.files import FOLDER_MODE, make_folder, write_atomic
from fustor_core.state.locks import Holder, Lock, lock_holder, take_lock
from fustor_core.state.mounts import MOUNTINFO, mount_of

FORMAT = 1
MACHINE_ID = Path("/etc/machine-id")
ELSEWHERE = "choose another place with `--home DIR` or FUSTOR_HOME"
OURS = frozenset("format.json agent fusion conf.d agent-pipes-config executions".split())
PARTS = ("agent", "fusion")


def resolve_home(option: str | Path | None, environ: Mapping[str, str]) -> Path:
    """The state directory's path, absolute: `option`, FUSTOR_HOME, XDG, ``~/.local/state``.

    Args:
        option: ``--home`` as given, or None.
        environ: environment variables; an XDG_STATE_HOME that is not absolute does not count.
    """
    chosen = option if option else environ.get("FUSTOR_HOME")
    if chosen:
        return Path(os.path.abspath(Path(chosen).expanduser()))
    xdg = environ.get("XDG_STATE_HOME", "")
    if xdg.startswith("/"):
        return Path(os.path.abspath(xdg)) / "fustor"
    user = environ.get("HOME") or os.path.expanduser("~")
    return Path(os.path.abspath(user)) / ".local" / "state" / "fustor"


@dataclass(frozen=True, slots=True)
class AgentIdentity:
    """The agent's id; `replaces` names the one that belonged to another machine, else None."""

    id: str
    replaces: str | None = None


@dataclass(frozen=True, slots=True)
class StateDirectory:
    """Paths below one home. Nothing is made before `prepare`.

    Attributes:
        home: absolute.
    """

    home: Path

    @property
    def agent(self) -> Path:
        return self.home / "agent"

    @property
    def fusion(self) -> Path:
        return self.home / "fusion"

    @property
    def views(self) -> Path:
        return self.fusion / "views"

    @property
    def conf_d(self) -> Path:
        """The user's folder of full configuration files."""
        return self.home / "conf.d"

    @property
    def agent_pipes(self) -> Path:
        """The user's folder with one pipe a file."""
        return self.home / "agent-pipes-config"

    @property
    def executions(self) -> Path:
        return self.home / "executions"

    def socket(self, part: str) -> Path:
        """The API socket of ``agent`` or ``fusion``."""
        return self.home / part / "api.sock"

    def prepare(self, *, version: str, mountinfo: Path = MOUNTINFO) -> None:
        """Check the place, then make what is missing: folders 0700, format.json.

        Args:
            version: of this program, noted in format.json.
            mountinfo: where the table of mounts is.

        Raises:
            StateError: a newer format, a network file system, no directory, not ours, or not
                writable. Nothing has been made then, unless the disk failed in between.
        """
        try:
            self._refuse_network(mountinfo)
            known = self._read_format()
            self._make_folder(self.home, tighten=False)
            if self._is_ours_alone():
                self.home.chmod(FOLDER_MODE)
            for folder in (self.agent, self.fusion, self.views):
                self._make_folder(folder, tighten=True)
            if not known:
                content = {"format": FORMAT, "written_by": version}
                write_atomic(self.home / "format.json", json.dumps(content).encode() + b"\n")
        except OSError as error:
            place = error.filename or self.home
            raise StateError(
                f"the state directory {self.home} cannot be used: {os.fsdecode(place)}:"
                f" {error.strerror or error}",
                remedy=ELSEWHERE,
            ) from error

    def lock(self, role: str, parts: Sequence[str] = PARTS) -> ExitStack:
        """Take the locks of `parts`, all or none; they are held until the stack is closed.

        Raises:
            StateInUse: another process holds one of them.
        """
        with ExitStack() as held:
            for part in parts:
                held.enter_context(self._lock(part, role))
            return held.pop_all()

    def _lock(self, part: str, role: str) -> Lock:
        return take_lock(self.home / part / "lock", role, self.home)

    def holder(self, part: str) -> Holder | None:
        """The process that holds ``agent`` or ``fusion`` now."""
        return lock_holder(self.home / part / "lock")

    def agent_identity(self, *, machine_id: Path = MACHINE_ID) -> AgentIdentity:
        """The agent's id, made once; anew when the directory was copied to another machine.

        The caller holds the agent's lock. A machine without an id keeps what is there.

        Raises:
            StateError: it cannot be written.
        """
        path = self.agent / "agent.id"
        machine = _machine_digest(machine_id)
        try:
            found = json.loads(path.read_bytes())
            known, of = str(found["id"]), found.get("machine")
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            known, of = "", None  # not there, or not readable: a new id is honest, a guess is not
        if known and (of is None or machine is None or of == machine):
            return AgentIdentity(known)
        fresh = _new_agent_id()
        content = json.dumps({"id": fresh, "machine": machine}).encode() + b"\n"
        try:
            write_atomic(path, content)
        except OSError as error:
            raise StateError(f"{path}: {error.strerror or error}", remedy=ELSEWHERE) from error
        return AgentIdentity(fresh, replaces=known or None)

    def _refuse_network(self, mountinfo: Path) -> None:
        mount = mount_of(self.home, mountinfo)
        if mount is not None and mount.network:
            raise StateError(
                f"the state directory {self.home} would lie on a network file system"
                f" ({mount.type}, {mount.source} at {mount.point}): locks and durability cannot"
                " be relied on there",
                remedy=f"it must be on a local disk: {ELSEWHERE}",
            )

    def _read_format(self) -> bool:
        """Whether this is a state directory already."""
        path = self.home / "format.json"
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return False
        try:
            found = json.loads(data)
            number, writer = found["format"], found.get("written_by", "an unknown version")
            if not isinstance(number, int) or isinstance(number, bool) or number < 1:
                raise ValueError(number)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StateError(
                f"{path}: not readable as the format of a state directory",
                remedy=f'if this is one, write {{"format": {FORMAT}}} there; else {ELSEWHERE}',
            ) from error
        if number > FORMAT:
            raise StateError(
                f"the state directory {self.home} has format {number}, written by Fustor {writer};"
                f" this version reads up to {FORMAT}",
                remedy=f"use that version or a newer one, or {ELSEWHERE}",
            )
        return True

    def _make_folder(self, folder: Path, *, tighten: bool) -> None:
        """Make `folder` 0700 when it is missing; one that is there must belong to us."""
        if not os.path.lexists(folder):
            make_folder(folder)  # agent and fusion may start at the same moment
        facts = folder.stat()
        if not stat.S_ISDIR(facts.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
        if os.geteuid() not in (0, facts.st_uid):
            raise StateError(f"{folder} belongs to another user", remedy=ELSEWHERE)
        if tighten and facts.st_mode & 0o077:
            folder.chmod(FOLDER_MODE)

    def _is_ours_alone(self) -> bool:
        """Whether nothing else lives in home: only then are its permissions ours to change.

        Somebody may say ``--home /srv``, or ``/tmp``; there the folders inside are what counts.
        """
        mode = self.home.stat().st_mode
        if not mode & 0o077 or mode & stat.S_ISVTX:
            return False
        return all(
            name in OURS or name.startswith(".format.json.") for name in os.listdir(self.home)
        )


def _machine_digest(path: Path) -> str | None:
    """The machine id in a form that may be stored: machine-id(5) asks not to spread it."""
    try:
        raw = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    if not re.fullmatch(r"[0-9a-f]{32}", raw):
        return None  # "uninitialized", or empty in an image
    return hashlib.blake2b(raw.encode(), key=b"fustor agent id", digest_size=16).hexdigest()


def _new_agent_id() -> str:
    host = re.sub(r"[^a-z0-9]+", "-", socket.gethostname().partition(".")[0].lower()).strip("-")
    return f"{host[:40] or 'agent'}-{secrets.token_hex(6)}"
