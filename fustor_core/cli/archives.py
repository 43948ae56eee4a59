"""`fustor state export|import`: the state directory in one file, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fustor_core.cli import failure, figures
from fustor_core.cli.call import Call
from fustor_core.cli.commands import group
from fustor_core.cli.names import safe


def groups() -> dict[str, typer.Typer]:
    """The groups of this file, by name."""
    state = group("Back the state directory up, and bring it back.")
    state.command("export")(export)
    state.command("import")(import_)
    return {"state": state}


File = Annotated[str, typer.Argument(metavar="FILE", help="The archive.")]


def export(ctx: typer.Context, file: File) -> int:
    """Write the state directory into one file, keys and history included.

    Nothing may run on it meanwhile; the file is as secret as the directory itself.
    """
    from fustor_core.state.archive import export_state

    call: Call = ctx.obj
    with _Bar(call, "exporting") as bar:
        contents = export_state(call.settings.home, Path(file), bar.more)
    _write_down(call, "state-export", file)
    return _tell(call, "exported", Path(file), contents.files, contents.bytes)


def import_(ctx: typer.Context, file: File) -> int:
    """Make a state directory of such a file, where none is.

    Everything is checked against the digests of the export first. Exit 9: the file is damaged. On
    another machine the agent gets an id of its own.
    """
    from fustor_core.state.archive import import_state

    call: Call = ctx.obj
    with _Bar(call, "importing") as bar:
        contents = import_state(Path(file), call.settings.home, bar.more)
    _write_down(call, "state-import", file)
    return _tell(call, "imported", call.settings.home, contents.files, contents.bytes)


def _write_down(call: Call, act: str, file: str) -> None:
    """The act stands in the audit log of the state directory."""
    from fustor_core.acts import by_hand
    from fustor_core.state import StateDirectory

    directory = StateDirectory(call.settings.home)
    part = "fusion" if directory.fusion.is_dir() else "agent"
    with directory.lock("audit", (part,)):
        by_hand(call.settings.home / part, act, {"file": file})


def _tell(call: Call, done: str, place: Path, files: int, size: int) -> int:
    if call.settings.documents:
        call.screen.document({done: str(place), "files": files, "bytes": size})
    else:
        call.screen.line(safe(str(place)))
        call.screen.note(f"{done}: {files:,} files, {figures.size(size)}")
    return failure.OK


class _Bar:
    """Bytes that are done, on a terminal."""

    def __init__(self, call: Call, doing: str) -> None:
        from rich.console import Console
        from rich.progress import DownloadColumn, Progress, SpinnerColumn, TextColumn
        from rich.progress import TransferSpeedColumn as Speed

        shown = call.screen.talk_terminal and not call.settings.no_progress
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            DownloadColumn(),
            Speed(),
            console=Console(stderr=True),
            transient=True,
            disable=not shown or call.screen.quiet,
        )
        self._task = self._bar.add_task(doing, total=None)

    def __enter__(self) -> _Bar:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def more(self, count: int) -> None:
        """So many bytes more are done."""
        self._bar.advance(self._task, count)
