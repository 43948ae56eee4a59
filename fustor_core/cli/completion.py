"""`fustor completion SHELL`: what TAB offers, names of views, pipes and files in them included.

The printed script asks the program itself (`fustor complete -- WORD…`, hidden), which walks the
same tree of commands as a run does. Names that only a server knows are asked for with a short
limit; where nothing answers there are none, and no error.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from fustor_core.cli import failure
from fustor_core.cli.call import Call, Settings, address
from fustor_core.cli.commands import takes_value
from fustor_core.cli.shells import SCRIPTS
from fustor_core.client import path_params
from fustor_core.errors import FustorError

ASK_S = 1.0
HISTORY = "--state-history"
NODE_FILE = re.compile(r"state_node_(.+)_[0-9A-Z]{8}_(?:attempt[0-9]+|final)\.json\Z")
PAGE = 1000
FILES, FOLDERS, OPEN = ":files", ":folders", ":open"  # for the script; no word begins so
OF_HOST = {"DIR": FOLDERS, "F": FILES, "FILE": FILES, "HOME": FOLDERS}

Found = Iterator[tuple[str, str]]  # a word and what it means


def join(app: typer.Typer) -> None:
    """Adds both commands to the program."""
    app.command("completion")(completion)
    app.command("complete", hidden=True)(complete)


def completion(
    ctx: typer.Context,
    shell: Annotated[str, typer.Argument(metavar="bash|zsh|fish", help="The shell.")],
) -> int:
    """Print the script that completes commands, options and names at the TAB key.

    bash: source <(fustor completion bash), in ~/.bashrc for good. zsh: the same in ~/.zshrc, after
    compinit. fish: fustor completion fish > ~/.config/fish/completions/fustor.fish
    """
    if shell not in SCRIPTS:
        raise failure.usage(f"no shell {shell!r} here", remedy=f"there are: {', '.join(SCRIPTS)}")
    call: Call = ctx.obj
    call.screen.line(SCRIPTS[shell], end="")
    return failure.OK


def complete(
    ctx: typer.Context, words: Annotated[list[str] | None, typer.Argument(metavar="WORD")] = None
) -> int:
    """Print what may stand for the last of these words, one a line, with its meaning."""
    call: Call = ctx.obj
    call.request_s = ASK_S
    typed = [unquoted(word) for word in words or [""]]
    for word, meaning in candidates(ctx.find_root().command, typed, call):
        if word.isprintable():
            call.screen.line(f"{word}\t{meaning}" if meaning else word)
    return failure.OK


def unquoted(word: str) -> str:
    """A word as the shell will see it; a quote that is still open is closed."""
    whole = word.removesuffix("\\") if word.replace("\\\\", "").endswith("\\") else word
    for end in ("", "'", '"'):
        try:
            parts = shlex.split(whole + end)
        except ValueError:
            continue
        return parts[0] if parts else ""
    return whole


def candidates(root: Any, typed: Sequence[str], call: Call) -> Found:
    """Everything that the last word may become.

    Args:
        root: the program as typer built it. typed: the words so far, the last one unfinished.
        call: asks the server.
    """
    *before, last = typed
    given: dict[str, str] = {}
    command, arguments, pending, only_arguments = _walked(root, before, call, given)
    if pending is not None and pending.metavar == "NAME" and "--node" in pending.opts:
        yield from _begins(last, _nodes(call, arguments, given.get(HISTORY)))
    elif pending is not None:
        yield from _begins(last, _values(pending.metavar or "", "", last, call))
    elif last.startswith("-") and not only_arguments:
        yield from _begins(last, _options(root, command))
    elif hasattr(command, "commands"):
        yield from _begins(last, _names(command))
    else:
        kinds = [p for p in command.params if p.param_type_name == "argument"]
        at = min(len(arguments), len(kinds) - 1)
        if not kinds or (len(arguments) >= len(kinds) and kinds[-1].nargs >= 0):
            return
        if kinds[at].metavar == "COMMAND":
            for word in arguments:
                root = getattr(root, "commands", {}).get(word, command)
            yield from _begins(last, _names(root) if hasattr(root, "commands") else iter(()))
        elif kinds[at].metavar == "RUN":
            yield from _begins(last, _runs(call, given.get(HISTORY)))
        else:
            yield from _begins(last, _values(kinds[at].metavar or "", command.name, last, call))


def _walked(
    root: Any, before: Sequence[str], call: Call, given: dict[str, str]
) -> tuple[Any, list[str], Any, bool]:
    """The command that was typed, its arguments, the option whose value comes, ``--`` seen.

    The values of those options that decide which server answers are taken over.

    Args:
        given: takes the values of all options.
    """
    command, waiting = root, list(before)
    arguments: list[str] = []
    while waiting:
        word = waiting.pop(0)
        if word == "--":
            return command, arguments + waiting, None, True
        if word.startswith("-"):
            name, equals, value = word.partition("=")
            option = _found(command, name) or _found(root, name)
            if option is None or not takes_value(option):
                continue
            if not equals:
                if not waiting:
                    return command, arguments, option, False
                value = waiting.pop(0)
            given[name] = value
            if name in TAKEN:
                call.settings = TAKEN[name](call.settings, value)
        elif hasattr(command, "commands"):
            command = command.commands.get(word, command)
        else:
            arguments.append(word)
    return command, arguments, None, False


def _found(command: Any, name: str) -> Any:
    for option in command.params:
        if option.param_type_name == "option" and name in (*option.opts, *option.secondary_opts):
            return option
    return None


def _options(root: Any, command: Any) -> Found:
    for one in (command, root):
        for option in one.params:
            if option.param_type_name == "option" and not option.hidden:
                for name in (*option.opts, *option.secondary_opts):
                    if name.startswith("--"):
                        yield name, _short(option.help)
        if command is root:
            return


def _names(command: Any) -> Found:
    for name, inner in command.commands.items():
        if not inner.hidden:
            yield name, inner.get_short_help_str(60)


def _short(text: str | None) -> str:
    return (text or "").split(". ")[0].rstrip(".")


def _begins(last: str, found: Found) -> Found:
    """Those of the words that the last one begins; directives pass."""
    return ((word, told) for word, told in found if word.startswith((last, ":")))


TAKEN: dict[str, Callable[[Settings, str], Settings]] = {
    "--cert": lambda settings, value: replace(settings, cert=Path(value).expanduser()),
    "--home": lambda settings, value: replace(settings, home=Path(value).expanduser()),
    "--key-file": lambda settings, value: replace(settings, key_file=Path(value).expanduser()),
    "--server": lambda settings, value: replace(settings, server=value),
    "--view": lambda settings, value: replace(settings, view=value),
}


# -- values


def _values(metavar: str, command: str, last: str, call: Call) -> Found:
    """What may stand for an argument of a command, or for an option's value, by its metavar."""
    if metavar in OF_HOST:
        yield OF_HOST[metavar], ""
    elif "|" in metavar and metavar.replace("|", "").replace("_", "").isalpha():
        yield from ((word, "") for word in metavar.split("|") if not word.isupper())
    else:
        named = LIVE.get((metavar, command)) or LIVE.get((metavar, ""))
        if named is not None:
            try:
                yield from named(call, last)
            except FustorError:
                return  # nothing answers; TAB is no place for an error


def _views(call: Call, _last: str) -> Found:
    for view in call.get("/views").get("views") or ():
        yield str(view["view"]), str(view.get("root") or "")


def _pipes(call: Call, _last: str) -> Found:
    for pipe in call.client(agent_first=True).get("/pipes").get("pipes") or ():
        yield str(pipe["id"]), " ".join(pipe.get("flags") or ())


def _keys(call: Call, _last: str) -> Found:
    for key in call.get("/keys").get("keys") or ():
        yield str(key["id"]), ",".join(key.get("scopes") or ())


def _machines(_call: Call, _last: str) -> Found:
    from fustor_core.states import ALL

    for name in ALL:
        yield name, ""


def _runs(call: Call, folder: str | None) -> Found:
    """Recorded runs, the newest first; they are files of this host."""
    from fustor_core.cli.runs import runs_in

    yield FOLDERS, ""
    for run in reversed(runs_in(call, folder)):
        yield run.id, run.path.name[: len("2026-01-01_000000")].replace("_", " ")


def _nodes(call: Call, arguments: Sequence[str], folder: str | None) -> Found:
    """Nodes of the run that was typed, else of the newest."""
    from fustor_core.cli.runs import find

    try:
        run, _ = find(call, arguments[0] if arguments else None, folder)
    except FustorError:
        return
    for name in sorted({found[1] for found in map(NODE_FILE.match, _names_in(run.path)) if found}):
        yield name, ""


def _names_in(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _paths(call: Call, last: str) -> Found:
    """Files of this host, and ``VIEW:/…`` as the view knows them."""
    view, colon, place = last.partition(":")
    if not colon and call.local:
        yield FILES, ""
    if colon or last.startswith("/"):
        chosen = view if colon else call.view()
        folder, _, _name = (place if colon else last).rpartition("/")
        yield OPEN, ""
        yield from _entries(call, chosen, folder or "/", f"{view}:" if colon else "")
        return
    yield OPEN, ""
    for name, root in _views(call, last):
        yield f"{name}:/", root


def _entries(call: Call, view: str, folder: str, front: str) -> Found:
    params = {**path_params(folder.encode()), "limit": PAGE}
    for entry in call.get(address(view, "ls"), params).get("entries") or ():
        if "path" in entry:  # others are no UTF-8, which a shell's words have to be
            directory = entry["type"] == "dir"
            yield f"{front}{entry['path']}{'/' * directory}", "directory" if directory else ""


LIVE: dict[tuple[str, str], Callable[[Call, str], Found]] = {
    ("NAME", ""): _views,
    ("VIEW", ""): _views,
    ("ID", ""): _pipes,
    ("ID", "revoke"): _keys,
    ("ID", "rotate"): _keys,
    ("NAME", "show"): _machines,
    ("PATH", ""): _paths,
}
