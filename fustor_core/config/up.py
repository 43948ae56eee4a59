"""The configuration behind ``fustor up DIR``: the same model that files make."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fustor_core.config.document import KeyPath
from fustor_core.config.faults import note_faults, slug
from fustor_core.config.loading import ConfigErrors, Loaded, Overrides, override
from fustor_core.config.merging import Merged
from fustor_core.config.model import Config

ORIGIN = "fustor up"
_NAME_MAX = 64
_ROOT_NAME = "root"
_NO_NAME = "view"


def up_config(
    dirs: Sequence[Path],
    *,
    name: str | None = None,
    exclude: Sequence[str] = (),
    cross_filesystems: bool = False,
    listen: str | None = None,
    state_history: str | None = None,
    overrides: Overrides | None = None,
) -> Loaded:
    """One pipe and one view of the same name for each directory, a receiver on the Unix socket.

    Args:
        dirs: absolute; not looked at here.
        name: of the view, for one directory only.
        exclude: globs, on the name, or with a ``/`` in it on the view path.
        cross_filesystems: whether other file systems below a root belong to it.
        listen: ``HOST:PORT`` to serve on as well.
        state_history: folder of the state history.
        overrides: as for `load_config`.

    Raises:
        ConfigErrors: a value that the model does not take, as a `name` that is no id.
        ValueError: a name for several directories.
    """
    if name is not None and len(dirs) != 1:
        raise ValueError("a name fits one directory only")
    names = [name] if name is not None else view_names(dirs)
    data: dict[str, Any] = {"pipes": {}, "views": {}}
    for one, root in zip(names, dirs, strict=True):
        source: dict[str, Any] = {"driver": "fs", "root": os.fspath(root)}
        if exclude:
            source["exclude"] = list(exclude)
        if cross_filesystems:
            source["cross_filesystems"] = True
        data["pipes"][one] = {"source": source, "sink": {"driver": "view", "view": one}}
        data["views"][one] = {}
    if listen is not None:
        data["receivers"] = {"main": {"driver": "http", "listen": ["unix", listen]}}
    if state_history is not None:
        data["state"] = {"history": state_history}
    merged = Merged(data, origins=dict.fromkeys(_leaves(data, ()), ORIGIN))
    override(merged, overrides or {})
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        note_faults(merged, error, Config)
        raise ConfigErrors(merged.errors) from error
    return Loaded(config, merged)


def _leaves(data: Mapping[str, Any], path: KeyPath) -> Iterator[KeyPath]:
    for key, value in data.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*path, key))
        else:
            yield (*path, key)


def view_names(dirs: Sequence[Path]) -> list[str]:
    """A view name for each directory, after its last part; ``-2``, ``-3`` when taken."""
    taken: set[str] = set()
    names = []
    for root in dirs:
        last = slug(os.fsencode(root.name).decode("utf-8", "replace"))
        stem = last or (_NO_NAME if root.name else _ROOT_NAME)
        name, number = stem, 1
        while name in taken:
            number += 1
            name = f"{stem[: _NAME_MAX - len(str(number)) - 1]}-{number}"
        taken.add(name)
        names.append(name)
    return names
