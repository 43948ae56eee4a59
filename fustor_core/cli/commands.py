"""How typer is told about commands: groups, their help, and global options in any place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_group


class Commands(TyperGroup):
    """A group of commands; alone on the command line it shows its help."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, args or ["--help"])


class Program(Commands):
    """The whole program; its help lists the commands by subject."""

    subjects: Sequence[tuple[str, Sequence[str]]] = ()

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        for title, names in self.subjects:
            rows = []
            for name in names:
                command = self.get_command(ctx, name)
                if command is not None and not command.hidden:
                    rows.append((name, command.get_short_help_str(formatter.width - 16)))
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


class Later(Commands):
    """A group whose commands are made when one of them is wanted: each costs a millisecond."""

    def __init__(
        self, name: str, app: typer.Typer, fill: Callable[[typer.Typer], None] | None = None
    ) -> None:
        self._app, self._fill = app, fill
        self._made: Any = None
        told = app.info
        super().__init__(
            name=name,
            help=told.help,
            context_settings=dict(told.context_settings or {}),
            rich_markup_mode=None,
        )

    @property
    def commands(self) -> Any:
        """The commands by name."""
        if self._made is None:
            if self._fill is not None:
                self._fill(self._app)
            self._made = get_group(self._app).commands
        return self._made

    @commands.setter
    def commands(self, commands: Any) -> None:
        """Those that it is made with are none."""


def group(help_text: str, *, cls: type[TyperGroup] = Commands) -> typer.Typer:
    """A typer application of our kind: plain help, no completion options, our own errors."""
    return typer.Typer(
        cls=cls,
        help=help_text,
        rich_markup_mode=None,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )


def walk(command: Any, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that people see, with the words that call it.

    Args:
        command: as typer built it. words: that call it.
    """
    yield words, command
    for name, inner in getattr(command, "commands", {}).items():
        if not inner.hidden:
            yield from walk(inner, (*words, name))


def fronted(arguments: Sequence[str], root: Any) -> list[str]:
    """The arguments with the program's own options first, wherever they stood.

    Args:
        arguments: as typed, without the program's name.
        root: the program as typer built it; its options are the global ones. An option that the
            command has itself is the command's.

    Returns:
        The same arguments in an order that a parser of nested commands understands. What follows
        ``--`` is left alone.
    """
    general = _options(root)
    command = root
    front: list[str] = []
    rest: list[str] = []
    left = list(arguments)
    while left:
        word = left.pop(0)
        own = {} if command is root else _options(command)
        if word == "--":
            return [*front, *rest, word, *left]
        if word.startswith("--"):
            name, equals, _value = word.partition("=")
            option = own.get(name) or general.get(name)
            taken = [word]
            if option is not None and takes_value(option) and not equals and left:
                taken.append(left.pop(0))
            (front if name in general and name not in own else rest).extend(taken)
        elif word.startswith("-") and word != "-":
            _letters(word, own, general, left, front, rest)
        else:
            rest.append(word)
            command = getattr(command, "commands", {}).get(word, command)
    return [*front, *rest]


def _letters(
    word: str,
    own: dict[str, Any],
    general: dict[str, Any],
    left: list[str],
    front: list[str],
    rest: list[str],
) -> None:
    """Sorts a word of short options, which may be run together: ``-lvv``."""
    for at, letter in enumerate(word[1:], 1):
        option = own.get(f"-{letter}") or general.get(f"-{letter}")
        into = front if f"-{letter}" in general and f"-{letter}" not in own else rest
        if option is None or takes_value(option):
            into.append("-" + word[at:])
            if option is not None and at == len(word) - 1 and left:
                into.append(left.pop(0))
            return
        into.append(f"-{letter}")


def _options(command: Any) -> dict[str, Any]:
    return {
        name: option
        for option in command.params
        if option.param_type_name == "option"
        for name in (*option.opts, *option.secondary_opts)
    }


def takes_value(option: Any) -> bool:
    return not (option.is_flag or option.count)
