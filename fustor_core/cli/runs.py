"""Recorded runs for the commands of `fustor history`: found, read, and told to people."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fustor_core.cli import failure, figures
from fustor_core.cli.call import Call
from fustor_core.cli.names import safe
from fustor_core.cli.screen import Cell

if TYPE_CHECKING:
    from fustor_core.state_runs.folders import Read, RunFolder
    from fustor_core.state_runs.replaying import Story
    from fustor_core.state_runs.sealing import Keyring

Document = dict[str, Any]

HEADS = ("started", "lasted", "state", "nodes", "size", "run")
STYLES = {
    "succeeded": "green",
    "executing": "cyan",
    "retrying": "yellow",
    "failed": "red",
    "killed": "yellow",
    "unreadable": "red",
    "running": "cyan",
}


def folder_of(call: Call, given: str | None) -> Path:
    from fustor_core.state import StateDirectory

    home = StateDirectory(call.settings.home)
    return Path(os.path.abspath(given)) if given is not None else home.executions


def runs_in(call: Call, given: str | None) -> list[RunFolder]:
    from fustor_core.state_runs.folders import run_folders

    return run_folders(folder_of(call, given))


def find(call: Call, text: str | None, given: str | None) -> tuple[RunFolder, int | None]:
    """The run that is meant, and the change after which (``RUN@N``).

    Raises:
        Failure: there is none, or several fit.
    """
    from fustor_core.state_runs.folders import run_folder

    name, at, number = (text or "").rpartition("@")
    seq = int(number) if at and number.isdecimal() else None
    wanted = (name if seq is not None else text) or ""
    here = run_folder(Path(wanted)) if wanted else None
    if here is not None:
        return here, seq
    runs = runs_in(call, given)
    fit = [run for run in runs if wanted in run.path.name] if wanted else runs[-1:]
    exact = [run for run in fit if wanted in (run.id, run.path.name)]
    if len(exact or fit) == 1:
        return (exact or fit)[0], seq
    place = safe(str(folder_of(call, given)))
    if fit:
        named = ", ".join(run.id for run in fit[-5:])
        raise failure.usage(f"{wanted!r} fits several runs: {named}", remedy="give more of one id")
    what = f"no run {wanted!r}" if wanted else "no runs"
    raise failure.Failure(
        failure.NOT_FOUND,
        "no-such-run",
        f"{what} in {place}",
        remedy="name the folder with --state-history DIR; `fustor history list` lists its runs",
    )


def keyring(reference: str | None) -> Keyring | None:
    from fustor_core.state_runs.sealing import read_keyring

    return None if reference is None else read_keyring(reference, os.environ)[0]


def read_of(
    call: Call, text: str | None, given: str | None, key: str | None
) -> tuple[Read, int | None]:
    from fustor_core.state_runs.folders import read_run

    run, seq = find(call, text, given)
    return read_run(run, keyring(key)), seq


def told_of(read: Read) -> Story:
    """What the files of a run tell.

    Raises:
        Failure: nothing: not even its first file can be read (exit 9), or no key was given (6).
    """
    if read.story is None:
        raise failure.Failure(
            failure.DENIED if read.locked else failure.UNVERIFIED,
            "encrypted" if read.locked else "damaged",
            f"{read.folder.path.name}: {read.faults[0]}",
            remedy="" if ";" in read.faults[0] else "nothing can be told without that file",
            faults=read.faults,
        )
    return read.story


def tell_faults(call: Call, read: Read) -> int:
    """Tell what is wrong with the files of a run; the exit code that follows."""
    for fault in read.faults:
        if not call.settings.json:
            call.screen.say(f"{safe(read.folder.path.name)}: {safe(fault)}", "red")
    return failure.UNVERIFIED if read.faults else failure.OK


def brief(run: RunFolder, keys: Keyring | None) -> Document:
    """A run in a list."""
    from fustor_core.state_runs.folders import read_run

    read = read_run(run, keys)
    told = read.story
    ended = told.final["ext"].get("ended") if told and told.final else None
    nodes = {name for version in told.versions for name in version.changes} if told else set()
    return {
        "id": run.id,
        "folder": str(run.path),
        "started": stamp(told.header["start_timestamp"] if told else run.started),
        "ended": stamp(ended) if ended else None,
        "nodes": len(nodes),
        "complete": bool(told and told.complete and not read.faults),
        "state": read.state,
        "encrypted": read.sealed,
        "size_bytes": run.size_bytes,
        "faults": len(read.faults),
        "last_change": stamp(told.last_at) if told else None,
    }


def row(run: Document) -> list[Cell]:
    ended = run["ended"] or run["last_change"] or run["started"]
    lasted = datetime.fromisoformat(ended) - datetime.fromisoformat(run["started"])
    damaged = run["faults"] and run["state"] != "encrypted"
    state = run["state"] + (f", {run['faults']} faults" if damaged else "")
    return [
        figures.clock_time(run["started"]).partition(".")[0],
        figures.span(max(0.0, lasted.total_seconds())),
        (state, "red" if damaged else STYLES.get(run["state"], "")),
        str(run["nodes"]),
        figures.size(run["size_bytes"]),
        safe(run["id"]),
    ]


def document_of(read: Read, told: Story, seq: int | None) -> Document:
    from fustor_core.state_runs.replaying import state_at

    state = state_at(told, seq)
    final = told.final["ext"] if told.final else {}
    ext = {
        **told.ext,
        **state["ext"],
        "state": read.state,
        "folder": str(read.folder.path),
        "encrypted": read.sealed,
        "last_change": stamp(told.last_at),
        "attempts": told.attempts,
        "summed": told.summed,
        "faults": read.faults,
    }
    for key in ("ended", "reason", "phases", "report", "continued_by"):
        if key in final:
            ext[key] = final[key]
    return {**state, "ext": ext}


def tell(call: Call, read: Read, document: Document) -> None:
    screen, ext, context = call.screen, document["ext"], document["context"]
    state = screen.painted(ext["state"], STYLES.get(ext["state"], ""))
    started = stamp(document["start_timestamp"])
    screen.line(
        f"{screen.painted(document['id'], 'bold')} {state}, began {started}; {end_of(read)}"
    )
    roles = "+".join(ext.get("roles") or ())
    screen.line(
        f"fustor {safe(document['version'])} ({safe(roles)}), process {ext.get('pid')},"
        f" configuration {safe(document['config_hash'])}"
    )
    for word, name in (("continues", "continues"), ("continued_by", "goes on in")):
        if ext.get(word):
            screen.line(f"{name} {safe(str(ext[word]))}")
    screen.line(f"plugins {safe(' '.join(context['active_plugins'])) or 'none'}")
    for name, place in context["artifacts"].items():
        screen.line(f"artifact {safe(name)}: {safe(place)}")
    rows: list[list[Cell]] = [
        [(head, "dim") for head in ("node", "status", "attempts", "time", "")]
    ]
    for name, node in document["nodes"].items():
        error = (node.get("error") or {}).get("message", "")
        rows.append(
            [
                safe(name),
                (node["status"], STYLES.get(node["status"], "")),
                str(ext["attempts"].get(name, 1)),
                figures.span(node["execution_time"]) if node["execution_time"] else "",
                safe(error),
            ]
        )
    screen.table(rows, right="  >>")


def line_of(version: Any, name: str, before: Document | None, node: Document) -> str:
    """One change of a node, for people."""
    old = (before or {}).get("status")
    status = node["status"] if old in (None, node["status"]) else f"{old} → {node['status']}"
    error = (node.get("error") or {}).get("message") if node["status"] != "succeeded" else None
    took = figures.span(node["execution_time"]) if node["status"] == "succeeded" else ""
    more = safe(str(error)) if error else took
    line = f"{version.seq:>5}  {stamp(version.at)}  {safe(name)}  {status}"
    return f"{line}  {more}" if more else line


def end_of(read: Read) -> str:
    told = read.story
    if told is None:
        return "nothing can be told of it"
    if told.final is not None:
        return f"{told.final['ext'].get('reason', 'ended')} {stamp(told.final['ext']['ended'])}"
    if read.state == "running":
        return "it goes on"
    return f"it was killed; the last that is known is of {stamp(told.last_at)}"


def stamp(at: float) -> str:
    """RFC 3339, UTC, milliseconds."""
    text = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 120 else f"{text[:119]}…"
