"""`fustor init|validate|config`: configuration made, checked and shown."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fustor_core.cli import failure
from fustor_core.cli.call import Call
from fustor_core.cli.commands import group
from fustor_core.cli.names import safe
from fustor_core.cli.screen import Cell
from fustor_core.cli.templates import template
from fustor_core.errors import ConfigError, PluginError, Refused, SlowDown, Unreachable

if TYPE_CHECKING:
    from pydantic import BaseModel

    from fustor_core.registry import Registry

DEFAULT = "default"


def join(app: typer.Typer) -> None:
    """Adds the commands of this file to the program."""
    app.command("init")(init)
    app.command("validate")(validate)


def groups() -> dict[str, typer.Typer]:
    """The groups of this file, by name."""
    config = group("Look at the configuration.")
    config.command("show")(config_show)
    config.command("schema")(config_schema)
    return {"config": config}


def init(
    ctx: typer.Context,
    folder: Annotated[
        str | None,
        typer.Argument(metavar="DIR", help="Where; else in the state directory."),
    ] = None,
    kind: Annotated[
        str, typer.Option("--kind", metavar="up|agent|fusion", help="What it is to be run as.")
    ] = "up",
) -> int:
    """Write a first configuration, to be edited.

    Never overwrites a file.
    """
    call: Call = ctx.obj
    place = call.settings.home if folder is None else Path(folder)
    made = template(kind, Path.cwd(), call.settings.home)
    target = place / made.name
    if os.path.lexists(target):
        raise failure.Failure(
            failure.CONFLICT,
            "exists",
            f"{target} is there already; nothing was written",
            remedy="edit it, or give another DIR",
        )
    place.parent.mkdir(parents=True, exist_ok=True)
    for one in (place, target.parent):
        one.mkdir(mode=0o700 if folder is None else 0o777, exist_ok=True)
    with target.open("x", encoding="utf-8") as file:
        file.write(made.text)
    if call.settings.documents:
        call.screen.document({"written": [str(target)]})
    else:
        call.screen.line(safe(str(target)))
        where = "" if folder is None else f" -c {place}"
        call.screen.note(f"edit it, then: fustor validate {target}; fustor {made.command}{where}")
    return failure.OK


def validate(
    ctx: typer.Context,
    files: Annotated[
        list[str] | None, typer.Argument(metavar="FILE", help="Files, or folders of them.")
    ] = None,
) -> int:
    """Check configuration files.

    Every fault with its line and a suggestion. Exit 3: there are faults.
    """
    from fustor_core.config import check_config
    from fustor_core.registry import Registry

    call: Call = ctx.obj
    paths = chosen_files(call, files)
    loaded, errors = check_config(paths, os.environ, model_of=model_of(Registry()))
    faults = [_fault(error) for error in errors]
    if call.settings.documents:
        call.screen.document({"valid": loaded is not None, "errors": faults})
        return failure.CONFIG if errors else failure.OK
    for error in errors:
        for line in failure.told(error):
            call.screen.say(line)
    if not errors:
        named = ", ".join(str(path) for path in paths)
        call.screen.note(f"valid: {named or 'there are no files'}", "green")
    return failure.CONFIG if errors else failure.OK


def config_show(
    ctx: typer.Context,
    effective: Annotated[
        bool, typer.Option("--effective", help="Defaults too, not only what was set.")
    ] = False,
    role: Annotated[
        str | None, typer.Option("--role", metavar="agent|fusion", help="Of this part.")
    ] = None,
) -> int:
    """Show the settings and where each comes from.

    Those of what runs here, agent and fusion; when nothing runs, those of the files.
    """
    call: Call = ctx.obj
    if role not in (None, "agent", "fusion"):
        raise failure.usage(f"--role {role}: it is agent or fusion")
    values, source = _values(call, role)
    if not effective:
        values = {key: item for key, item in values.items() if item.get("origin") != DEFAULT}
    if call.settings.documents:
        call.screen.document({"values": values})
        return failure.OK
    rows: list[list[Cell]] = [
        [(safe(key), "bold"), safe(_short(item.get("value"))), (safe(str(item["origin"])), "dim")]
        for key, item in values.items()
    ]
    call.screen.table(rows)
    call.screen.flush()
    call.screen.note(f"{source}" if values else f"{source}: nothing is set; see --effective")
    return failure.OK


def config_schema(
    ctx: typer.Context,
    out: Annotated[
        str | None, typer.Option("--out", metavar="F", help="Into this file instead.")
    ] = None,
) -> int:
    """Print the JSON Schema of the configuration, for editors."""
    from fustor_core.config import json_schema
    from fustor_core.registry import KINDS, Registry

    call: Call = ctx.obj
    registry = Registry()
    models: dict[tuple[str, str], type[BaseModel]] = {}
    for kind in KINDS:
        for name in registry.names(kind):
            try:
                models[kind, name] = registry.driver(kind, name).Config
            except PluginError as error:
                call.screen.note(f"left out: {error.message}", "yellow")
    schema = json_schema(models)
    if out is None:
        call.screen.document(schema)
    else:
        Path(out).write_text(json.dumps(schema, indent=2) + "\n", encoding="utf-8")
        call.screen.note(f"written: {out}")
    return failure.OK


def chosen_files(call: Call, files: Sequence[str] | None) -> list[Path]:
    """The files and folders of the command line, else the state directory if there is one."""
    home = call.settings.home
    return [Path(file) for file in files or ()] or ([home] if home.is_dir() else [])


def model_of(registry: Registry) -> Callable[[str, str], type[BaseModel]]:
    """Asks the registry for the settings of a driver."""

    def ask(kind: str, name: str) -> type[BaseModel]:
        model: type[BaseModel] = registry.driver(kind, name).Config
        return model

    return ask


def _values(call: Call, role: str | None) -> tuple[dict[str, Mapping[str, Any]], str]:
    """All settings, of the running processes or of the files, and which of both it was."""
    try:
        running: dict[str, Mapping[str, Any]] = {}
        for client in call.processes(role):
            # What an agent has of fusion's part is not from the files, and fusion's own counts.
            running = {**(client.get("/config").get("values") or {}), **running}
        return running, "as it runs"
    except (Unreachable, SlowDown, Refused):
        if not call.local:
            raise
    from fustor_core.config import ROLES, effective, load_config
    from fustor_core.registry import Registry

    ask = model_of(Registry())
    files, roles = chosen_files(call, None), ROLES if role is None else (role,)
    loaded = load_config(files, os.environ, model_of=ask, roles=roles)
    return dict(effective(loaded, ask)), f"nothing runs; as in the files of {call.settings.home}"


def _fault(error: ConfigError) -> dict[str, Any]:
    return {
        "file": error.file,
        "line": error.line,
        "column": error.column,
        "key": error.key,
        "message": error.message,
        "suggestion": error.suggestion,
    }


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
