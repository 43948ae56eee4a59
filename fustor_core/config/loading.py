"""From files to a checked configuration, or to every error in them at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from fustor_core.config.document import KeyPath, dotted
from fustor_core.config.faults import nearest, note_faults
from fustor_core.config.merging import Merged, config_files, digest, merge_files
from fustor_core.config.model import Arbitrator, Config, DriverBlock, View
from fustor_core.config.roles import (
    FUSION,
    LOCAL_SINK,
    ROLES,
    check_local_sinks,
    kinds,
    take_part,
)
from fustor_core.errors import ConfigError, PluginError

# What the environment sets stands above the files (interfaces.md §7).
ENVIRONMENT: Mapping[str, tuple[str, ...]] = {
    "FUSTOR_LOG_LEVEL": ("log", "level"),
    "FUSTOR_LOG_FORMAT": ("log", "format"),
}

Options = TypeVar("Options", bound=BaseModel)
ModelOf = Callable[[str, str], type[BaseModel]]
Overrides = Mapping[tuple[str, ...], tuple[Any, str]]
Block = tuple[str, str, tuple[str, ...], Mapping[str, Any]]


def from_environment(environ: Mapping[str, str]) -> dict[tuple[str, ...], tuple[Any, str]]:
    """What the environment sets, as overrides."""
    return {path: (environ[name], name) for name, path in ENVIRONMENT.items() if environ.get(name)}


class ConfigErrors(ConfigError):
    """Everything that is wrong with a configuration; reads like the first of `errors`."""

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        first = errors[0]
        super().__init__(
            first.message,
            file=first.file,
            line=first.line,
            column=first.column,
            key=first.key,
            suggestion=first.suggestion,
            excerpt=first.excerpt,
            remedy=first.remedy,
        )
        self.errors = tuple(errors)


@dataclass(frozen=True, slots=True)
class Reading:
    """How a configuration was read, so that it can be read again; see `load_config`."""

    paths: tuple[Path, ...]
    environ: Mapping[str, str]
    model_of: ModelOf | None
    overrides: Overrides
    roles: tuple[str, ...]


@dataclass(slots=True)
class Loaded:
    """A checked configuration and where each part of it came from.

    Attributes:
        reading: how it was read; None when it is not from files.
        left_out: what its files hold beside for other roles, for people.
    """

    config: Config
    merged: Merged = field(default_factory=Merged)
    reading: Reading | None = None
    left_out: Sequence[str] = ()

    @property
    def roles(self) -> tuple[str, ...]:
        """The parts that a process with this configuration takes."""
        return self.reading.roles if self.reading is not None else ROLES

    def changed(self) -> list[Path]:
        """Files whose content is not what was read, that are new or gone; secrets too."""
        known, now = self.known(), self.fingerprint()
        return sorted(file for file in {*known, *now} if known.get(file, "") != now.get(file, ""))

    def known(self) -> dict[Path, str | None]:
        """The files that were read, secrets too, with a digest each."""
        return {**self.merged.files, **self.merged.referenced}

    def fingerprint(self) -> dict[Path, str | None]:
        """The same as it is now, with files that have come since, without those that are gone."""
        files = [] if self.reading is None else config_files(self.reading.paths)[0]
        return {file: digest(file) for file in [*files, *self.merged.referenced]}

    def again(self) -> Loaded:
        """The configuration as its files are now; itself when it is not from files.

        Raises:
            ConfigErrors: as `load_config`.
        """
        how = self.reading
        if how is None:
            return self
        return load_config(
            how.paths,
            how.environ,
            model_of=how.model_of,
            overrides=how.overrides,
            roles=how.roles,
        )

    def options(self, path: tuple[str, ...], model: type[Options]) -> Options:
        """The options of the driver block at `path` (see `Config.blocks`), as the driver's model.

        Raises:
            ConfigErrors: every fault in the block, with its place.
        """
        found = next(options for _, _, at, options in self.config.blocks() if at == path)
        try:
            return model.model_validate(dict(found))
        except ValidationError as error:
            faults = Merged(self.merged.data, self.merged.places, self.merged.lines)
            note_faults(faults, error, model, path, beside=_beside(path))
            raise ConfigErrors(faults.errors) from error


def load_config(
    paths: Sequence[Path],
    environ: Mapping[str, str],
    *,
    model_of: ModelOf | None = None,
    overrides: Overrides | None = None,
    roles: Sequence[str] = ROLES,
) -> Loaded:
    """Read, merge and check.

    Args:
        paths: files, folders of files, or a state directory. None at all gives the defaults.
        environ: environment variables.
        model_of: kind and name of a driver → its `Config`, raising `PluginError` when there is no
            such driver; None: drivers' options are not checked here.
        overrides: values that stand above the files: path → (value, where it came from).
        roles: the parts that are wanted; of others only the form is checked.

    Raises:
        ConfigErrors: every fault that was found, in the order of the files.
    """
    loaded, errors = check_config(
        paths, environ, model_of=model_of, overrides=overrides, roles=roles
    )
    if loaded is None:
        raise ConfigErrors(errors)
    return loaded


def check_config(
    paths: Sequence[Path],
    environ: Mapping[str, str],
    *,
    model_of: ModelOf | None = None,
    overrides: Overrides | None = None,
    roles: Sequence[str] = ROLES,
) -> tuple[Loaded | None, list[ConfigError]]:
    """As `load_config`, but returns the faults; the first is None exactly if there are some."""
    reading = Reading(tuple(paths), environ, model_of, dict(overrides or {}), tuple(roles))
    files, unreadable = config_files(paths)
    merged = merge_files(files, environ)
    merged.errors[:0] = unreadable
    override(merged, {**from_environment(environ), **(overrides or {})})
    config = None
    try:
        config = Config.model_validate(merged.data)
    except ValidationError as error:
        note_faults(merged, error, Config)
    if FUSION in roles:
        if not merged.broken:  # else what is missing may stand there
            _check_names(merged)
    else:
        check_local_sinks(merged)
    if model_of is not None:
        _check_drivers(merged, model_of, kinds(roles))
    if config is None or merged.errors:
        return None, _in_order(merged)
    left_out = take_part(merged, roles)
    if left_out:
        config = Config.model_validate(merged.data)
    return Loaded(config, merged, reading, left_out), []


def override(merged: Merged, overrides: Overrides) -> None:
    """Put values above what the files say; see `load_config`."""
    for path, (value, origin) in overrides.items():
        part = merged.data
        for key in path[:-1]:
            inner = part.get(key)
            if inner is None:
                inner = part[key] = {}
            if not isinstance(inner, dict):
                break  # a fault that is found anyway
            part = inner
        else:
            part[path[-1]] = value
            merged.places.pop(path, None)
            merged.origins[path] = origin


def _in_order(merged: Merged) -> list[ConfigError]:
    """By file and place; what has none comes first."""
    rank = {str(file): number for number, file in enumerate(merged.files)}
    return sorted(
        merged.errors,
        key=lambda error: (rank.get(error.file or "", -1), error.line or 0, error.column or 0),
    )


def _check_names(merged: Merged) -> None:
    """Views that forests and local sinks name must be there."""
    views = list(_mapping(merged.data.get("views")))
    for name, forest in _mapping(merged.data.get("forests")).items():
        members = _mapping(forest).get("views")
        for index, view in enumerate(members if isinstance(members, list) else []):
            if isinstance(view, str) and view not in views:
                _no_view(merged, view, views, ("forests", name, "views", index))
    for name, pipe in _mapping(merged.data.get("pipes")).items():
        sink = _mapping(_mapping(pipe).get("sink"))
        view = sink.get("view")
        if sink.get("driver") == LOCAL_SINK and isinstance(view, str) and view not in views:
            _no_view(merged, view, views, ("pipes", name, "sink", "view"))


def _no_view(merged: Merged, view: str, views: Sequence[str], path: KeyPath) -> None:
    suggestion = nearest(view, list(views)) or f"add `{view}: {{}}` to `views:`"
    merged.error(f"{dotted(path)}: no view {view} here", path, suggestion=suggestion, at_value=True)


def _check_drivers(merged: Merged, model_of: ModelOf, wanted: Collection[str]) -> None:
    for kind, name, path, options in _blocks(merged.data):
        if kind not in wanted:
            continue
        try:
            model = model_of(kind, name)
        except (PluginError, ConfigError) as error:
            suggestion = error.suggestion if isinstance(error, ConfigError) else error.remedy
            at: KeyPath = (*path, "driver")
            merged.error(error.message, at, suggestion=suggestion, at_value=True)
            continue
        try:
            model.model_validate(dict(options))
        except ValidationError as fault:
            note_faults(merged, fault, model, path, beside=_beside(path))


def _blocks(data: Mapping[str, Any]) -> Iterator[Block]:
    """As `Config.blocks`, out of data that may be wrong elsewhere."""
    for name, pipe in _mapping(data.get("pipes")).items():
        for kind in ("source", "sink"):
            yield from _block(kind, _mapping(pipe).get(kind), ("pipes", name, kind), DriverBlock)
    for name, view in _mapping(data.get("views")).items():
        yield from _block("view", view or {}, ("views", name), View)
        path = ("views", name, "arbitrator")
        yield from _block("arbitrator", _mapping(view).get("arbitrator"), path, Arbitrator)
    for name, receiver in _mapping(data.get("receivers")).items():
        yield from _block("receiver", receiver, ("receivers", name), DriverBlock)


def _block(kind: str, block: Any, path: tuple[str, ...], model: type[BaseModel]) -> Iterator[Block]:
    if isinstance(block, Mapping):
        name = block.get("driver", model.model_fields["driver"].default)
        if isinstance(name, str):
            own = model.model_fields
            options = {key: block[key] for key in block if key == "options" or key not in own}
            yield kind, name, path, options


def _beside(path: tuple[str, ...]) -> list[str]:
    """Keys of the core that stand beside the options of the block at `path`."""
    model = View if path[0] == "views" and len(path) == 2 else DriverBlock
    return [key for key in model.model_fields if key != "options"]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
