"""Directories that a configuration names have to be there when their pipes start."""

from __future__ import annotations

import os
from collections.abc import Collection

from fustor_core.config.loading import ConfigErrors, Loaded
from fustor_core.config.merging import Merged


def require_roots(loaded: Loaded, pipes: Collection[str] | None = None) -> None:
    """Look for the root of each pipe.

    Args:
        pipes: of these only; None: of all that are not disabled.

    Raises:
        ConfigErrors: every root that is not there, with its place in the file (exit 3).
    """
    merged = loaded.merged
    faults = Merged(merged.data, merged.places, merged.lines, origins=merged.origins)
    for name, pipe in loaded.config.pipes.items():
        root = pipe.source.options.get("root")
        wanted = not pipe.disabled if pipes is None else name in pipes
        if isinstance(root, str) and wanted and not os.path.isdir(root):
            why = "is no directory" if os.path.lexists(root) else "does not exist"
            faults.error(f"{root} {why}", ("pipes", name, "source", "root"), at_value=True)
    if faults.errors:
        raise ConfigErrors(faults.errors)
