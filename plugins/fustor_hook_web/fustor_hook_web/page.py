"""The files of the page, as they lie in `static`, below a path that names their content."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from importlib.resources import files

from fustor_core.contracts import Asset
from fustor_core.hookspecs import hookimpl

FRONT = "index.html"
HERE = "{{assets}}"  # in the front page: the folder of all other files
PRELOADED = "{{modules}}"  # in the front page: a line for each script, so that none waits
HASH_DIGITS = 16
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml; charset=utf-8",
}


class Page:
    """The plugin: all that it does is to have files."""

    @hookimpl
    def fustor_assets(self) -> Sequence[Asset]:
        """The front page at ``/``, the others below ``/assets/<hash>/``."""
        return assets(contents())


page = Page()


def contents() -> dict[str, bytes]:
    """The files of the package by name."""
    folder = files("fustor_hook_web") / "static"
    return {item.name: item.read_bytes() for item in folder.iterdir() if item.is_file()}


def assets(found: Mapping[str, bytes]) -> list[Asset]:
    """What is served of these files.

    Scripts import each other by relative names, so one hash over all of them will do: whatever
    changes, all paths change.

    Raises:
        KeyError: there is no front page, or a file of no known kind.
    """
    digest = hashlib.sha256()
    for name in sorted(found):
        digest.update(f"{name}\0{len(found[name])}\0".encode() + found[name])
    folder = f"/assets/{digest.hexdigest()[:HASH_DIGITS]}"
    others = [
        Asset(f"{folder}/{name}", _media_type(name), content, lasting=True)
        for name, content in sorted(found.items())
        if name != FRONT
    ]
    scripts = [asset.path for asset in others if asset.path.endswith(".js")]
    lines = "\n".join(f'<link rel="modulepreload" href="{path}">' for path in scripts)
    front = found[FRONT].decode().replace(HERE, folder).replace(PRELOADED, lines)
    return [Asset("/", _media_type(FRONT), front.encode()), *others]


def _media_type(name: str) -> str:
    return MEDIA_TYPES[name[name.rindex(".") :]]
