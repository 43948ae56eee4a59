"""Every setting in force, with where it came from; secrets are not shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, SecretBytes, SecretStr

from fustor_core.config.document import KeyPath, dotted
from fustor_core.config.loading import Loaded, ModelOf
from fustor_core.config.merging import Merged
from fustor_core.config.unspoken import SECRET_KEY, SECRETS_KEY, in_urls, urls_masked
from fustor_core.errors import PluginError

HIDDEN = "***"
DEFAULT = "default"
# `tls.key` and the like name a file, as `cert` beside them does.
_PATH_PARENTS = ("tls",)


def effective(loaded: Loaded, model_of: ModelOf | None = None) -> dict[str, dict[str, Any]]:
    """Dotted key → ``{value, origin}``, sorted as the configuration is written.

    Args:
        model_of: as for `load_config`; with it the defaults of the drivers in use are listed too.

    Returns:
        origins are ``FILE:LINE:COLUMN``, the name of what overrode the files, or ``default``.
    """
    values: dict[str, dict[str, Any]] = {}
    blocks = {path: (kind, name) for kind, name, path, _ in loaded.config.blocks()}
    for path, value in _flat(loaded.config, ()):
        # An option is there already when its driver's model has read it.
        if dotted(path) not in values:
            _put(values, loaded.merged, path, value)
        block = tuple(map(str, path[:-1]))
        if path[-1] == "driver" and block in blocks and model_of is not None:
            _put_driver(values, loaded, block, *blocks[block], model_of)
    return values


def secret_values(loaded: Loaded) -> set[str]:
    """What a configuration holds that nobody may be told: keys, passwords, contents of files."""
    found: set[str] = set()
    for path, value in _flat(loaded.config, ()):
        if path != ("state", "encryption_key"):
            hidden = any(secret[: len(path)] == path for secret in loaded.merged.secrets)
            found.update(_secrets_in(value, hide=hidden or _is_secret(path)))
    return found


def _secrets_in(value: Any, *, hide: bool) -> Iterator[str]:
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, str):
        if hide:
            yield value
        yield from in_urls(value)
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from _secrets_in(one, hide=hide or bool(SECRET_KEY.search(str(key))))
    elif isinstance(value, list | tuple | set | frozenset):
        for one in value:
            yield from _secrets_in(one, hide=hide)


def _put(values: dict[str, dict[str, Any]], merged: Merged, path: KeyPath, value: Any) -> None:
    place = merged.places.get(path)
    if path in merged.origins:
        origin = merged.origins[path]
    elif place is not None:
        origin = f"{place.file}:{place.line}:{place.column}"
    else:
        origin = DEFAULT
    hide = _is_secret(path) or any(secret[: len(path)] == path for secret in merged.secrets)
    values[dotted(path)] = {"value": _shown(value, hide), "origin": origin}


def _put_driver(
    values: dict[str, dict[str, Any]],
    loaded: Loaded,
    path: tuple[str, ...],
    kind: str,
    name: str,
    model_of: ModelOf,
) -> None:
    """The driver's options as its model sees them: read, and with their defaults."""
    try:
        options = loaded.options(path, model_of(kind, name))
    except PluginError:
        return  # what the user wrote is listed all the same
    for inner, value in _flat(options, path):
        _put(values, loaded.merged, inner, value)


def _flat(part: Any, path: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    """Leaves: scalars and lists; an empty mapping is a leaf too."""
    if isinstance(part, BaseModel):
        items = [(key, getattr(part, key)) for key in type(part).model_fields]
        yield from _flat_items(items, path)
    elif isinstance(part, Mapping) and part:
        yield from _flat_items(list(part.items()), path)
    else:
        yield path, part


def _flat_items(items: list[tuple[str, Any]], path: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    for key, value in items:
        if key == "options" and isinstance(value, Mapping):
            yield from _flat_items(list(value.items()), path)
        elif not (isinstance(value, Mapping) and not value):
            yield from _flat(value, (*path, key))


def _is_secret(path: KeyPath) -> bool:
    key = str(path[-1])
    parent = str(path[-2]) if len(path) > 1 else ""
    named = SECRET_KEY.search(key) or SECRETS_KEY.search(parent)
    return bool(named) and parent not in _PATH_PARENTS


def _shown(value: Any, hide: bool) -> Any:
    if value is None:
        return None
    if hide or isinstance(value, SecretStr | SecretBytes):
        return HIDDEN
    if isinstance(value, str):
        return urls_masked(value, HIDDEN)
    if isinstance(value, Mapping):
        hidden = {key: bool(SECRET_KEY.search(str(key))) for key in value}
        return {str(key): _shown(one, hidden[key]) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_shown(one, False) for one in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return value if isinstance(value, bool | int | float) else str(value)
