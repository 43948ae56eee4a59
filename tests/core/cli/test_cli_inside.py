"""`machines`, `plugin`, `doctor`, `init`, `validate`, `config`: what needs no server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from fustor_core import doctor
from fustor_core.driven import Driven
from fustor_core.errors import ConfigError
from fustor_core.machine import Move
from fustor_core.registry import Registry
from fustor_core.states import ALL

Fustor = Callable[..., Any]


# ------------------------------------------------------------------ machines, plugins


def test_machines(fustor: Fustor) -> None:
    listed = fustor("machines", "list", "--json").document["machines"]
    names = [machine["name"] for machine in listed]
    assert {"pipeline", "fusion_pipeline", "session", "leadership"} <= set(names)
    pipeline = next(machine for machine in listed if machine["name"] == "pipeline")
    assert {"name": "DRAINING", "value": 512} in pipeline["states"]
    assert len(fustor("machines", "list").lines) == len(names)
    for name in names:
        shown = fustor("machines", "show", name, "--json").document
        assert set(shown) == {"name", "initial", "states", "rules"}
        assert fustor("machines", "show", name, "--mermaid").out.startswith(b"stateDiagram-v2")
        assert shown["initial"].encode() in fustor("machines", "show", name).out
    assert fustor("machines", "show", "nope").code == 5


def test_machines_are_sound(fustor: Fustor) -> None:
    checks = fustor("machines", "check", "--json").document["checks"]
    assert all(check["ok"] for check in checks), checks
    assert fustor("machines", "check").code == 0


def test_what_was_driven_is_read_from_the_homes(fustor: Fustor, home: Path, tmp_path: Path) -> None:
    done = fustor("machines", "check", "--driven", "--json")
    assert done.code == 9
    assert {machine["name"] for machine in done.document["machines"]} == set(ALL)
    assert all(not machine["states_driven"] for machine in done.document["machines"])

    def record(place: Path, tables: Iterable[Any]) -> None:
        place.parent.mkdir(parents=True)
        driven = Driven(place)
        for table in tables:
            for state in table.reachable():
                for event, target in table.edges(state):
                    driven.record(Move(table.name, "x", event, state, target))

    record(home / "fusion" / "driven.jsonl", list(ALL.values())[:2])
    done = fustor("machines", "check", "--driven")
    assert done.code == 9
    assert b"  never entered: LEADING" in done.lines
    assert b"  never driven: LEADING --lapse-> LAPSED" in done.lines
    other = tmp_path / "other"
    record(other / "agent" / "driven.jsonl", list(ALL.values())[2:])
    done = fustor("machines", "check", "--driven", "--also", str(other), "--jsonl")
    assert done.code == 0
    shown = [json.loads(line) for line in done.lines]
    assert [machine["edges_missing"] for machine in shown] == [[]] * len(ALL)
    assert fustor("machines", "check", "--also", str(other)).code == 2


def test_plugins_are_listed_without_import(fustor: Fustor, program: Fustor) -> None:
    listed = fustor("plugin", "list", "--json").document["plugins"]
    assert [(plugin["kind"], plugin["name"]) for plugin in listed] == [
        (plugin.kind, plugin.name) for plugin in Registry().plugins()
    ]
    assert len(fustor("plugin", "list").lines) == max(len(listed), 0)


# ------------------------------------------------------------------ doctor


def test_doctor(fustor: Fustor, home: Path) -> None:
    done = fustor("doctor", "--json")
    checks = {check["name"]: check for check in done.document["checks"]}
    assert done.code == (0 if all(check["ok"] for check in checks.values()) else 1)
    assert {
        "python",
        "earlier system",
        "source fs",
        "inotify max_user_watches",
        "fanotify",
        "clock",
        "state permissions",
        "state free space",
        "open files",
    } <= set(checks)
    for check in checks.values():
        assert set(check) == {"name", "ok", "found", "wanted", "remedy"}
        assert check["ok"] or check["remedy"]
    assert str(home) in checks["state permissions"]["found"]
    assert not home.exists(), "looking changes nothing"
    assert len(fustor("doctor").lines) >= len(checks)


def test_what_a_pipe_warns_of_is_amiss() -> None:
    warning = "an answer was 9.0 s old, and the mount says 3 s; set `cache_bound: 14`"
    quiet, loud = doctor.pipes([{"id": "a", "warnings": []}, {"id": "b", "warnings": [warning]}])
    assert (quiet.name, quiet.ok) == ("pipe a", True)
    assert (loud.name, loud.ok) == ("pipe b", False)
    assert loud.found == "an answer was 9.0 s old, and the mount says 3 s"
    assert loud.remedy == "set `cache_bound: 14`"


def limits(folder: Path, **figures: int) -> Path:
    for name, figure in figures.items():
        (folder / name).write_text(f"{figure}\n")
    return folder


def test_watch_limits_are_held_against_the_need(tmp_path: Path) -> None:
    folder = limits(
        tmp_path, max_user_watches=8192, max_queued_events=16384, max_user_instances=128
    )
    few = {check.name: check for check in doctor.watch_limits(folder, 5000)}
    assert all(check.ok for check in few.values())
    many = {check.name: check for check in doctor.watch_limits(folder, 100_000)}
    wrong = many["inotify max_user_watches"]
    assert not wrong.ok
    assert wrong.found == "8,192"
    assert "100,000" in wrong.wanted
    assert "fs.inotify.max_user_watches=110000" in wrong.remedy
    assert many["inotify max_queued_events"].ok
    (tmp_path / "max_user_watches").unlink()
    assert not next(iter(doctor.watch_limits(folder, 10))).ok


def test_the_state_directory_is_yours_alone(tmp_path: Path) -> None:
    home = tmp_path / "state"

    def permissions() -> doctor.Check:
        return next(c for c in doctor.state_directory(home) if c.name == "state permissions")

    assert permissions().ok
    home.mkdir(mode=0o700)
    assert permissions().ok
    home.chmod(0o755)
    assert not permissions().ok
    assert "chmod 700" in permissions().remedy
    home.rmdir()
    home.write_text("")
    assert not permissions().ok


def test_what_cannot_be_right_is_found() -> None:
    assert not doctor.python((3, 10)).ok
    assert doctor.python((3, 11)).ok
    assert not doctor.clock(lambda: 86_400.0).ok
    assert doctor.clock().ok

    def beside() -> None:
        raise ConfigError("fustor-core 0.8 is installed", remedy="uninstall it")

    assert not doctor.earlier_system(beside).ok
    assert doctor.earlier_system(lambda: None).ok


def test_doctor_knows_how_many_directories_are_watched(
    fustor: Fustor, server: Any, make: Any
) -> None:
    view = make.view_status("data", b"/", dirs=123_456_789)
    server.answer("/status", {"views": [view], "pipes": []})
    done = fustor("doctor", "--json")
    wanted = {check["name"]: check for check in done.document["checks"]}
    assert "123,456,789 directories" in wanted["inotify max_user_watches"]["wanted"]
    assert done.code == 1


def test_directories_below_a_mark_need_no_watch(fustor: Fustor, server: Any, make: Any) -> None:
    view = make.view_status("data", b"/", dirs=123_456_789)
    pipe = {
        "id": "data",
        "source": "rooms",
        "watched_by": "fanotify",
        "watched_why": "",
        "watched_dirs": 123_456_789,
    }
    server.answer("/status", {"views": [view], "pipes": []})
    server.answer("/pipes", {"pipes": [pipe, {**pipe, "id": "other", "watched_by": "inotify"}]})
    done = fustor("doctor", "--json")
    checks = {check["name"]: check for check in done.document["checks"]}
    assert "0 directories" in checks["inotify max_user_watches"]["wanted"]
    found = checks["watching of data"]["found"]
    assert found == "fanotify, one mark for 123,456,789 directories"


# ------------------------------------------------------------------ configuration


@pytest.mark.parametrize(
    ("kind", "file"),
    [
        ("up", "conf.d/fustor.yaml"),
        ("agent", "agent-pipes-config/my-pipe.yaml"),
        ("fusion", "conf.d/fusion.yaml"),
    ],
)
def test_init_writes_what_validates(
    fustor: Fustor, home: Path, kind: str, file: str, tmp_path: Path, monkeypatch: Any
) -> None:
    from fustor_core.config import load_config

    here = tmp_path / 'odd "$HOME" ü'
    here.mkdir()
    monkeypatch.chdir(here)
    done = fustor("init", "--kind", kind, "--json")
    assert (done.code, done.document) == (0, {"written": [str(home / file)]})
    config = load_config([home], {}).config
    roots = [pipe.source.options["root"] for pipe in config.pipes.values()]
    assert roots == ([str(here)] if kind != "fusion" else [])
    assert fustor("init", "--kind", kind).code == 8, "it never overwrites"
    assert home.stat().st_mode & 0o77 == 0


def test_init_elsewhere(fustor: Fustor, tmp_path: Path, home: Path) -> None:
    done = fustor("init", str(tmp_path / "conf"))
    assert done.out == str(tmp_path / "conf" / "conf.d" / "fustor.yaml").encode() + b"\n"
    assert "fustor run -c" in done.err
    assert not home.exists()
    assert fustor("init", "--kind", "king").code == 2


def test_validate(fustor: Fustor, tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("version: 1\nviews: {files: {}}\n")
    assert fustor("validate", str(file), "--json").document == {"valid": True, "errors": []}
    file.write_text("version: 1\nviews: {files: {}}\npipe: {}\nlog: {level: laud}\n")
    told = fustor("validate", str(file), "--json")
    assert told.code == 3
    assert told.document["valid"] is False
    first, second = told.document["errors"]
    assert (first["file"], first["line"], first["suggestion"]) == (str(file), 3, "pipes")
    assert (second["line"], second["key"]) == (4, "log.level")
    plain = fustor("validate", str(file))
    assert plain.code == 3
    assert f"{file}:3:1: " in plain.err
    assert "    3 | pipe: {}\n        ^" in plain.err
    assert "suggestion: pipes" in plain.err
    assert plain.err.count("fustor: ") == 2
    assert fustor("validate", str(tmp_path / "nope.yaml")).code == 3


def test_run_refuses_a_faulty_file(fustor: Fustor, tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("pipe: {}\n")
    done = fustor("run", "-c", str(file))
    assert done.code == 3
    assert f"{file}:1:1" in done.err


def test_run_has_to_have_something_to_run(fustor: Fustor) -> None:
    done = fustor("run")
    assert done.code == 3
    assert "fustor init" in done.err


def test_run_names_a_root_that_is_missing(fustor: Fustor, tmp_path: Path) -> None:
    from fustor_core.registry import Registry

    if "fs" not in Registry().names("source"):
        pytest.skip("needs the driver `fs`, which is a plugin")
    file = tmp_path / "c.yaml"
    file.write_text(
        "views: {v: {}}\npipes:\n  p:\n    source:\n      driver: fs\n      root: /no/such\n"
        "    sink: {driver: view, view: v}\n"
    )
    done = fustor("run", "-c", str(file))
    assert done.code == 3
    assert f"{file}:6:13: /no/such does not exist" in done.err


def test_config_show(fustor: Fustor, home: Path) -> None:
    (home / "conf.d").mkdir(parents=True)
    file = home / "conf.d" / "a.yaml"
    file.write_text("log: {level: debug}\nviews: {files: {}}\n")
    values = fustor("config", "show", "--json").document["values"]
    assert values["log.level"] == {"value": "debug", "origin": f"{file}:1:7"}
    assert "log.format" not in values
    everything = fustor("config", "show", "--effective", "--json").document["values"]
    assert everything["log.format"]["origin"] == "default"
    assert b"debug" in fustor("config", "show").out


def test_config_show_of_what_runs(fustor: Fustor, server: Any) -> None:
    values = {"log.level": {"value": "info", "origin": "fustor up"},
              "log.format": {"value": "auto", "origin": "default"}}  # fmt: skip
    server.answer("/config", {"values": values})
    assert fustor("config", "show", "--effective", "--json").document == {"values": values}
    assert list(fustor("config", "show", "--json").document["values"]) == ["log.level"]


def test_config_schema(fustor: Fustor, tmp_path: Path) -> None:
    schema = fustor("config", "schema").document
    assert schema["$schema"].endswith("2020-12/schema")
    out = tmp_path / "s.json"
    assert fustor("config", "schema", "--out", str(out)).code == 0
    assert json.loads(out.read_text()) == schema
