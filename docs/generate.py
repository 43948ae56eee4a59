"""Writes the reference pages from the code: `python docs/generate.py`; `--check` only compares.

Commands from the command line's own tree, settings from the pydantic models and the drivers'
`Config`s, hooks from their specifications. Texts are the code's; nothing is written here by hand.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

REFERENCE = Path(__file__).parent / "reference"
NOTE = "<!-- Written by docs/generate.py from the code; not to be edited. -->\n"


def cell(text: object) -> str:
    """Text as it may stand in one cell of a table."""
    return " ".join(str(text).split()).replace("|", "\\|")


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


# ------------------------------------------------------------------ commands


def walk(command: Any, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command and group that a user sees, with the words that call it."""
    yield words, command
    for name, inner in getattr(command, "commands", {}).items():
        if not inner.hidden:
            yield from walk(inner, (*words, name))


def spelled(option: Any) -> str:
    """``-q, --quiet`` or ``--limit N``, as it is typed."""
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    if option.is_flag or option.count:
        return names
    return f"{names} `{option.metavar or option.type.name.upper()}`"


def options_of(command: Any) -> list[Any]:
    return [
        parameter
        for parameter in command.params
        if parameter.param_type_name == "option" and not getattr(parameter, "hidden", False)
    ]


def commands() -> str:
    """docs/reference/commands.md"""
    from fustor_core.cli.program import build

    parts = [NOTE, "# Commands\n"]
    for words, command in walk(build(), ("fustor",)):
        context = command.make_context("", [], resilient_parsing=True)
        usage = " ".join([*words, *command.collect_usage_pieces(context)])
        parts.append(f"{'#' * (len(words) + 1)} `{' '.join(words)}`\n")
        parts.append(f"{inspect.cleandoc(command.help or '')}\n")
        parts.append(f"```\n{usage}\n```\n")
        rows = [(spelled(option), cell(option.help or "")) for option in options_of(command)]
        if rows:
            parts.append(table(("option", "meaning"), rows))
    return "\n".join(parts)


# ------------------------------------------------------------------ hooks


def specified_hooks() -> dict[str, Callable[..., Any]]:
    from fustor_core import hookspecs

    return {
        name: member
        for name, member in vars(hookspecs).items()
        if inspect.isfunction(member) and name.startswith("fustor_")
    }


def hooks() -> str:
    """docs/reference/hooks.md"""
    from fustor_core import hookspecs

    parts = [NOTE, "# Hooks\n", f"{inspect.getdoc(hookspecs)}\n"]
    for name, member in specified_hooks().items():
        parts.append(f"## `{name}`\n")
        parts.append(f"```python\n{name}{inspect.signature(member, eval_str=True)}\n```\n")
        parts.append(prose(inspect.getdoc(member) or ""))
    return "\n".join(parts)


def prose(text: str) -> str:
    """A docstring as Markdown: its ``Args:`` and the like become lists."""
    lines = []
    for line in text.splitlines():
        if line in ("Args:", "Returns:", "Raises:"):
            lines.append(f"**{line.removesuffix(':')}**\n")
        elif line.startswith("    ") and not line.startswith("     "):
            name, colon, meaning = line.strip().partition(": ")
            lines.append(f"- `{name}`: {meaning}" if colon else f"  {line.strip()}")
        else:
            lines.append(line if not line.startswith(" ") else f"  {line.strip()}")
    return "\n".join(lines) + "\n"


PAGES: dict[str, Callable[[], str]] = {"commands.md": commands, "hooks.md": hooks}


def main(arguments: list[str]) -> int:
    """Writes the pages, or with ``--check`` names those that are not as the code says."""
    check = "--check" in arguments
    REFERENCE.mkdir(exist_ok=True)
    stale = []
    for name, made in PAGES.items():
        path = REFERENCE / name
        text = made()
        if path.is_file() and path.read_text("utf-8") == text:
            continue
        stale.append(name)
        if not check:
            path.write_text(text, "utf-8")
    for name in stale:
        print(f"docs/reference/{name}: {'not as the code says' if check else 'written'}")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
