"""Which way changes are heard of: a mark of the whole file system, or a watch a directory."""

from __future__ import annotations

import os
from typing import Literal

from fustor_core.errors import FustorError
from fustor_core.files.fanotify import Fanotify, refusal
from fustor_core.files.inotify import Ears, Inotify

GROUPS_MOST = 4  # in a process, by `auto`: what happens on their disk is told to each of them
Watch = Literal["auto", "fanotify", "inotify", "off"]


class WatchError(FustorError):
    """Watching was asked for, and cannot be had."""


def ears(watch: Watch, root: bytes) -> Ears | None:
    """What hears of changes below a root; None where nothing shall, or can.

    Args:
        watch: as configured. root: host path; it need not be there yet.

    Raises:
        WatchError: `fanotify` or `inotify` was asked for, and cannot be had.
    """
    if watch == "off":
        return None
    if watch == "inotify":
        return _inotify(watch, root, "`watch: inotify` is set")
    if watch == "auto" and groups() >= GROUPS_MOST:
        return _inotify(watch, root, f"this process has {GROUPS_MOST} marks, each hears everybody")
    try:
        return _marked(root, yields=watch == "auto")
    except OSError as err:
        why, remedy = refusal(err)
        if watch == "auto":
            return _inotify(watch, root, why)
        raise WatchError(
            f"no fanotify mark for {os.fsdecode(root)!r}: {why}",
            remedy=f"{remedy}, or set `watch: auto`",
        ) from err


def groups() -> int:
    """How many instances this process has; each hears everything on what it has marked."""
    number = 0
    for fd in os.listdir("/proc/self/fd"):
        try:
            number += os.readlink(f"/proc/self/fd/{fd}") == "anon_inode:[fanotify]"
        except OSError:
            continue  # closed meanwhile
    return number


def _marked(root: bytes, *, yields: bool) -> Fanotify:
    heard = Fanotify(yields=yields)
    try:
        fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return heard  # marked when it is there
    try:
        heard.mark(fd)
    except OSError:
        heard.close()
        raise
    finally:
        os.close(fd)
    return heard


def _inotify(watch: Watch, root: bytes, why: str) -> Inotify | None:
    try:
        return Inotify(why=why)
    except OSError as err:
        if watch == "auto":
            return None
        raise WatchError(
            f"no inotify instance for {os.fsdecode(root)!r}: {err.strerror}",
            remedy="raise fs.inotify.max_user_instances, or set `watch: auto`",
        ) from err
