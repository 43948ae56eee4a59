"""`fustor man [COMMAND…]`: manual pages, made from the command line itself."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from fustor_core.cli import failure
from fustor_core.cli.call import Call
from fustor_core.cli.commands import takes_value, walk

SECTION = 1
EXITS = (
    (failure.OK, "it was done; a question was answered, with yes where it is one"),
    (failure.FAILED, "it failed; of a question: no"),
    (failure.USAGE, "the command line makes no sense"),
    (failure.CONFIG, "the configuration, or the state directory, cannot be used"),
    (failure.UNREACHABLE, "no server answers, or it is too busy"),
    (failure.NOT_FOUND, "there is no such thing; of a path: proven absent"),
    (failure.DENIED, "not permitted"),
    (failure.PARTIAL, "it cannot be said, because not everything is known"),
    (failure.CONFLICT, "something else holds it, or it is not possible in this state"),
    (failure.UNVERIFIED, "what is kept is damaged"),
    (failure.OUT_OF_TIME, "the time was over"),
    (failure.INTERRUPTED, "interrupted"),
    (failure.TERMINATED, "terminated"),
)


def join(app: typer.Typer) -> None:
    """Adds the command to the program."""
    app.command("man")(man)


def man(
    ctx: typer.Context,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="COMMAND", help="As it is typed: view ls.")
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            "--out", metavar="DIR", help="Write all pages there: ~/.local/share/man/man1."
        ),
    ] = None,
) -> int:
    """Show the manual of a command, or write all of them for man(1).

    On a terminal man(1) shows it; into a pipe goes the page as man(1) reads it.
    """
    call: Call = ctx.obj
    root = ctx.find_root().command
    if out is not None:
        if words:
            raise failure.usage("--out writes all pages", remedy="leave out the command")
        return _write_all(call, root, Path(out).expanduser())
    named = ("fustor", *(word for word in words or ()))
    pages = dict(walk(root, ("fustor",)))
    if named not in pages:
        raise failure.usage(f"no command {' '.join(named)!r}", remedy="all commands: fustor --help")
    _show(call, page(named, pages[named]))
    return failure.OK


def _write_all(call: Call, root: Any, folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for words, command in walk(root, ("fustor",)):
        path = folder / f"{'-'.join(words)}.{SECTION}"
        path.write_text(page(words, command), "utf-8")
        written.append(str(path))
    if call.settings.documents:
        call.screen.document({"written": written})
    else:
        call.screen.note(f"{len(written)} pages in {folder}; try: man fustor")
    return failure.OK


def _show(call: Call, text: str) -> None:
    import shutil
    import subprocess

    program = shutil.which("man")
    if program is None or not call.screen.terminal:
        call.screen.line(text, end="")
        return
    call.screen.flush()
    subprocess.run([program, "-l", "-"], input=text.encode(), check=False)


# -- pages


def page(words: Sequence[str], command: Any) -> str:
    """A page, in the macros of man(7).

    Args:
        words: that call it, the program's name first. command: as typer built it.
    """
    lines = list(_page(words, command))
    return "".join(f"{line}\n" for line in lines)


def _page(words: Sequence[str], command: Any) -> Iterator[str]:
    from importlib.metadata import version

    title, short = "-".join(words), command.get_short_help_str(200).rstrip(".")
    usage = command.collect_usage_pieces(command.make_context("", [], resilient_parsing=True))
    yield f'.TH {_text(title.upper())} {SECTION} "" "fustor {version("fustor")}" "Fustor"'
    yield from (".nh", ".ad l")
    yield from (".SH NAME", rf"{_text(title)} \- {_text(short)}")
    yield from (".SH SYNOPSIS", f".B {_text(' '.join(words))}", _text(" ".join(usage)))
    yield ".SH DESCRIPTION"
    yield from _prose(command.help or "")
    inner = getattr(command, "commands", {})
    if inner:
        yield ".SH COMMANDS"
        for name, one in inner.items():
            if not one.hidden:
                yield from (".TP", f".BR {_text(f'{title}-{name}')} ({SECTION})")
                yield _text(one.get_short_help_str(200))
    yield from _arguments(command)
    yield from _options(command)
    yield ".SH EXIT STATUS"
    for code, meaning in EXITS:
        yield from (".TP", f".B {code}", _text(meaning))
    if len(words) == 1:
        yield from (".SH ENVIRONMENT", ".TP", ".B NO_COLOR", "Show no colours.")
        return
    yield from (".SH SEE ALSO", f".BR fustor ({SECTION}),", "whose options every command has.")
    if len(words) > 2:
        yield f".BR {_text('-'.join(words[:-1]))} ({SECTION})"


def _arguments(command: Any) -> Iterator[str]:
    told = [one for one in command.params if one.param_type_name == "argument" and _help_of(one)]
    if told:
        yield ".SH ARGUMENTS"
    for one in told:
        yield from (".TP", f".I {_text(one.metavar or one.name.upper())}", _text(_help_of(one)))


def _options(command: Any) -> Iterator[str]:
    told = [one for one in command.params if one.param_type_name == "option" and not one.hidden]
    if told:
        yield ".SH OPTIONS"
    for one in told:
        names = ", ".join(rf"\fB{_text(name)}\fR" for name in (*one.opts, *one.secondary_opts))
        value = one.metavar or one.type.name.upper() if takes_value(one) else ""
        yield from (".TP", names + (rf" \fI{_text(value)}\fR" if value else ""))
        more = f" Environment: {one.envvar}." if one.envvar else ""
        yield _text(_help_of(one) + more) or r"\&"


def _help_of(parameter: Any) -> str:
    return " ".join((getattr(parameter, "help", None) or "").split())


def _prose(text: str) -> Iterator[str]:
    """Paragraphs; what is indented stays as it is."""
    for number, paragraph in enumerate(re.split(r"\n\s*\n", inspect.cleandoc(text))):
        if number:
            yield ".PP"
        if paragraph.startswith("    "):
            yield from (".nf", *(_text(line) for line in paragraph.splitlines()), ".fi")
        else:
            yield _text(" ".join(paragraph.split()))


def _text(text: str) -> str:
    """Text that troff takes for nothing else; a dash is the one that is typed."""
    escaped = text.replace("\\", r"\e").replace("-", r"\-")
    return rf"\&{escaped}" if escaped.startswith((".", "'")) else escaped
