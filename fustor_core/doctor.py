"""What this host needs for Fustor to work well, checked one thing at a time.

Every check looks at one fact and says what was found, what is wanted, and how to get there.
"""

from __future__ import annotations

import os
import platform
import socket
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fustor_core.errors import ConfigError, PluginError
from fustor_core.files.compiled import Compiled, compiled
from fustor_core.files.fanotify import refused
from fustor_core.files.mounting import caching, mounted_at
from fustor_core.open_files import most
from fustor_core.registry import KINDS, Registry, refuse_earlier_system
from fustor_core.state import StateDirectory, mount_of

PYTHON_MIN = (3, 11)
FREE_BYTES_MIN = 512 << 20
OPEN_FILES_MIN = 1024
WATCHES_MIN = 65_536  # where it is not known how many directories there are to watch
QUEUED_EVENTS_MIN = 16_384
INSTANCES_MIN = 16
DAY_S = 86_400
PORT = 8102  # of the examples
STALE_S_MAX = 60.0  # answers of a mount; what nfs(5) has when nothing is said
INOTIFY = Path("/proc/sys/fs/inotify")
# What `fustor up` is made of.
NEEDED = (
    ("source", "fs"),
    ("sink", "view"),
    ("arbitrator", "fs"),
    ("view", "file"),
    ("receiver", "http"),
)


@dataclass(frozen=True, slots=True)
class Check:
    """One fact: what was found, what is wanted, and what to do about it when it is not ok."""

    name: str
    ok: bool
    found: str
    wanted: str
    remedy: str = ""


def examine(home: Path, *, directories: int | None = None, inotify: Path = INOTIFY) -> list[Check]:
    """All checks, in the order in which they are best read.

    Args:
        home: the state directory; it need not exist.
        directories: how many are to be watched, where that is known.
        inotify: folder of the kernel's limits.
    """
    return [
        python(),
        earlier_system(),
        *plugins(Registry()),
        looks(compiled()),
        *state_directory(home),
        marks(),
        *watch_limits(inotify, directories),
        open_files(),
        port(),
        clock(),
    ]


def python(version: tuple[int, int] = sys.version_info[:2]) -> Check:
    """The interpreter's version."""
    wanted = ".".join(map(str, PYTHON_MIN))
    return Check(
        "python",
        version >= PYTHON_MIN,
        f"{platform.python_implementation()} {version[0]}.{version[1]}",
        f"{wanted} or newer",
        f"make the virtual environment with Python {wanted} or newer",
    )


def earlier_system(look: Callable[[], None] = refuse_earlier_system) -> Check:
    """The distribution of the earlier system, which has the same import package as ours."""
    try:
        look()
    except ConfigError as error:
        return Check("earlier system", False, error.message, "not installed", error.remedy)
    return Check("earlier system", True, "not installed", "not installed")


def plugins(registry: Registry) -> Iterator[Check]:
    """Whether every installed driver can be imported, and those are there that `up` needs."""
    installed = [plugin for plugin in registry.plugins() if plugin.kind in KINDS]
    names = {(plugin.kind, plugin.name): plugin for plugin in installed}
    for kind, name in sorted({*names, *NEEDED}, key=lambda it: (KINDS.index(it[0]), it[1])):
        plugin = names.get((kind, name))
        found = f"{plugin.distribution} {plugin.version}" if plugin else "not installed"
        try:
            registry.driver(kind, name)
        except PluginError as error:
            told = error.message if plugin else found
            yield Check(f"{kind} {name}", False, told, "installed and importable", error.remedy)
        else:
            yield Check(f"{kind} {name}", True, found, "installed and importable")


def looks(found: Compiled) -> Check:
    """Whether directories are read by compiled code; what is not there is no fault."""
    return Check(
        "compiled looks",
        not found.fault,
        found.told,
        "not needed; one package that fits this program",
        "install the one of this program's version again, or uninstall it",
    )


def state_directory(home: Path) -> Iterator[Check]:
    """File system, permissions and free space of the state directory, or of where it will be."""
    place = _nearest(home)
    mount = mount_of(place)
    elsewhere = "choose another place with --home DIR or FUSTOR_HOME"
    if mount is not None:
        yield Check(
            "state file system",
            not mount.network,
            f"{mount.type} at {mount.point}",
            "a local file system",
            elsewhere,
        )
    yield _permissions(home, place, elsewhere)
    space = os.statvfs(place)
    free = space.f_bavail * space.f_frsize
    yield Check(
        "state free space",
        free >= FREE_BYTES_MIN,
        f"{free >> 20} MiB at {place}",
        f"{FREE_BYTES_MIN >> 20} MiB or more",
        f"make room there, or {elsewhere}",
    )
    holder = StateDirectory(home).holder("fusion") if place == home else None
    found = f"process {holder.pid} ({holder.role})" if holder else "nothing runs"
    yield Check("state in use", True, found, "at most one process")


def marks(place: Path | None = None) -> Check:
    """Whether one mark can hear the file system of a directory; where not, each has a watch.

    Args:
        place: instead of the working directory.
    """
    place = place or Path.cwd()
    try:
        fd = os.open(place, os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        return Check("fanotify", True, f"not tried: {error}", "not needed where inotify is there")
    try:
        why, remedy = refused(fd)
    finally:
        os.close(fd)
    found = f"cannot be used at {place}: {why}; {remedy}" if why else f"can be used at {place}"
    return Check("fanotify", True, found, "not needed where inotify is there")


def watch_limits(folder: Path, directories: int | None) -> Iterator[Check]:
    """The kernel's limits for watching, against what is needed."""
    known = directories is not None
    needed = directories if directories is not None else WATCHES_MIN
    told = f"{needed:,} directories to watch" if known else f"{needed:,} or more"
    for name, wanted, said in (
        ("max_user_watches", max(needed + needed // 10, 1), told),
        ("max_queued_events", QUEUED_EVENTS_MIN, f"{QUEUED_EVENTS_MIN:,} or more"),
        ("max_user_instances", INSTANCES_MIN, f"{INSTANCES_MIN:,} or more"),
    ):
        try:
            found = int((folder / name).read_text())
        except (OSError, ValueError):
            yield Check(f"inotify {name}", False, "cannot be read", said, "is /proc mounted?")
            continue
        raised = max(wanted, found * 2)
        yield Check(
            f"inotify {name}",
            found >= wanted,
            f"{found:,}",
            said,
            f"as root: sysctl -w fs.inotify.{name}={raised}; for good: a line "
            f"fs.inotify.{name}={raised} in /etc/sysctl.d/fustor.conf. "
            "What cannot be watched is polled",
        )


def open_files() -> Check:
    """How many files a program that this shell starts can have open; it raises its own limit."""
    found = most()
    return Check(
        "open files",
        found >= OPEN_FILES_MIN,
        f"{found:,}",
        f"{OPEN_FILES_MIN:,} or more, and one for each agent",
        f"ulimit -Hn {OPEN_FILES_MIN * 4} as root, or LimitNOFILE= in the unit",
    )


def port(number: int = PORT) -> Check:
    """Whether the port of the examples is free on loopback; one that is not is no fault."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("127.0.0.1", number))
            found = "free"
        except OSError as error:
            found = f"not free ({error.strerror}); name another with --listen 127.0.0.1:PORT"
    return Check(f"port {number}", True, found, "free, or another one is listened on")


def mounts(told: Iterable[Mapping[str, Any]]) -> Iterator[Check]:
    """What the mounts of watched roots say: their type, and how old their answers may be.

    Args:
        told: documents of the pipes that run on this host.
    """
    for pipe in told:
        root = str(pipe.get("source") or "").partition(":")[2]
        if not root.startswith("/"):
            continue
        try:
            fd = os.open(root, os.O_PATH | os.O_CLOEXEC)
        except OSError as error:
            remedy = "mount it, or correct the root of the pipe"
            yield Check(f"root of {pipe.get('id')}", False, f"{error}", "can be looked at", remedy)
            continue
        try:
            mount = mounted_at(fd)
        finally:
            os.close(fd)
        old_s = caching(mount).bound_us / 1e6
        found = f"{mount.kind or 'unknown'} at {root}"
        yield Check(
            f"mount of {pipe.get('id')}",
            old_s <= STALE_S_MAX,
            f"{found}, answers up to {old_s:g} s old" if old_s else found,
            f"answers at most {STALE_S_MAX:g} s old",
            f"mount it with actimeo=3 or less: mount -o remount,actimeo=3 {root}",
        )


def watching(told: Iterable[Mapping[str, Any]]) -> Iterator[Check]:
    """By what the pipes that run hear of changes, and why not by something better.

    Args:
        told: their documents.
    """
    for pipe in told:
        way, why = pipe.get("watched_by"), pipe.get("watched_why")
        if way is None:
            continue
        number = int(pipe.get("watched_dirs") or 0)
        words = {
            "fanotify": f"fanotify, one mark for {number:,} directories",
            "inotify": f"inotify, a watch for each of {number:,} directories",
        }
        found = words.get(str(way), "by nothing: scans alone") + (f"; {why}" if why else "")
        yield Check(f"watching of {pipe.get('id')}", True, found, "fanotify, or inotify")


def clock(now_s: Callable[[], float] = time.time) -> Check:
    """Whether the wall clock can be right, and the clock that orders events is there."""
    installed_s = Path(__file__).stat().st_mtime
    now = now_s()
    try:
        time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        boottime = True
    except OSError:
        boottime = False
    shown = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    return Check(
        "clock",
        boottime and now > installed_s - DAY_S,
        shown if boottime else f"{shown}, no CLOCK_BOOTTIME",
        "a wall clock that is not before this program's installation, and CLOCK_BOOTTIME",
        "set the clock; let chrony, ntpd or systemd-timesyncd keep it",
    )


def pipes(told: Iterable[Mapping[str, Any]]) -> Iterator[Check]:
    """Whether the pipes that run have nothing to warn of.

    Args:
        told: their documents.
    """
    for pipe in told:
        warnings = [str(one) for one in pipe.get("warnings") or ()]
        found, _, remedy = "; ".join(warnings).partition("; set ")
        yield Check(
            f"pipe {pipe.get('id')}",
            not warnings,
            found or "nothing to warn of",
            "nothing to warn of",
            f"set {remedy}" if remedy else "see `fustor pipe show`",
        )


def _permissions(home: Path, place: Path, elsewhere: str) -> Check:
    wanted = "a directory of yours alone (0700), or one that can be made"
    name = "state permissions"
    if place != home:
        writable = os.access(place, os.W_OK | os.X_OK)
        found = f"{home} is not there yet; {place} is {'' if writable else 'not '}writable"
        return Check(name, writable and place.is_dir(), found, wanted, elsewhere)
    facts = home.stat()
    mode = stat.S_IMODE(facts.st_mode)
    whose = "yours" if facts.st_uid == os.geteuid() else f"of user {facts.st_uid}"
    alone = stat.S_ISDIR(facts.st_mode) and not mode & 0o077 and whose == "yours"
    remedy = f"chmod 700 {home}" if whose == "yours" else elsewhere
    return Check(name, alone, f"{home}, mode {mode:04o}, {whose}", wanted, remedy)


def _nearest(path: Path) -> Path:
    """The path, or what is there of it."""
    while not os.path.lexists(path) and path != path.parent:
        path = path.parent
    return path
