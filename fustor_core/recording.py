"""The state of this process's run: made from the configuration, lived, kept, ended."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from fustor_core.config import Loaded, effective, secret_values
from fustor_core.engine import attempt, sentence
from fustor_core.errors import StateError
from fustor_core.machine import Move
from fustor_core.registry import Registry
from fustor_core.state_runs.access import LedgerAccess
from fustor_core.state_runs.context import Scrubber, config_hash, secrets_of, shown_environment
from fustor_core.state_runs.hook import StateHook
from fustor_core.state_runs.hook_files import hooks_in, hooks_in_file
from fustor_core.state_runs.hooking import Hooks, Listener
from fustor_core.state_runs.journal import RunJournal, header_after, header_at
from fustor_core.state_runs.ledger import Fact, Ledger
from fustor_core.state_runs.records import ExecutionContext, RunState, run_document
from fustor_core.state_runs.sealing import Keyring, read_keyring

LOOK_S = 5.0
LAST_WORDS_S = 5.0
WRITE_S = 10.0
ROTATE_S = 30.0
PRUNE_S = 3600.0


@dataclass(slots=True)
class Plans:
    """What a configuration wants of state history and hooks.

    Attributes:
        folder: where runs are kept; None: nowhere. keys: encrypt them; None: plain.
        secrets: texts that are told nobody. hooks: of files, by name.
    """

    folder: Path | None = None
    keys: Keyring | None = None
    secrets: frozenset[str] = frozenset()
    hooks: dict[str, type[StateHook]] = field(default_factory=dict)


def plans_of(loaded: Loaded, executions: Path, environ: Mapping[str, str]) -> Plans:
    """Read what a configuration names: keys, and files of hooks.

    Args:
        executions: where runs are kept when no folder is named.

    Raises:
        ConfigError: a key or a hook file cannot be used.
    """
    state = loaded.config.state
    secrets = secret_values(loaded) | secrets_of(environ, state.environment)
    plans = Plans(secrets=frozenset(secrets))
    if state.history:
        named = Path(state.history) if isinstance(state.history, str) else executions
        plans.folder = Path(os.path.realpath(_beside(loaded, ("state", "history"), named)))
    if state.encryption_key is not None:
        reference = state.encryption_key
        kind, _, place = reference.partition(":")
        if kind == "file":
            path = _beside(loaded, ("state", "encryption_key"), Path(place).expanduser())
            reference = f"file:{path}"
        plans.keys, texts = read_keyring(reference, environ)
        plans.secrets |= texts
    for number, named_file in enumerate(loaded.config.hooks):
        path = _beside(loaded, ("hooks", number), Path(named_file).expanduser())
        for name, kind_of_hook in hooks_in_file(path).items():
            plans.hooks[_unused(name, plans.hooks)] = kind_of_hook
    return plans


class Recording:
    """The run of this process.

    Args:
        loaded: the configuration. plans: see `plans_of`. registry: where plugins come from.
        warn: told sentences. on_move: told of transitions of the run and of its nodes.
    """

    def __init__(
        self,
        loaded: Loaded,
        plans: Plans,
        registry: Registry,
        *,
        warn: Callable[[str], None],
        on_move: Callable[[Move[Any]], None],
    ) -> None:
        self._loaded, self._plans, self._registry = loaded, plans, registry
        self._warn, self._on_move = warn, on_move
        self._started = time.time()
        self._early: list[Fact] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._journal: RunJournal | None = None
        self._over = False
        self.ledger: Ledger | None = None

    def __repr__(self) -> str:
        return f"<Recording {self.ledger!r} {self._journal!r}>"

    def note(self, fact: Fact) -> None:
        """Something has happened; at any time."""
        if self.ledger is None:
            self._early.append(fact)
        else:
            self.ledger.note(fact)

    async def allowed(self, what: str, arguments: Mapping[str, Any]) -> None:
        """Ask hooks whether a person may have something done.

        Raises:
            Vetoed: one does not want it.
        """
        await self._opened().allowed(what, arguments)

    async def runs(self, _asked: Mapping[str, Any]) -> dict[str, Any]:
        """The runs that live in this process: one, as watchers are told of it."""
        ledger = self.ledger
        return {"runs": [] if ledger is None else [run_document(ledger.state, str(ledger.phase))]}

    # ---- life

    def open(
        self, *, secrets: frozenset[str] = frozenset(), stir: Callable[[], None] = lambda: None
    ) -> None:
        """Everything is built: the run's header and context are made, and its folder.

        Args:
            secrets: more texts that are told nobody. stir: called after each change.

        Raises:
            StateError: the history cannot be kept where it should be.
        """
        plans, config = self._plans, self._loaded.config
        for lack in self._registry.unmet():
            self._warn(lack)
        scrubber = Scrubber(plans.secrets | secrets)
        values = self._values()
        header = header_at(self._started, version("fustor"), config_hash(values))
        context = ExecutionContext(
            environment_vars=scrubber.clean(
                shown_environment(os.environ, config.state.environment)
            ),
            secret_store=self._secret_store(),
            active_plugins=tuple(self._active()),
        )
        state = RunState(header, context)
        self.ledger = Ledger(
            state,
            scrubber=scrubber,
            keeps=plans.folder is not None,
            warn=self._warn,
            on_move=self._on_move,
        )
        self.ledger.on_commit.append(lambda commit, moved: stir())
        for fact in self._early:
            self.ledger.note(fact)
        self._early.clear()
        if plans.folder is not None:
            self._journal = RunJournal(
                plans.folder,
                state,
                keys=plans.keys,
                rotate_bytes=config.state.rotate_bytes,
                rotate_age_s=config.state.rotate_age,
                keep_bytes=config.state.keep_bytes,
                keep_age_s=config.state.keep_age,
                warn=self._warn_soon,
                about={"roles": list(self._loaded.roles), "pid": os.getpid()},
            )
            self.ledger.on_commit.append(self._journal.take)
            self.ledger.on_forget.append(self._journal.forget)

    async def begin(self) -> None:
        """Hooks hear that the run begins; nothing runs before they have, or had time to."""
        ledger = self._opened()
        self._loop = asyncio.get_running_loop()
        ledger.hooks = Hooks(self._listeners(ledger))
        await ledger.initialize(self._values())

    async def live(self) -> None:
        """Keep the state, until cancelled."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._opened().live)
            if self._journal is not None:
                group.start_soon(self._tidy, self._journal)

    async def close(self, reason: str) -> None:
        """The run is over.

        Args:
            reason: why, for its last file.
        """
        ledger = self._opened()
        if self._over or self._loop is None:
            return
        self._over = True
        report = await ledger.finalize(LAST_WORDS_S)
        if self._journal is None:
            return
        ext = {
            "ended": report["ended"],
            "reason": reason,
            "phases": ledger.phases,
            "report": report,
        }
        write = partial(self._journal.close, ledger.state, ext, WRITE_S)
        if not await anyio.to_thread.run_sync(write):
            self._warn(f"the state history in {self._journal.path} is not whole: no time to write")

    # ---- inside

    def _opened(self) -> Ledger:
        assert self.ledger is not None, "`open` comes first"
        return self.ledger

    async def _tidy(self, journal: RunJournal) -> None:
        """Old runs go; a folder that is large or old is followed by another."""
        pruned = 0.0
        while True:
            if time.monotonic() - pruned > PRUNE_S or not pruned:
                pruned = time.monotonic()
                done = await attempt(partial(anyio.to_thread.run_sync, journal.prune))
                if isinstance(done, StateError):
                    self._warn(f"old runs are not removed: {sentence(done)}")
            await anyio.sleep(LOOK_S)
            if journal.due:
                await self._rotate(journal)

    async def _rotate(self, journal: RunJournal) -> None:
        ledger = self._opened()
        header = header_after(ledger.state.header, time.time())
        try:
            await ledger.continue_as(
                lambda state: anyio.to_thread.run_sync(journal.rotate, state, header, ROTATE_S)
            )
        except StateError as error:
            self._warn(error.message)

    def _listeners(self, ledger: Ledger) -> list[Listener]:
        kinds = dict(self._plans.hooks)
        for _, brought in self._registry.brought():
            for name, kind in hooks_in(brought).items():
                kinds[_unused(name, kinds)] = kind
        return [
            Listener(name, kind, LedgerAccess(ledger, name, self._call), self._warn_soon)
            for name, kind in kinds.items()
        ]

    def _call(self, act: Callable[[], Awaitable[int]]) -> Any:
        """Have something done on the loop, from any thread."""
        assert self._loop is not None, "`begin` comes first"

        async def do() -> int:
            return await act()

        return asyncio.run_coroutine_threadsafe(do(), self._loop)

    def _warn_soon(self, text: str) -> None:
        """A warning, from any thread."""
        loop = self._loop
        if loop is None:
            self._warn(text)
        else:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._warn, text)

    def _values(self) -> dict[str, Any]:
        """The configuration in force, without secrets."""
        model_of = self._registry.driver
        told = effective(self._loaded, lambda kind, name: model_of(kind, name).Config)
        return {key: one["value"] for key, one in told.items()}

    def _secret_store(self) -> str | None:
        """Where secrets come from."""
        files = [f"file:{path}" for path in self._loaded.merged.referenced]
        key = self._loaded.config.state.encryption_key
        return " ".join([*sorted(files), *([key] if key else [])]) or None

    def _active(self) -> list[str]:
        used = [one for one in self._registry.plugins() if one.state == "loaded"]
        named = [f"{one.distribution or one.name}@{one.version or 'unknown'}" for one in used]
        return list(dict.fromkeys([*named, *(f"{name}@file" for name in self._plans.hooks)]))


def _beside(loaded: Loaded, key: tuple[str | int, ...], path: Path) -> Path:
    """A path as the configuration means it: relative ones begin at the file that names them."""
    place = loaded.merged.place(key)
    given = key in loaded.merged.origins
    return path if given or place is None else place.file.parent / path


def _unused(name: str, taken: Mapping[str, object]) -> str:
    number, made = 1, name
    while made in taken:
        number += 1
        made = f"{name}-{number}"
    return made
