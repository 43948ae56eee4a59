"""Options and arguments that several commands share, and how their texts are read."""

from __future__ import annotations

import os
from pathlib import Path as FilePath
from typing import Annotated

import typer

from fustor_core.cli.failure import usage

Path = Annotated[
    str | None,
    typer.Argument(
        metavar="PATH",
        help="VIEW:/p, a path on this host inside a watched directory, or a view path.",
        show_default=False,
    ),
]
NeededPath = Annotated[
    str,
    typer.Argument(
        metavar="PATH",
        help="VIEW:/p, a path on this host inside a watched directory, or a view path.",
    ),
]
Limit = Annotated[
    int | None, typer.Option("--limit", min=1, metavar="N", help="At most so many; else all.")
]
Cursor = Annotated[
    str | None, typer.Option("--cursor", metavar="C", help="Go on where a listing was cut.")
]


def seconds(text: str, option: str) -> float:
    """A duration as typed, in seconds.

    Raises:
        Failure: it is none (exit 2).
    """
    from fustor_core.units import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise usage(f"{option}: {error}") from error


def state_home(option: str | None) -> FilePath:
    """The state directory of this run (interfaces.md §6)."""
    from fustor_core.state import resolve_home

    return resolve_home(option, os.environ)
