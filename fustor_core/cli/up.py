"""`fustor up|run|agent|fusion`: the program in the foreground, from arguments or from files."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fustor_core.cli import failure
from fustor_core.cli.aside import Aside
from fustor_core.cli.call import Call
from fustor_core.cli.configuring import chosen_files, model_of
from fustor_core.cli.display import choose, invocation
from fustor_core.cli.roots import checked
from fustor_core.errors import ConfigError, FustorError

if TYPE_CHECKING:
    import anyio
    from anyio.abc import TaskStatus

    from fustor_core.config import Loaded, Overrides

Engine = Callable[..., Awaitable[None]]
EXITS = {signal.SIGINT: failure.INTERRUPTED, signal.SIGTERM: failure.TERMINATED}
SHOW_CURSOR = b"\x1b[?25h"


def join(app: typer.Typer) -> None:
    """Adds the commands of this file to the program."""
    app.command("up")(up)
    app.command("run")(run)
    app.command("agent")(agent)
    app.command("fusion")(fusion)


Files = Annotated[
    list[str] | None,
    typer.Option(
        "-c",
        "--config",
        metavar="FILE",
        help="A file or a folder of them; may be repeated. Left out: those of the state directory.",
    ),
]
History = Annotated[
    str | None,
    typer.Option("--state-history", metavar="DIR", help="Record every change of state there."),
]
EncryptionKey = Annotated[
    str | None,
    typer.Option(
        "--state-encryption-key",
        metavar="REF",
        help="Encrypt what is recorded with the key at env:NAME or file:PATH.",
    ),
]
UpdateRate = Annotated[
    float | None,
    typer.Option(
        "--vis-update-rate", metavar="HZ", help="How often pages are told what flows; else 4."
    ),
]


def up(
    ctx: typer.Context,
    directories: Annotated[
        list[str], typer.Argument(metavar="DIR", help="Directories to keep a view of.")
    ],
    name: Annotated[
        str | None, typer.Option("--name", metavar="N", help="Name of the view, for one DIR.")
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            "--exclude",
            metavar="GLOB",
            help="Leave out names like this; with a / in it, view paths. May be repeated.",
        ),
    ] = None,
    cross_filesystems: Annotated[
        bool, typer.Option("--cross-filesystems", help="Enter other file systems below too.")
    ] = False,
    listen: Annotated[
        str | None,
        typer.Option("--listen", metavar="HOST:PORT", help="On TCP too; prints a key once."),
    ] = None,
    state_history: History = None,
    state_encryption_key: EncryptionKey = None,
    vis_update_rate: UpdateRate = None,
) -> int:
    """Keep a live view of directories and answer questions.

    Scans, then follows what happens, until stopped with Ctrl-C or `fustor stop`.
    """
    from fustor_core.config import ID_PATTERN, from_environment, up_config

    call: Call = ctx.obj
    roots = checked(directories, call.settings.home)
    if name is not None and len(roots) != 1:
        raise failure.usage("--name fits one DIR only", remedy="start without it, or name one DIR")
    if name is not None and not re.fullmatch(ID_PATTERN, name):
        raise failure.usage(
            f"--name {name}: a name has small letters, digits, - and _, at most 64, no - first"
        )
    loaded = up_config(
        [Path(os.fsdecode(root.real)) for root in roots],
        name=name,
        exclude=exclude or (),
        cross_filesystems=cross_filesystems,
        listen=_listen(listen),
        state_history=None if state_history is None else os.path.abspath(state_history),
        overrides={
            **from_environment(os.environ),
            **_settings(None, state_encryption_key, vis_update_rate),
        },
    )
    return foreground(call, loaded)


def run(
    ctx: typer.Context,
    files: Files = None,
    state_history: History = None,
    state_encryption_key: EncryptionKey = None,
    vis_update_rate: UpdateRate = None,
) -> int:
    """Run the pipes and views of configuration files in one process."""
    from fustor_core.config import ROLES

    settings = _settings(state_history, state_encryption_key, vis_update_rate)
    return _run_files(ctx.obj, files, ROLES, settings)


def agent(
    ctx: typer.Context,
    files: Files = None,
    state_history: History = None,
    state_encryption_key: EncryptionKey = None,
    vis_update_rate: UpdateRate = None,
) -> int:
    """Run the pipes of configuration files, which push into a fusion server.

    Views, forests and receivers in the same files are left to `fustor fusion`.
    """
    from fustor_core.config import AGENT

    settings = _settings(state_history, state_encryption_key, vis_update_rate)
    return _run_files(ctx.obj, files, (AGENT,), settings)


def fusion(
    ctx: typer.Context,
    files: Files = None,
    state_history: History = None,
    state_encryption_key: EncryptionKey = None,
    vis_update_rate: UpdateRate = None,
) -> int:
    """Run the views of configuration files, which agents push into, and answer questions.

    Pipes in the same files are left to `fustor agent`.
    """
    from fustor_core.config import FUSION

    settings = _settings(state_history, state_encryption_key, vis_update_rate)
    return _run_files(ctx.obj, files, (FUSION,), settings)


# What a role cannot do without, and how to come by a first one.
NEEDED = {"agent": ("pipes", "fustor init --kind agent"),
          "fusion": ("views", "fustor init --kind fusion")}  # fmt: skip


def _settings(
    state_history: str | None, state_encryption_key: str | None, vis_update_rate: float | None
) -> Overrides:
    """What options of the command line put above the files."""
    given: dict[tuple[str, ...], tuple[Any, str]] = {}
    if state_history is not None:
        given[("state", "history")] = (os.path.abspath(state_history), "--state-history")
    if state_encryption_key is not None:
        reference = _reference(state_encryption_key)
        given[("state", "encryption_key")] = (reference, "--state-encryption-key")
    if vis_update_rate is not None:
        given[("state", "vis_update_rate")] = (vis_update_rate, "--vis-update-rate")
    return given


def _reference(text: str) -> str:
    """Where a key is, as given; never the key itself."""
    from fustor_core.config import is_key_reference

    if not is_key_reference(text):
        raise failure.usage(
            "--state-encryption-key says where the key is, env:NAME or file:PATH; it is no key",
            remedy="what stands on a command line shows in ps: make another key, in a file that"
            " only you can read",
        )
    return text


def _run_files(
    call: Call, files: Sequence[str] | None, roles: Sequence[str], overrides: Overrides
) -> int:
    """Runs the part of some files that these roles take, in the foreground.

    Raises:
        ConfigErrors: faults in the files. ConfigError: they hold nothing for these roles.
    """
    from fustor_core.config import load_config, require_roots
    from fustor_core.registry import Registry

    paths = chosen_files(call, files or _from_environment())
    loaded = load_config(
        paths,
        os.environ,
        model_of=model_of(Registry()),
        overrides=overrides,
        roles=roles,
    )
    needed = [NEEDED[role][0] for role in roles]
    if not any(getattr(loaded.config, section) for section in needed):
        named = ", ".join(str(path) for path in paths or [call.settings.home])
        first = NEEDED[roles[0]][1] if len(roles) == 1 else "fustor init"
        raise ConfigError(
            f"nothing to run: no {' and no '.join(needed)} in {named}",
            remedy=f"write a first configuration with `{first}`, or run `fustor up DIR`",
        )
    require_roots(loaded)
    if loaded.left_out:
        call.screen.note(f"left out of fustor {roles[0]}: {'; '.join(loaded.left_out)}")
    return foreground(call, loaded)


def foreground(call: Call, loaded: Loaded, engine: Engine | None = None) -> int:
    """Runs the engine until a signal ends it cleanly.

    Args:
        engine: what runs; None: that of `fustor_core.bootstrap`.

    Raises:
        FustorError: what ended it otherwise.
    """
    import anyio

    from fustor_core import heap, logs, open_files

    heap.arrange()
    open_files.allow()
    home = call.settings.home
    display = Aside(
        choose(
            call.screen,
            invocation(home if call.settings.home_given else None),
            jsonl=call.settings.documents,
            progress=not call.settings.no_progress,
            form=loaded.config.log.format,
        )
    )
    try:
        options = {"use_uvloop": _uvloop_is_there()}
        with logs.shown(display.take):
            anyio.run(_serve, engine or _engine(), loaded, call, display, backend_options=options)
    except BaseExceptionGroup as several:
        raise _first(several) from several
    finally:
        display.close()
    return failure.OK


def _engine() -> Engine:
    from fustor_core import bootstrap

    return bootstrap.run


async def _serve(engine: Engine, loaded: Loaded, call: Call, display: Aside) -> None:
    import anyio

    from fustor_core import heap

    stop = anyio.Event()
    async with anyio.create_task_group() as tasks:
        await tasks.start(_stop_on_signal, stop)
        tasks.start_soon(heap.keep_tidy)
        home, debug = call.settings.home, call.settings.debug
        await engine(loaded, home, on_event=display.take, stop=stop, debug=debug)
        tasks.cancel_scope.cancel()


async def _stop_on_signal(stop: anyio.Event, *, task_status: TaskStatus[None]) -> None:
    """The first signal asks for a clean stop, the second ends the process at once."""
    import anyio

    with anyio.open_signal_receiver(*EXITS) as signals:
        task_status.started()
        async for number in signals:
            for other in EXITS:
                signal.signal(other, _at_once)
            del number
            stop.set()
            await anyio.sleep_forever()


def _at_once(number: int, _frame: FrameType | None) -> None:
    if sys.stderr.isatty():
        os.write(2, SHOW_CURSOR)
    os._exit(EXITS[signal.Signals(number)])


def _first(several: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that a person can do something about, else the group."""
    for error in several.exceptions:
        found = _first(error) if isinstance(error, BaseExceptionGroup) else error
        if isinstance(found, FustorError | OSError):
            return found
    return several


def _uvloop_is_there() -> bool:
    from importlib.util import find_spec

    return find_spec("uvloop") is not None


def _listen(text: str | None) -> str | None:
    """``HOST:PORT`` as given, when it is one; IPv6 as ``[::1]:8102``."""
    if text is None:
        return None
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise failure.usage(
            f"--listen {text}: it is HOST:PORT", remedy="for this host alone: 127.0.0.1:8102"
        )
    return text


def _from_environment() -> Sequence[str]:
    """The files of FUSTOR_CONFIG, separated like those of PATH."""
    return [part for part in os.environ.get("FUSTOR_CONFIG", "").split(os.pathsep) if part]
