"""The configuration: its defaults, its files, how they merge."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from fustor_core.config import (
    Config,
    ConfigErrors,
    Overrides,
    check_config,
    load_config,
)
from fustor_core.errors import PluginError
from fustor_core.units import Seconds

# interfaces.md §5 word for word, secrets and TLS apart.
PUBLISHED = """
version: 1
agent: {id: null, spool_bytes: 256MiB, drain_timeout: 30s}
pipes:
  my-pipe:
    source: {driver: fs, root: /data, exclude: [], cross_filesystems: false, watch: auto}
    sink: {driver: fusion, url: "https://fusion:8102", key: "${file:push}", view: projects, ca: null, timeout: 10s}
    follower: realtime
    on_max_errors: continue
    session_timeout_seconds: 30
    heartbeat_interval_sec: 10
    audit_interval_sec: 600
    audit: {directories: 60s, full: 24h, deep_every: 10, rate: auto}
    sentinel_interval_sec: 120
    error_retry_interval: 5.0
    max_consecutive_errors: 5
    backoff_multiplier: 2
    max_backoff_seconds: 60
    disabled: false
views:
  projects:
    driver: file
    arbitrator: {driver: fs, hot_file_threshold: 30, loose_age: 1h, cache_bound: auto}
    memory_budget: null
    mass_delete_guard: {count: 1000, ratio: 0.10, second_look: 60s}
    session_timeout_seconds: 30
    audit_interval_sec: 600
    sentinel_interval_sec: 120
    max_sessions: 10000
  scratch:
forests:
  all: {views: [projects, scratch], best: complete}
receivers:
  main: {driver: http, listen: ["unix", "127.0.0.1:8102"], behind_proxy: false}
  old: {driver: v08, listen: ["127.0.0.1:8103"], view: projects}
log: {level: info, format: auto}
state: {history: null, encryption_key: null, vis_update_rate: 4}
"""  # noqa: E501 - the published form
SEED_002 = """
id: my-pipe
source: {driver: fs, root: /data}
sink: {driver: view, view: data}
session_timeout_seconds: 30
heartbeat_interval_sec: 10
audit_interval_sec: 600
sentinel_interval_sec: 120

# Advanced Reliability Settings
error_retry_interval: 5.0
max_consecutive_errors: 5
backoff_multiplier: 2
max_backoff_seconds: 60
"""
VIEW = "views: {data: {}}"


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    def put(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return put


Write = Callable[[str, str], Path]


def messages(caught: pytest.ExceptionInfo[ConfigErrors]) -> list[str]:
    return [error.message for error in caught.value.errors]


def test_nothing_at_all_gives_the_defaults() -> None:
    config = load_config([], {}).config
    assert config == Config()
    assert config.receivers["main"].driver == "http"
    assert config.receivers["main"].options == {"listen": ["unix"]}


def test_the_published_form_is_read_and_states_the_defaults(write: Write) -> None:
    write("push", "fst_id_secret\n")
    config = load_config([write("all.yaml", PUBLISHED)], {}).config
    pipe = config.pipes["my-pipe"]
    assert pipe.sink.options["key"] == "fst_id_secret"
    assert pipe.view == "projects"
    defaults = Config.model_validate(
        {
            "pipes": {"my-pipe": {"source": pipe.source, "sink": pipe.sink}},
            "views": {"projects": {}, "scratch": {}},
        }
    )
    assert pipe.model_dump(exclude={"source", "sink"}) == defaults.pipes["my-pipe"].model_dump(
        exclude={"source", "sink"}
    )
    same = {"session_timeout_seconds", "audit_interval_sec", "sentinel_interval_sec", "driver"}
    for key in same | {"max_sessions"}:
        assert getattr(config.views["projects"], key) == getattr(defaults.views["projects"], key)
    assert (config.agent, config.log, config.state) == (
        defaults.agent,
        defaults.log,
        defaults.state,
    )
    assert config.views["projects"].options == {
        "memory_budget": None,
        "mass_delete_guard": {"count": 1000, "ratio": 0.10, "second_look": "60s"},
    }
    assert config.views["scratch"].arbitrator.driver == "fs"
    assert config.forests["all"].views == ["projects", "scratch"]


def test_defaults_of_the_seeds() -> None:
    pipe = Config.model_validate(
        {"pipes": {"p": {"source": {"driver": "x"}, "sink": {"driver": "x"}}}}
    ).pipes["p"]
    assert (pipe.session_timeout_seconds, pipe.heartbeat_interval_sec) == (30, 10)
    assert (pipe.audit_interval_sec, pipe.sentinel_interval_sec) == (600, 120)
    assert (pipe.error_retry_interval, pipe.max_consecutive_errors) == (5.0, 5)
    assert (pipe.backoff_multiplier, pipe.max_backoff_seconds) == (2, 60)
    assert not pipe.chosen("audit_interval_sec")


def test_one_pipe_a_file(write: Write, tmp_path: Path) -> None:
    write("agent-pipes-config/my-pipe.yaml", SEED_002)
    write("conf.d/10-views.yaml", VIEW)
    loaded = load_config([tmp_path], {})
    pipe = loaded.config.pipes["my-pipe"]
    assert pipe.chosen("audit_interval_sec")
    assert pipe.source.options == {"root": "/data"}
    assert [file.name for file in loaded.merged.files] == ["my-pipe.yaml", "10-views.yaml"]


def test_a_pipe_file_may_be_named_directly(write: Write) -> None:
    paths = [write("any.yaml", SEED_002), write("views.yaml", VIEW)]
    assert list(load_config(paths, {}).config.pipes) == ["my-pipe"]


@pytest.mark.parametrize("key", ["heartbeat_interval_sec", "heartbeat_interval_seconds"])
@pytest.mark.parametrize("full", [False, True])
def test_both_spellings_of_the_heartbeat(write: Write, key: str, full: bool) -> None:
    pipe = SEED_002.replace("heartbeat_interval_sec: 10", f"{key}: 7")
    if full:
        lines = pipe.strip().splitlines()[1:]
        pipe = "pipes:\n  my-pipe:\n" + "".join(f"    {line}\n" for line in lines)
    config = load_config([write("a.yaml", pipe), write("b.yaml", VIEW)], {}).config
    assert config.pipes["my-pipe"].heartbeat_interval_sec == 7


def test_a_folder_is_its_yaml_files_in_order(write: Write, tmp_path: Path) -> None:
    write("conf/20.yml", "views: {b: {}}\nlog: {level: debug}")
    write("conf/10.yaml", "views: {a: }\nlog: {format: json}\nversion: 1")
    write("conf/.hidden.yaml", "nonsense: 1")
    write("conf/notes.txt", "nonsense: 1")
    write("conf/old.yaml~", "nonsense: 1")
    write("conf/empty.yaml", "# nothing\n")
    write("conf/also-empty.yaml", "")
    config = load_config([tmp_path / "conf"], {}).config
    assert list(config.views) == ["a", "b"]
    assert (config.log.level, config.log.format) == ("debug", "json")


def test_files_named_twice_are_read_once(write: Write) -> None:
    path = write("a.yaml", VIEW)
    assert list(load_config([path, path, path.parent], {}).config.views) == ["data"]


def test_duplicates_across_files_name_both_places(write: Write) -> None:
    first = write("10.yaml", "views:\n  data: {}\nlog:\n  level: info\n")
    second = write("20.yaml", "log: {level: info}\nviews:\n  data: {driver: file}\n")
    with pytest.raises(ConfigErrors) as caught:
        load_config([first.parent], {})
    assert [(e.file, e.line, e.column) for e in caught.value.errors] == [
        (str(second), 1, 7),
        (str(second), 3, 3),
    ]
    assert messages(caught) == [
        f"log.level is set twice: first in {first}:4",
        f"the id data in views is set twice: first in {first}:2",
    ]


def test_the_same_pipe_id_in_two_files(write: Write) -> None:
    first = write("agent-pipes-config/a.yaml", SEED_002)
    second = write("agent-pipes-config/b.yaml", SEED_002)
    write("conf.d/v.yaml", VIEW)
    with pytest.raises(ConfigErrors) as caught:
        load_config([first.parent.parent], {})
    (error,) = caught.value.errors
    assert (error.file, error.line, error.column) == (str(second), 2, 5)
    assert "my-pipe" in error.message
    assert f"{first}:2" in error.message


@pytest.mark.parametrize(
    ("text", "line", "column", "suggestion"),
    [
        ("source: {driver: fs}\nsink: {driver: x}\n", 1, 1, "id: my-file"),
        ("source: {driver: fs}\nid: [1]\n", 2, 5, "id: my-file"),
    ],
)
def test_a_pipe_file_without_an_id(
    write: Write, text: str, line: int, column: int, suggestion: str
) -> None:
    path = write("agent-pipes-config/my-file.yaml", text)
    with pytest.raises(ConfigErrors) as caught:
        load_config([path], {})
    (error,) = caught.value.errors
    assert (error.line, error.column, error.suggestion) == (line, column, suggestion)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors) as caught:
        load_config([tmp_path / "nowhere.yaml"], {})
    (error,) = caught.value.errors
    assert error.message.startswith(f"{tmp_path / 'nowhere.yaml'} cannot be read: No such file")


def test_a_change_of_a_file_is_seen(write: Write) -> None:
    path, other = write("a.yaml", VIEW), write("b.yaml", "log: {level: info}")
    loaded = load_config([path, other], {})
    assert loaded.changed() == []
    path.write_text(VIEW + "\n")
    assert loaded.changed() == [path]
    path.write_text(VIEW)
    assert loaded.changed() == []
    other.unlink()
    assert loaded.changed() == [other]


def test_anchors_and_merges(write: Write) -> None:
    text = """
views:
  a: &usual
    audit_interval_sec: 60
    max_sessions: 7
  b:
    <<: *usual
    max_sessions: 8
  c: {<<: [{max_sessions: 1}, *usual]}
"""
    views = load_config([write("a.yaml", text)], {}).config.views
    assert [(v.audit_interval_sec, v.max_sessions) for v in views.values()] == [
        (60, 7), (60, 8), (60, 1),
    ]  # fmt: skip


def test_the_environment_stands_above_the_files(write: Write) -> None:
    path = write("a.yaml", "log: {level: info, format: json}")
    config = load_config([path], {"FUSTOR_LOG_LEVEL": "debug", "FUSTOR_LOG_FORMAT": ""}).config
    assert (config.log.level, config.log.format) == ("debug", "json")
    assert load_config([], {"FUSTOR_LOG_LEVEL": "error"}).config.log.level == "error"
    with pytest.raises(ConfigErrors) as caught:
        load_config([path], {"FUSTOR_LOG_LEVEL": "debgu"})
    (error,) = caught.value.errors
    assert error.message.startswith("FUSTOR_LOG_LEVEL: log.level is debug,")
    assert (error.file, error.suggestion) == (None, "debug")


def test_overrides_stand_above_everything(write: Write) -> None:
    path = write("a.yaml", "log: {level: info}")
    overrides: Overrides = {("log", "level"): ("debug", "-v"), ("agent", "id"): ("me", "--id")}
    loaded = load_config([path], {"FUSTOR_LOG_LEVEL": "error"}, overrides=overrides)
    assert (loaded.config.log.level, loaded.config.agent.id) == ("debug", "me")


class FsOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")
    root: Path
    poll: Seconds = 5.0


class ViewOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")
    view: str = ""


def model_of(kind: str, name: str) -> type[BaseModel]:
    drivers: dict[tuple[str, str], type[BaseModel]] = {
        ("source", "fs"): FsOptions,
        ("sink", "view"): ViewOptions,
    }
    found = drivers.get((kind, name))
    if kind in ("view", "receiver", "arbitrator"):
        return ViewOptions
    if found is None:
        raise PluginError(f"no {kind} driver {name!r}", remedy="did you mean fs?")
    return found


def test_drivers_options_are_read_by_the_driver(write: Write) -> None:
    paths = [write("a.yaml", SEED_002.replace("/data}", "/data, poll: 2m}")), write("b.yaml", VIEW)]
    loaded = load_config(paths, {}, model_of=model_of)
    options = loaded.options(("pipes", "my-pipe", "source"), FsOptions)
    assert options == FsOptions(root=Path("/data"), poll=120)


def test_faults_in_drivers_options_come_with_all_others(write: Write) -> None:
    text = SEED_002.replace("/data}", "/data, pol: 3}").replace("view: data", "view: dta")
    paths = [write("a.yaml", text + "follower: standbye\n"), write("b.yaml", VIEW)]
    loaded, errors = check_config(paths, {}, model_of=model_of)
    assert loaded is None
    assert [(e.line, e.column, e.suggestion) for e in errors] == [
        (3, 35, "poll"),
        (4, 28, "data"),
        (15, 11, "standby"),
    ]


def test_a_driver_that_is_not_installed(write: Write) -> None:
    paths = [write("a.yaml", SEED_002.replace("driver: fs", "driver: fss")), write("b.yaml", VIEW)]
    _, (error,) = check_config(paths, {}, model_of=model_of)
    assert (error.line, error.column) == (3, 18)
    assert error.message == "no source driver 'fss'"
    assert error.suggestion == "did you mean fs?"


def test_options_that_only_the_driver_finds_wrong(write: Write) -> None:
    paths = [write("a.yaml", SEED_002.replace("root", "rot")), write("b.yaml", VIEW)]
    loaded = load_config(paths, {})
    with pytest.raises(ConfigErrors) as caught:
        loaded.options(("pipes", "my-pipe", "source"), FsOptions)
    assert messages(caught) == [
        "pipes.my-pipe.source.root is missing",
        "unknown key rot in pipes.my-pipe.source",
    ]
    assert [error.suggestion for error in caught.value.errors] == ["add `root: …`", "root"]


def test_blocks_lists_every_driver(write: Write) -> None:
    paths = [write("a.yaml", SEED_002), write("b.yaml", VIEW)]
    found = [(kind, name, path) for kind, name, path, _ in load_config(paths, {}).config.blocks()]
    assert found == [
        ("source", "fs", ("pipes", "my-pipe", "source")),
        ("sink", "view", ("pipes", "my-pipe", "sink")),
        ("view", "file", ("views", "data")),
        ("arbitrator", "fs", ("views", "data", "arbitrator")),
        ("receiver", "http", ("receivers", "main")),
    ]
