"""`fustor service install|remove`: the program kept running by systemd."""

from __future__ import annotations

import difflib
import os
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from fustor_core.cli import failure, systemd
from fustor_core.cli.call import Call
from fustor_core.cli.commands import group
from fustor_core.cli.names import safe

Role = Annotated[
    str, typer.Argument(metavar="up|run|agent|fusion", help="What it is to be run as.")
]
Folders = Annotated[
    list[str] | None, typer.Argument(metavar="DIR", help="For up: the directories.")
]
OfUser = Annotated[bool, typer.Option("--user", help="A service of your own, not of the system.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show what would be written or removed; change nothing.")
]


def groups() -> dict[str, typer.Typer]:
    """The groups of this file, by name."""
    service = group("Let systemd keep the program running.")
    service.command("install")(install)
    service.command("remove")(remove)
    return {"service": service}


def install(
    ctx: typer.Context,
    role: Role,
    folders: Folders = None,
    user: OfUser = False,
    dry_run: DryRun = False,
) -> int:
    """Write a unit for this program and its state directory, and say how it is begun.

    The state lies under --home, else in /var/lib/fustor for a service of the system. A unit that
    was changed is not overwritten without --yes.
    """
    call: Call = ctx.obj
    unit = _unit(call, role, folders or [], user=user)
    target, text = unit.folder / unit.name, unit.text()
    old = _old(target)
    if dry_run:
        _show(call, target, old, text)
        return failure.OK
    if old not in (None, text) and not call.settings.yes:
        raise failure.Failure(
            failure.CONFLICT,
            "exists",
            f"{target} is there already and differs; nothing was written",
            remedy="look with --dry-run what would change; write it with --yes",
        )
    _write(target, text)
    if call.settings.documents:
        call.screen.document({"written": [str(target)]})
        return failure.OK
    call.screen.line(safe(str(target)))
    if not user and _in_a_home(unit.program):
        call.screen.say(
            f"{unit.program} lies in somebody's home, where the service may not look; install the "
            "program elsewhere, e.g. with a virtual environment in /opt/fustor",
            "yellow",
        )
    call.screen.note(f"begin it: {unit.control} daemon-reload && {_enable(unit)}")
    call.screen.note(f"ask it:   {_program()} --home {unit.home} status")
    if role in ("run", "agent", "fusion"):
        call.screen.note(f"configure it first, where that is not done: {_configure(unit)}")
    return failure.OK


def remove(ctx: typer.Context, role: Role, user: OfUser = False, dry_run: DryRun = False) -> int:
    """Take the unit away again; what it has stored stays."""
    call: Call = ctx.obj
    unit = _unit(call, role, ["/"], user=user)
    target = unit.folder / unit.name
    if not target.exists():
        raise failure.Failure(failure.NOT_FOUND, "absent", f"{target} is not there")
    if not dry_run:
        target.unlink()
    if call.settings.documents:
        call.screen.document({"removed": [] if dry_run else [str(target)]})
        return failure.OK
    call.screen.line(safe(str(target)))
    call.screen.note(
        f"end what still runs: {unit.control} disable --now {unit.name}; "
        f"{unit.control} daemon-reload"
    )
    return failure.OK


def _unit(call: Call, role: str, folders: list[str], *, user: bool) -> systemd.Unit:
    if role not in systemd.ROLES:
        named = ", ".join(systemd.ROLES)
        raise failure.usage(f"no role {role!r}", remedy=f"there are: {named}")
    if bool(folders) != (role == "up"):
        told = "needs the directories" if role == "up" else "takes its roots from the configuration"
        raise failure.usage(f"{role} {told}", remedy="fustor service install up /data")
    given = call.settings.home_given
    home = call.settings.home if given or user else systemd.HOME
    paths = [os.path.abspath(folder) for folder in folders]
    return systemd.Unit(role, _program(), home.absolute(), paths, user)


def _program() -> Path:
    """This program, so that the unit runs what the user has tried."""
    beside = Path(sys.executable).with_name("fustor")
    found = beside if beside.exists() else Path(shutil.which("fustor") or sys.argv[0])
    return found.absolute()


def _in_a_home(program: Path) -> bool:
    return any(program.is_relative_to(folder) for folder in ("/home", "/root", "/run/user"))


def _old(target: Path) -> str | None:
    try:
        return target.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _write(target: Path, text: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".{target.name}.new")
    fresh.write_text(text, encoding="utf-8")
    fresh.chmod(0o644)
    fresh.replace(target)


def _show(call: Call, target: Path, old: str | None, text: str) -> None:
    if call.settings.documents:
        call.screen.document({"path": str(target), "text": text, "differs": old != text})
        return
    call.screen.note(str(target) if old is None else f"{target} is there already")
    if old in (None, text):
        call.screen.line(text, end="")
        return
    lines = difflib.unified_diff(
        old.splitlines(), text.splitlines(), "as it is", "as it would be", lineterm=""
    )
    for line in lines:
        call.screen.line(safe(line))


def _enable(unit: systemd.Unit) -> str:
    return f"{unit.control} enable --now {unit.name}"


def _configure(unit: systemd.Unit) -> str:
    kind = "up" if unit.role == "run" else unit.role
    return f"{_program()} --home {unit.home} init --kind {kind}"
