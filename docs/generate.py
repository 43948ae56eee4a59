"""Writes the reference pages from the code: `python docs/generate.py`; `--check` only compares.

Commands from the command line's own tree, settings from the pydantic models and the drivers'
`Config`s, hooks from their specifications, the API from its OpenAPI. Texts are the code's; nothing
is written here by hand.
"""

from __future__ import annotations

import functools
import inspect
import json
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel

from fustor_core.cli.commands import walk

REFERENCE = Path(__file__).parent / "reference"
NOTE = "<!-- Written by docs/generate.py from the code; not to be edited. -->\n"


def cell(text: object) -> str:
    """Text as it may stand in one cell of a table."""
    return " ".join(str(text).split()).replace("|", "\\|")


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


# ------------------------------------------------------------------ commands


def spelled(option: Any) -> str:
    """``-q, --quiet`` or ``--limit N``, as it is typed."""
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    if option.is_flag or option.count:
        return names
    values = option.metavar or option.type.name.upper()
    return " ".join([names, *(f"`{value}`" for value in values.split("|"))])


def options_of(command: Any) -> list[Any]:
    return [
        parameter
        for parameter in command.params
        if parameter.param_type_name == "option" and not getattr(parameter, "hidden", False)
    ]


@functools.cache
def program() -> Any:
    """The whole tree of commands."""
    from fustor_core.cli.program import build

    return build()


def commands() -> str:
    """docs/reference/commands.md"""
    parts = [NOTE, "# Commands\n"]
    for words, command in walk(program(), ("fustor",)):
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


def told_hooks() -> dict[str, Callable[..., Any]]:
    """Those of pluggy."""
    from fustor_core import hookspecs

    return {
        name: member
        for name, member in vars(hookspecs).items()
        if inspect.isfunction(member) and name.startswith("fustor_")
    }


def state_hooks() -> dict[str, Callable[..., Any]]:
    """The methods of a StateHook, without their first argument."""
    from fustor_core import StateHook
    from fustor_core.state_runs.hook import EVENTS

    return {name: getattr(StateHook(), name) for name in EVENTS}


def specified_hooks() -> dict[str, Callable[..., Any]]:
    return {**told_hooks(), **state_hooks()}


def hooks() -> str:
    """docs/reference/hooks.md"""
    from fustor_core import StateHook, hookspecs

    parts = [NOTE, "# Hooks\n", f"{inspect.getdoc(hookspecs)}\n"]
    parts += described_hooks(told_hooks())
    parts.append("# `StateHook`\n")
    parts.append(prose(inspect.getdoc(StateHook) or ""))
    parts += described_hooks(state_hooks())
    return "\n".join(parts)


def described_hooks(specified: Mapping[str, Callable[..., Any]]) -> Iterator[str]:
    for name, member in specified.items():
        yield f"## `{name}`\n"
        yield f"```python\n{name}{inspect.signature(member, eval_str=True)}\n```\n"
        yield prose(inspect.getdoc(member) or "")


def prose(text: str) -> str:
    """A docstring as Markdown: its ``Args:`` and the like become lists."""
    lines = []
    for line in text.splitlines():
        if line in ("Args:", "Returns:", "Raises:", "Attributes:"):
            lines.append(f"**{line.removesuffix(':')}**\n")
        elif line.startswith("    ") and not line.startswith("     "):
            name, colon, meaning = line.strip().partition(": ")
            lines.append(f"- `{name}`: {meaning}" if colon else f"  {line.strip()}")
        else:
            lines.append(line if not line.startswith(" ") else f"  {line.strip()}")
    return "\n".join(lines) + "\n"


# ------------------------------------------------------------------ settings


@dataclass(frozen=True, slots=True)
class Setting:
    """One key: where it stands, what may stand there, and what it means."""

    key: str
    kind: str
    default: str
    meaning: str


def part(annotation: Any) -> tuple[type[BaseModel], bool] | None:
    """The model behind a field, and whether it stands under ids of the user's."""
    if typing.get_origin(annotation) in (dict, Mapping):
        inner = part(typing.get_args(annotation)[1])
        return (inner[0], True) if inner else None
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, False
    return None


def sections(model: type[BaseModel], place: str) -> Iterator[tuple[str, str, list[Setting]]]:
    """(place, what it is, its settings), the model's own first, then those of its parts."""
    rows = []
    below = []
    for name, field in model.model_fields.items():
        inner = part(field.annotation)
        key = f"{place}.{name}".removeprefix(".")
        if inner:
            below.append((inner[0], f"{key}.ID" if inner[1] else key))
        elif name != "options":  # the driver's own, which follow by driver
            rows.append(Setting(key, kind(field), default(field), cell(field.description or "")))
    if rows:
        yield place, inspect.getdoc(model) or "", rows
    for inner_model, key in below:
        yield from sections(inner_model, key)


def unit(field: Any, annotation: Any) -> str:
    """``duration`` or ``size`` where a text with a unit may stand, else an empty text."""
    from fustor_core.units import Seconds, Size

    for name, of in (("duration", Seconds), ("size", Size)):
        wanted = typing.get_args(of)[1]
        if wanted in field.metadata or wanted in getattr(annotation, "__metadata__", ()):
            return name
    return ""


def kind(field: Any, annotation: Any = None) -> str:
    annotation = field.annotation if annotation is None else annotation
    known = unit(field, annotation)
    if known:
        return known + (" or `null`" if type(None) in typing.get_args(annotation) else "")
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return kind(field, inner[0])
    if origin is Literal:
        return " ".join(f"`{value}`" for value in inner)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(kind(field, one) for one in inner)
    if origin in (list, tuple, set, frozenset):
        return f"list of {kind(field, inner[0])}"
    if origin in (dict, Mapping):
        return "mapping"
    texts = {bool: "`true` `false`", int: "integer", float: "number", type(None): "`null`"}
    return texts.get(annotation, "text")


def default(field: Any) -> str:
    from fustor_core.units import format_duration, format_size

    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    known = unit(field, field.annotation)
    if isinstance(value, int | float) and known:
        return f"`{format_duration(value) if known == 'duration' else format_size(int(value))}`"
    return f"`{value if isinstance(value, str) else json.dumps(value, default=str)}`"


def drivers() -> list[tuple[str, str, type[BaseModel]]]:
    """(kind, name, Config) of the drivers that ship with the engine."""
    from fustor_core.registry import KINDS, Registry

    registry = Registry()
    ours = {path.name for path in (REFERENCE.parents[1] / "plugins").iterdir()}
    return [
        (plugin.kind, plugin.name, registry.driver(plugin.kind, plugin.name).Config)
        for plugin in registry.plugins()
        if plugin.kind in KINDS and f"fustor_{plugin.kind}_{plugin.name}" in ours
    ]


@functools.cache
def settings() -> list[tuple[str, str, list[Setting]]]:
    """Every section of the configuration: heading, what it is, and its settings."""
    from fustor_core.config.model import Config

    found = []
    for place, meaning, rows in sections(Config, ""):
        found.append((f"`{place}`" if place else "The top", meaning, rows))
    for of, name, model in drivers():
        owned = list(sections(model, ""))
        rows = [row for _, _, rows in owned for row in rows]
        heading = f"Options of the {of} driver `{name}`"
        found.append((heading, "They stand beside `driver:`.", rows))
    return found


def configuration() -> str:
    """docs/reference/configuration.md"""
    parts = [NOTE, "# Configuration\n", f"{CONFIGURATION}\n"]
    for heading, meaning, rows in settings():
        parts.append(f"## {heading}\n")
        parts.append(f"{meaning}\n")
        lines = [(f"`{row.key}`", row.kind, row.default, row.meaning) for row in rows]
        if lines:
            parts.append(table(("key", "value", "default", "meaning"), lines))
    return "\n".join(parts)


CONFIGURATION = """\
YAML, in one file or in a folder of files that are merged. `ID` stands for a name of yours: lower
case letters, digits, `-` and `_`, beginning with a letter or digit, at most 64. An unknown or
repeated key is an error, said with file, line and column.

Durations are seconds or `250ms`, `30s`, `10m`, `2h`, `7d`; sizes are bytes or `64KiB`, `1MiB`,
`1GB`. In values, `${VAR}` and `${VAR:-x}` stand for environment variables, `${file:/path}` for the
contents of a file, `$$` for a dollar sign.

Without `-c`, `$FUSTOR_HOME/conf.d/*.yaml` is read, and
`$FUSTOR_HOME/agent-pipes-config/*.yaml` with one pipe a file and its `id:` at the top."""

# ------------------------------------------------------------------ the API


def openapi() -> dict[str, Any]:
    """The description that a server gives of itself at /openapi.json."""
    import anyio
    import httpx
    from fustor_receiver_http.app import build
    from fustor_receiver_http.bodies import Limits
    from fustor_receiver_http.files import Files
    from fustor_receiver_http.guard import Owner
    from fustor_receiver_http.live import Live
    from fustor_receiver_http.streams import Streams
    from fustor_receiver_http.tickets import TICKET_S, Tickets

    from fustor_core.testing import MemoryDoor
    from fustor_core.testing.receiver_kit import NoAnswers

    ask = NoAnswers()
    streams = Streams(heartbeat_s=1.0, stall_s=1.0, ended=ask.ended)
    live, files = Live(ask, streams), Files(())
    front = build(MemoryDoor(), ask, streams, Limits(), live, files, Tickets(TICKET_S))

    async def asked() -> dict[str, Any]:
        transport = httpx.ASGITransport(app=Owner(front))
        async with httpx.AsyncClient(transport=transport, base_url="http://docs") as client:
            described: dict[str, Any] = (await client.get("/openapi.json")).json()
            return described

    return anyio.run(asked)


def scope_of(method: str, path: str) -> str:
    """The right that a route needs."""
    from fustor_receiver_http.scopes import RULES

    from fustor_core.client import BASE

    rule = RULES.get((method, path)) or RULES.get((method, path.removeprefix(BASE)))
    right = None if rule is None else rule.right
    return "none" if right is None else f"`{right}`"


def api() -> str:
    """docs/reference/api.md"""
    described = openapi()
    parts = [NOTE, "# HTTP API\n", API]
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            parts.append(f"## `{method.upper()} {path}`\n")
            parts.append(f"{cell(operation.get('description') or operation.get('summary', ''))}\n")
            parts.append(f"Scope: {scope_of(method.upper(), path)}.\n")
            rows = [parameter_row(one) for one in operation.get("parameters", ())]
            if rows:
                parts.append(table(("parameter", "in", "value", "meaning"), rows))
            parts.append(f"Statuses: {', '.join(operation['responses'])}.\n")
    return "\n".join(parts)


def parameter_row(one: Mapping[str, Any]) -> tuple[str, ...]:
    schema = one.get("schema") or {}
    kinds = [schema, *schema.get("anyOf", ())]
    known = [str(kind.get("type")) for kind in kinds if kind.get("type") not in (None, "null")]
    words = [f"`{word}`" for kind in kinds for word in kind.get("enum", ())]
    value = " ".join(words) or " or ".join(dict.fromkeys(known)) or "text"
    if schema.get("default") is not None:
        value += f", `{schema['default']}`"
    return f"`{one['name']}`", one["in"], value, cell(one.get("description", ""))


API = """\
The server describes itself at `/openapi.json` and, for people, at `/docs`; this page is written
from the same. A key goes into `Authorization: Bearer fst_…` or `X-API-Key`; on the Unix socket none
is needed. Refusals are problem documents (`application/problem+json`): `type` ends with what went
wrong, `detail` says it, `remedy` what to do. What the documents hold is told by the commands that
show them with `--json`.
"""

PAGES: dict[str, Callable[[], str]] = {
    "api.md": api,
    "commands.md": commands,
    "configuration.md": configuration,
    "hooks.md": hooks,
}


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
