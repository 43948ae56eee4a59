"""The command line: `main` is what the console script calls."""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: without the program's name; None: those of the process.

    Returns:
        The exit code (interfaces.md §2).
    """
    from fustor_core.cli.program import run

    return run(arguments)
