"""The program: its global options, its commands, and how every run of it ends."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import FrameType, TracebackType
from typing import Annotated, Any

import typer
from typer.main import get_command

from fustor_core.cli import (
    acts,
    archives,
    benches,
    completion,
    configuring,
    doctor,
    failure,
    history,
    inside,
    keys,
    manual,
    pipes,
    running,
    top,
    units,
    up,
)
from fustor_core.cli.call import Call, Settings
from fustor_core.cli.commands import Later, Program, fronted, group
from fustor_core.cli.options import seconds, state_home
from fustor_core.cli.screen import standard_screen
from fustor_core.errors import FustorError

SUBJECTS = (
    ("Main job", ("up", "run", "agent", "fusion", "init", "validate")),
    ("Questions", ("view", "status", "top")),
    (
        "Operation",
        (
            "stop",
            "reload",
            "pipe",
            "session",
            "key",
            "audit",
            "log-level",
            "config",
            "service",
            "state",
        ),
    ),
    ("Inside", ("history", "machines", "plugin", "doctor", "bench", "completion", "man")),
)


class Fustor(Program):
    """The program itself."""

    subjects = SUBJECTS


@cache
def build() -> Any:
    """The whole tree of commands, as typer runs it; made once."""
    app = group(
        "A live, durable, queryable view of directory trees.\n\n"
        "Begin with: fustor up DIR. Options may stand before or after the command.",
        cls=Fustor,
    )
    app.callback()(general)
    for part in (up, running, top, configuring, doctor, completion, manual):
        part.join(app)
    program: Any = get_command(app)
    asking = group("Ask what is there, how complete that is, what changed.")
    program.add_command(Later("view", asking, _questions))
    for part in (pipes, keys, inside, configuring, units, archives, history, acts):
        for name, made in part.groups().items():
            program.add_command(Later(name, made))
    program.add_command(benches.bench())
    return program


def _questions(app: typer.Typer) -> None:
    """The commands of ``fustor view``; loaded with the first of them."""
    from fustor_core.cli import (
        view_best,
        view_blind,
        view_changes,
        view_entries,
        view_explain,
        view_find,
        view_stable,
        view_work,
    )

    parts = (view_entries, view_find, view_stable, view_changes, view_explain, view_blind)
    for part in (*parts, view_best, view_work):
        part.join(app)


def version(wanted: bool) -> None:
    """Prints the version and ends."""
    if wanted:
        from importlib.metadata import version as installed

        sys.stdout.write(f"fustor {installed('fustor')}\n")
        raise typer.Exit


Text = str | None
Home = Annotated[Text, typer.Option(envvar="FUSTOR_HOME", metavar="DIR", help="State directory.")]
Server = Annotated[
    Text,
    typer.Option(
        envvar="FUSTOR_SERVER", metavar="URL", help="Ask http(s)://… or unix:/path instead."
    ),
]
KeyFile = Annotated[
    Text, typer.Option(envvar="FUSTOR_KEY_FILE", metavar="F", help="File that holds the key.")
]
Cert = Annotated[
    Text,
    typer.Option(
        envvar="FUSTOR_CERT",
        metavar="F",
        help="File with a certificate and its private key, PEM, if the server wants one.",
    ),
]
View = Annotated[Text, typer.Option(envvar="FUSTOR_VIEW", metavar="NAME", help="Ask this view.")]
Json = Annotated[bool, typer.Option("--json", help="Answer with one JSON document.")]
Jsonl = Annotated[bool, typer.Option("--jsonl", help="Answer with one JSON object a line.")]
Timeout = Annotated[
    Text,
    typer.Option(
        metavar="DUR",
        help="Give up a request after this time (10s); with --wait, and for view wait, "
        "the whole wait.",
    ),
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="No talk but errors.")]
Verbose = Annotated[
    int,
    typer.Option(
        "-v",
        "--verbose",
        count=True,
        show_default=False,
        help="More talk: what is asked, and how long that takes.",
    ),
]
NoProgress = Annotated[bool, typer.Option("--no-progress", help="No progress display.")]
Yes = Annotated[bool, typer.Option("--yes", help="Answer questions with yes.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]
Version = Annotated[
    bool, typer.Option("--version", callback=version, is_eager=True, help="Print the version.")
]


def general(
    ctx: typer.Context,
    home: Home = None,
    server: Server = None,
    key_file: KeyFile = None,
    cert: Cert = None,
    view: View = None,
    json: Json = False,
    jsonl: Jsonl = False,
    timeout: Timeout = None,
    quiet: Quiet = False,
    verbose: Verbose = 0,
    no_progress: NoProgress = False,
    yes: Yes = False,
    debug: Debug = False,
    _version: Version = False,
) -> None:
    """Takes the global options."""
    if json and jsonl:
        raise failure.usage("--json and --jsonl exclude each other")
    settings = Settings(
        home=state_home(home),
        home_given=home is not None,
        server=server,
        key_file=None if key_file is None else Path(key_file),
        cert=None if cert is None else Path(cert),
        view=view,
        json=json,
        jsonl=jsonl,
        timeout_s=None if timeout is None else seconds(timeout, "--timeout"),
        quiet=quiet,
        verbose=verbose,
        no_progress=no_progress,
        yes=yes,
        debug=debug,
    )
    form = "json" if json else "jsonl" if jsonl else ""
    ctx.obj = Call(settings, standard_screen(quiet=quiet, document_form=form))
    ctx.call_on_close(ctx.obj.close)


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code; every end of the program passes here."""
    typed = list(sys.argv[1:] if arguments is None else arguments)
    options = typed[: typed.index("--")] if "--" in typed else typed
    as_json = "--json" in options or "--jsonl" in options
    debug = "--debug" in options
    if arguments is None:
        _own_process(debug=debug)
    try:
        _refuse_earlier_system()
        program = build()
        code = program.main(args=fronted(typed, program), prog_name="fustor", standalone_mode=False)
        sys.stdout.flush()
        return int(code or 0)
    except BrokenPipeError:
        _forget_stdout()
        return failure.OK  # the reader has seen enough
    except KeyboardInterrupt:
        return failure.INTERRUPTED
    except (FustorError, OSError, typer.TyperException) as error:
        if debug:
            traceback.print_exc()
        return failure.report(error, as_json=as_json)
    except typer.Abort:
        return failure.INTERRUPTED


def _own_process(*, debug: bool) -> None:
    """What holds for the whole process: how it dies of a signal, and of a bug."""
    signal.signal(signal.SIGTERM, _terminated)
    if not debug:
        sys.excepthook = _unexpected


def _terminated(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(failure.TERMINATED)


def _unexpected(
    _kind: type[BaseException], error: BaseException, _trace: TracebackType | None
) -> None:
    sys.stderr.write(
        f"fustor: this should not happen: {type(error).__name__}: {error}\n"
        "  remedy: run it again with --debug, and report what it prints\n"
    )


def _forget_stdout() -> None:
    """Points stdout to nowhere, so that the interpreter's last flush does not fail."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _refuse_earlier_system() -> None:
    """Looks for the earlier system's distribution; only where there may be one, thoroughly.

    Raises:
        ConfigError: it is installed beside us.
    """
    for folder in sys.path:
        try:
            names = os.listdir(folder or ".")
        except OSError:
            continue
        if any(name.startswith(("fustor_core-", "fustor-core-")) for name in names):
            from fustor_core.registry import refuse_earlier_system

            return refuse_earlier_system()
    return None
