"""`fustor bench …`: what this machine reaches with Fustor; each measurement in a `bench_*` file.

A file ``fustor_core/cli/bench_NAME.py`` has ``join(app)``, which adds its command. The files are
looked for and imported when a command of the group is wanted.
"""

from __future__ import annotations

import importlib
import os
import pkgutil

import typer

from fustor_core.cli.commands import Later, group

PREFIX = "bench_"


def bench() -> Later:
    """The group."""
    app = group(
        "Measure what this machine reaches.\n\n"
        "Every command starts programs of its own in a folder of its own, and disturbs nothing."
    )
    return Later("bench", app, collect)


def collect(app: typer.Typer) -> None:
    """Adds the command of every ``bench_*`` file here."""
    package = __name__.rpartition(".")[0]
    for found in pkgutil.iter_modules([os.path.dirname(__file__)]):
        if found.name.startswith(PREFIX):
            importlib.import_module(f"{package}.{found.name}").join(app)
