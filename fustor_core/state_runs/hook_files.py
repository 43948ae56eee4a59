"""Hooks out of files that a configuration names, and out of what plugins bring."""

from __future__ import annotations

import inspect
import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from fustor_core.engine import sentence, tried
from fustor_core.errors import ConfigError
from fustor_core.state_runs.hook import StateHook

OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def hooks_in_file(path: Path) -> Mapping[str, type[StateHook]]:
    """The hooks that a Python file defines, by name; it is run for that.

    Raises:
        ConfigError: it is not there, others could have written it, it fails, or has no hook.
    """
    source = _source(path)
    module = ModuleType(f"fustor_hook_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module
    done = tried(lambda: exec(compile(source, str(path), "exec"), module.__dict__))
    if isinstance(done, Exception):
        raise ConfigError(
            f"the hook file {path} fails: {sentence(done)}",
            remedy=f"try it alone: python {path}",
        ) from done
    found = hooks_in(module)
    if not found:
        raise ConfigError(
            f"the hook file {path} defines no hook",
            remedy="a hook is a subclass of StateHook: from fustor_core import StateHook",
        )
    return found


def hooks_in(brought: Any) -> Mapping[str, type[StateHook]]:
    """The hooks in what an entry point names: a class, or a module that defines some."""
    if inspect.isclass(brought):
        return {brought.__name__: brought} if issubclass(brought, StateHook) else {}
    if not inspect.ismodule(brought):
        return {}
    return {
        name: member
        for name, member in vars(brought).items()
        if inspect.isclass(member)
        and issubclass(member, StateHook)
        and member is not StateHook
        and member.__module__ == brought.__name__
    }


def _source(path: Path) -> bytes:
    """The content of a file that only its owner and root can write.

    Raises:
        ConfigError: it cannot be read, or others could have written it.
    """
    try:
        _check(os.stat(path.parent), path.parent, folder=True)
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(fd, "rb") as file:
            _check(os.fstat(fd), path, folder=False)
            return file.read()
    except OSError as error:
        raise ConfigError(
            f"the hook file {path} cannot be read: {error.strerror or error}",
            remedy="a relative path begins at the file that names it",
        ) from error


def _check(found: os.stat_result, path: Path, *, folder: bool) -> None:
    what = "folder of the hook file" if folder else "hook file"
    if not folder and not stat.S_ISREG(found.st_mode):
        raise ConfigError(f"the hook file {path} is no regular file")
    if found.st_uid not in (0, os.geteuid()):
        raise ConfigError(
            f"the {what} {path} belongs to another user (uid {found.st_uid}), who could change it",
            remedy=f"have it belong to you or to root: chown {os.geteuid()} {path}",
        )
    sticky = folder and found.st_mode & stat.S_ISVTX
    if found.st_mode & OTHERS_WRITE and not sticky:
        mode = stat.S_IMODE(found.st_mode)
        raise ConfigError(
            f"others may write the {what} {path} (mode {mode:04o})", remedy=f"chmod go-w {path}"
        )
