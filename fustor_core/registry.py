"""Drivers by name and hooks by everyone: the only file that knows stevedore and pluggy's loader.

Entry points are those that are installed now (`fustor_core.installed`): stevedore's own lists are
cached in the process and on disk, and do not see a plugin that was installed since. Reading them
imports nothing.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import Any

import pluggy
from stevedore.driver import DriverManager
from stevedore.exception import NoMatches
from stevedore.extension import ExtensionManager

from fustor_core import hookspecs
from fustor_core.errors import ConfigError, PluginError
from fustor_core.installed import INSTALLED

KINDS = ("source", "sink", "arbitrator", "view", "receiver")
HOOK = "hook"
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[.*\])?\s*(?:==([^,;*\s]+)|[<>~!][^;]*)?\s*")
EARLIER_DISTRIBUTION = "fustor-core"  # has the same import package as ours


@dataclass(frozen=True, slots=True)
class Plugin:
    """One entry point of an installed distribution.

    Args:
        kind: one of `KINDS`, or ``hook``.
        name: its name in the configuration, unique within the kind.
        distribution: the installed distribution that brings it, "" when unknown.
        version: the distribution's version.
        state: ``installed``, ``loaded`` (imported by this process) or ``error``.
        error: why it cannot be used, or "".
    """

    kind: str
    name: str
    distribution: str
    version: str
    state: str
    error: str = ""


class Registry:
    """The plugins that this process can use, and those that it does.

    `plugins` and `names` import nothing. `driver` imports the one plugin that it is asked for,
    `load_hooks` those of the group ``fustor.hooks``. A plugin that cannot be loaded stays listed,
    with the reason.
    """

    def __init__(self) -> None:
        self._drivers: dict[tuple[str, str], Any] = {}
        self._failures: dict[tuple[str, str], str] = {}
        self._versions: dict[tuple[str, str], str] = {}  # of the drivers, when they were loaded
        self._told = pluggy.PluginManager(hookspecs.PROJECT)
        self._told.add_hookspecs(hookspecs)

    def __repr__(self) -> str:
        return f"<Registry loaded={len(self._drivers)} failed={len(self._failures)}>"

    @property
    def hooks(self) -> Any:
        """Calls every plugin: ``registry.hooks.fustor_transition(machine=…, …)``."""
        return self._told.hook

    def plugins(self) -> list[Plugin]:
        """Every installed plugin, by kind and name; imports none."""
        listed = []
        for kind in (*KINDS, HOOK):
            entries = _entry_points(kind)
            for entry in entries:
                namesakes = [other for other in entries if other.name == entry.name]
                listed.append(self._describe(kind, entry, namesakes))
        return listed

    def names(self, kind: str) -> list[str]:
        """Names of the installed drivers of a kind."""
        return sorted({entry.name for entry in _entry_points(kind)})

    def driver(self, kind: str, name: str) -> Any:
        """The class of the driver that a configuration names.

        Args:
            kind: one of `KINDS`.
            name: as in the configuration, e.g. ``fs``.

        Raises:
            PluginError: no such driver, two of that name, or it cannot be loaded.
        """
        if kind not in KINDS:
            raise ValueError(f"kind {kind!r} is none of {', '.join(KINDS)}")
        known = self._drivers.get((kind, name))
        if known is not None:
            return known
        loaded = self._load(kind, name)
        if loaded is None:
            raise self._missing(kind, name)
        found = loaded.driver
        self._drivers[kind, name] = found
        self._versions[kind, name] = self._version(kind, name)
        self._listen(kind, name, loaded.extensions[0].module_name)
        return found

    def upgraded(self) -> dict[tuple[str, str], str]:
        """Drivers of another version than the one that this process runs: (kind, name) → both."""
        found = {}
        for (kind, name), known in self._versions.items():
            now = self._version(kind, name)
            if now != known:
                found[kind, name] = f"{known or 'none'} → {now or 'none'}"
        return found

    def _version(self, kind: str, name: str) -> str:
        return ", ".join(INSTALLED.owner(entry)[1] for entry in _entry_points(kind, name))

    def load_hooks(self) -> list[Plugin]:
        """Imports the plugins of the group ``fustor.hooks``; they are told from now on.

        Returns:
            Those that could not be loaded, with the reason; the others work.
        """
        for name in self.names(HOOK):
            if self._told.has_plugin(_told_name(HOOK, name)):
                continue
            loaded = self._load(HOOK, name)
            if loaded is not None:
                self._register(HOOK, name, loaded.driver)
        return [plugin for plugin in self.plugins() if plugin.kind == HOOK and plugin.error]

    def unmet(self) -> list[str]:
        """Sentences about what the plugins in use need, and is not installed here as they need it.

        Requirements that hold only somewhere (with a marker), and ranges, are the installer's.
        """
        told = []
        for used in {p.distribution: p for p in self.plugins() if p.state == "loaded"}.values():
            for requirement in importlib.metadata.requires(used.distribution) or ():
                form = _REQUIREMENT.fullmatch(requirement)
                if form is None:
                    continue
                try:
                    found = importlib.metadata.version(form[1])
                except importlib.metadata.PackageNotFoundError:
                    found = ""
                if not found or form[2] not in (None, found):
                    there = f"{found} is" if found else "none is"
                    told.append(f"{used.distribution} needs {requirement}, and {there} installed")
        return told

    def brought(self) -> list[tuple[str, Any]]:
        """What plugins of the group ``fustor.hooks`` have brought, by name."""
        prefix = _told_name(HOOK, "")
        found = sorted(self._told.list_name_plugin())
        return [(name.removeprefix(prefix), one) for name, one in found if name.startswith(prefix)]

    def _load(self, kind: str, name: str) -> DriverManager[Any] | None:
        """Imports one plugin; None when it is not there or cannot be, with the reason kept."""
        reason = _unusable(kind, _entry_points(kind, name))
        self._failures.pop((kind, name), None)
        try:
            if not reason:
                return _ByName(_group(kind), name, on_load_failure_callback=self._failed)
        except (AssertionError, SystemExit) as error:  # stevedore lets these through
            reason = _reason(error)
        except NoMatches:
            pass  # not installed, or the callback has kept the reason
        if reason:
            self._failures[kind, name] = reason
        return None

    def _listen(self, kind: str, name: str, module: str) -> None:
        """Tells hooks to the package of a driver that is in use, too."""
        package = importlib.import_module(module.partition(".")[0])
        if not self._told.is_registered(package):
            self._register(kind, name, package)

    def _register(self, kind: str, name: str, plugin: ModuleType | Any) -> None:
        try:
            self._told.register(plugin, _told_name(kind, name))
            self._told.check_pending()
        except pluggy.PluginValidationError as error:
            if self._told.is_registered(plugin):
                self._told.unregister(plugin)
            self._failures[kind, name] = str(error)

    def _failed(
        self, chosen: ExtensionManager[Any], entry: EntryPoint, error: BaseException
    ) -> None:
        self._failures[_kind(chosen.namespace), entry.name] = _reason(error)

    def _describe(self, kind: str, entry: EntryPoint, namesakes: list[EntryPoint]) -> Plugin:
        reason = self._failures.get((kind, entry.name), "") or _unusable(kind, namesakes)
        distribution, version = INSTALLED.owner(entry)
        told = self._told.has_plugin(_told_name(kind, entry.name))
        loaded = (kind, entry.name) in self._drivers or told
        return Plugin(
            kind=kind,
            name=entry.name,
            distribution=distribution,
            version=version,
            state="error" if reason else "loaded" if loaded else "installed",
            error=reason,
        )

    def _missing(self, kind: str, name: str) -> PluginError:
        reason = self._failures.get((kind, name), "")
        names = self.names(kind)
        installed = f"installed {kind} drivers: {', '.join(names) or 'none'}"
        if reason:
            owners = _owners(_entry_points(kind, name))
            return PluginError(
                f"{kind} driver {name!r} of {owners} cannot be loaded: {reason}",
                remedy=f"reinstall, upgrade or uninstall {owners}; {installed}",
            )
        near = get_close_matches(name, names, n=3)
        meant = f"did you mean {' or '.join(near)}? " if near else ""
        return PluginError(f"no {kind} driver {name!r}", remedy=f"{meant}{installed}")


def refuse_earlier_system() -> None:
    """Stops the program when the earlier system is installed in the same environment.

    Raises:
        ConfigError: its distribution overwrites files of our import package.
    """
    try:
        found = importlib.metadata.distribution(EARLIER_DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return
    raise ConfigError(
        f"{EARLIER_DISTRIBUTION} {found.version} is installed beside fustor: "
        "both bring the package fustor_core",
        remedy=f"use a fresh virtual environment, or run: pip uninstall {EARLIER_DISTRIBUTION}; "
        "then pip install --force-reinstall fustor",
    )


class _ByName(DriverManager[Any]):
    """stevedore's "exactly one, by name", fed with what is installed now."""

    def list_entry_points(self) -> list[EntryPoint]:
        return _entry_points(_kind(self.namespace))


def _group(kind: str) -> str:
    return f"fustor.{kind}s"


def _kind(group: str) -> str:
    return group.removeprefix("fustor.").removesuffix("s")


def _entry_points(kind: str, name: str | None = None) -> list[EntryPoint]:
    return [entry for entry in INSTALLED.entries(_group(kind)) if name in (None, entry.name)]


def _told_name(kind: str, name: str) -> str:
    return f"{kind}:{name}"


def _owners(entries: list[EntryPoint]) -> str:
    return " and ".join(INSTALLED.owner(entry)[0] or entry.value for entry in entries)


def _unusable(kind: str, entries: list[EntryPoint]) -> str:
    """Why plugins of one name cannot be imported, as far as can be seen without importing."""
    if len(entries) > 1:
        return f"{_owners(entries)} both bring a {kind} of this name"
    for entry in entries:
        module, _, attribute = (part.strip() for part in entry.value.partition(":"))
        package = module.partition(".")[0]
        if not package.isidentifier() or (kind != HOOK and not attribute):
            return f"{entry.value!r} is not of the form 'package.module:attribute'"
        if importlib.util.find_spec(package) is None:
            return f"no package {package!r}"
    return ""


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
