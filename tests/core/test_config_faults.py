"""What is said about a wrong configuration: the exact place, the line, what would be right."""

from __future__ import annotations

from pathlib import Path

import pytest

from fustor_core.config import check_config
from fustor_core.config.faults import slug
from fustor_core.errors import ConfigError

PIPE = "    source: {driver: fs, root: /data}\n    sink: {driver: x}\n"

# text, line, column, message (a part), suggestion (a part)
WRONG = {
    "unknown key at the top": ("lgo: {level: info}\n", 1, 1, "unknown key lgo", "log"),
    "unknown key far from all": ("zzz: 1\n", 1, 1, "unknown key zzz", "known here: version, agent"),
    "unknown key inside": (
        "agent: {drain_timeut: 3}\n", 1, 9, "unknown key drain_timeut in agent", "drain_timeout",
    ),
    "dashes for underscores": (
        "agent: {drain-timeout: 3}\n", 1, 9, "unknown key drain-timeout", "drain_timeout",
    ),
    "unknown key of a pipe": (
        f"pipes:\n  p:\n{PIPE}    folower: realtime\n", 5, 5, "folower in pipes.p", "follower",
    ),
    "unknown key of a section of a pipe": (
        f"pipes:\n  p:\n{PIPE}    audit:\n      ful: 24h\n", 6, 7, "in pipes.p.audit", "full",
    ),
    "the other spelling is fine, twice is not": (
        f"pipes:\n  p:\n{PIPE}    heartbeat_interval_sec: 1\n    heartbeat_interval_seconds: 1\n",
        6, 5, "pipes.p.heartbeat_interval_sec is set twice", "keep one",
    ),
    "duplicate key": ("log:\n  level: info\n  level: info\n", 3, 3, "first in line 2", "keep one"),
    "duplicate id": ("views:\n  a: {}\n  b: {}\n  a: {}\n", 4, 3, "views.a is set twice", "keep"),
    "missing key": (
        "pipes:\n  p:\n    source: {driver: fs}\n", 2, 3, "pipes.p.sink is missing", "add `sink:",
    ),
    "missing driver": (
        "pipes:\n  p:\n    source: {root: /}\n    sink: {driver: x}\n",
        3, 5, "pipes.p.source.driver is missing", "add `driver:",
    ),
    "one of a few words": (
        f"pipes:\n  p:\n{PIPE}    follower:  realtim\n",
        5, 16, "pipes.p.follower is realtime or standby, not 'realtim'", "realtime",
    ),
    "one of a few words, none near": (
        "log: {level: 7}\n", 1, 14, "log.level is debug, info, warning, error or critical, not 7",
        "",
    ),
    "no number": (
        "views: {a: {max_sessions: many}}\n",
        1, 27, "views.a.max_sessions is a whole number, not 'many'", "",
    ),
    "true is no number": (
        "views: {a: {max_sessions: true}}\n", 1, 27, "is a whole number, not true", "",
    ),
    "too small": (
        f"pipes:\n  p:\n{PIPE}    backoff_multiplier: 0.5\n", 5, 25, "is at least 1, not 0.5", "",
    ),
    "zero where more is needed": (
        f"pipes:\n  p:\n{PIPE}    session_timeout_seconds: 0s\n",
        5, 30, "session_timeout_seconds is more than 0", "",
    ),
    "infinite": ("state: {vis_update_rate: .inf}\n", 1, 26, "is a number that ends", ""),
    "no duration": ("agent: {drain_timeout: 30x}\n", 1, 24, "'30x' is no duration: use", ""),
    "a negative duration": ("agent: {drain_timeout: -1}\n", 1, 24, "-1 is no duration", ""),
    "no size": ("agent:\n  spool_bytes: 64 kib\n", 2, 16, "'64 kib' is no size: use bytes", ""),
    "no form fits": (
        f"pipes:\n  p:\n{PIPE}    audit: {{rate: fast}}\n",
        5, 19, "pipes.p.audit.rate is a number or auto, not 'fast'", "",
    ),
    "a list for a mapping": ("views: [a]\n", 1, 8, "views is a mapping of keys, not a list", ""),
    "a word for a mapping": ("log: info\n", 1, 6, "log is a mapping of keys, not 'info'", ""),
    "a word for a list": (
        "views: {a: }\nforests: {f: {views: a}}\n", 2, 22, "forests.f.views is a list, not 'a'", "",
    ),
    "nothing for a text": (
        "pipes: {p: {source: {driver: }, sink: {driver: x}}}\n",
        1, 29, "pipes.p.source.driver is a text, not nothing", "",
    ),
    "a bad id": ("views:\n  My View:\n", 2, 3, "'My View' is no id", "my-view"),
    "a version of the future": ("version: 2\n", 1, 10, "version is 1, not 2", ""),
    "a view that is not there": (
        "views: {projects: }\nforests: {f: {views: [projects, projcts]}}\n",
        2, 33, "forests.f.views[1]: no view projcts here", "projects",
    ),
    "a sink without its view": (
        "pipes:\n  p:\n    source: {driver: fs}\n    sink: {driver: view, view: data}\n",
        4, 32, "no view data here", "add `data: {}` to `views:`",
    ),
    "an empty forest": ("forests: {f: {views: []}}\n", 1, 22, "names at least 1, not none", ""),
    "a variable that is not set": (
        "agent: {id: 'a-${NOPE}'}\n", 1, 13, "variable NOPE is not set", "${NOPE:-default}",
    ),
    "a variable nearly so": (
        "agent:\n  id: a-${AGENT_NMAE}\n", 2, 9, "AGENT_NMAE is not set", "${AGENT_NAME}",
    ),
    "a reference that never ends": (
        "agent:\n  id: a${X\n", 2, 8, "`${` without its `}`", "$${",
    ),
    "a file that is not there": (
        "state: {encryption_key: '${file:/nowhere/k}'}\n",
        1, 25, "/nowhere/k cannot be read: No such file", "",
    ),
    "a tab": ("log:\n\tlevel: info\n", 2, 1, "a tab cannot stand here", "spaces"),
    "a quote left open": ('log:\n  level: "info\nagent: {}\n', 2, 10, "never closed", "quote"),
    "a brace left open": ("log: {level: info\n", 1, 6, "this is never closed", "`{`"),
    "a second colon": ("log: level: info\n", 1, 11, "a second `: ` in one line", "quote"),
    "wrong indentation": (
        "log:\n  level: info\n format: json\n", 3, 2, "indentation", "align it",
    ),
    "a key without a colon": ("log:\n  level\n  format: x\n", 3, 9, "`: `", "quote"),
    "no mapping": ("- a\n", 1, 1, "the top of a configuration is a mapping", ""),
    "a second document": ("log: {}\n---\nlog: {}\n", 2, 1, "a second document", "one document"),
    "a tag": ("log: !!python/name:os.system x\n", 1, 6, "means nothing here", ""),
    "an alias of nothing": ("log: *other\n", 1, 6, "undefined alias", "&name"),
    "an alias of itself": ("log: &a {level: *a}\n", 1, 6, "endless", ""),
    "a key that is no word": ("? {a: 1}\n: 2\n", 1, 3, "a key is a word", ""),
    "a merge of a word": ("log: {<<: info}\n", 1, 11, "`<<` takes a mapping", ""),
}  # fmt: skip


def faults(path: Path) -> list[ConfigError]:
    loaded, errors = check_config([path], {"AGENT_NAME": "x"})
    assert (loaded is None) == bool(errors)
    return errors


@pytest.mark.parametrize("case", WRONG)
def test_each_fault_is_said_where_it_is(tmp_path: Path, case: str) -> None:
    text, line, column, message, suggestion = WRONG[case]
    path = tmp_path / "a.yaml"
    path.write_text(text)
    errors = faults(path)
    assert len(errors) == 1, [(e.message, e.line, e.column) for e in errors]
    error = errors[0]
    assert message in error.message
    assert (error.file, error.line, error.column) == (str(path), line, column)
    assert error.excerpt == text.splitlines()[line - 1]
    assert suggestion in error.suggestion
    assert bool(suggestion) == bool(error.suggestion)


def test_all_faults_of_all_files_come_at_once_in_order(tmp_path: Path) -> None:
    (tmp_path / "1.yaml").write_text("lgo: 1\nviews: {a: {max_sessions: 0}}\nlog: {level: loud}\n")
    (tmp_path / "2.yaml").write_text("agent: {id: x\n")
    (tmp_path / "3.yaml").write_text("state: {vis_update_rate: x}\nviews: {a: }\n")
    places = [(Path(e.file or "").name, e.line, e.key) for e in faults(tmp_path)]
    assert places == [
        ("1.yaml", 1, "lgo"),
        ("1.yaml", 2, "views.a.max_sessions"),
        ("1.yaml", 3, "log.level"),
        ("2.yaml", 1, ""),
        ("3.yaml", 1, "state.vis_update_rate"),
        ("3.yaml", 2, "views.a"),
    ]


def test_places_in_a_pipe_file(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("id: p\nsource: {driver: fs}\nsnik: {driver: x}\naudit_interval_sec: [1]\n")
    assert [(e.line, e.column, e.message) for e in faults(path)] == [
        (1, 5, "pipes.p.sink is missing"),
        (3, 1, "unknown key snik in pipes.p"),
        (4, 21, "pipes.p.audit_interval_sec is a number, not a list"),
    ]


def test_a_bad_id_in_a_pipe_file(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("source: {driver: fs}\nsink: {driver: x}\nid: My Pipe\n")
    (error,) = faults(path)
    assert (error.line, error.column, error.suggestion) == (3, 5, "my-pipe")


def test_what_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes("log: {}\nagent: {id: ä".encode() + b"\xff}\n")
    (error,) = faults(path)
    assert (error.line, error.column, error.message) == (2, 14, "this is not UTF-8")


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xef\xbb\xbflog: {level: info}\n")
    assert faults(path) == []


def test_aliases_that_would_fill_the_memory_are_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for level in range(1, 9):
        lines.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]")
    path = tmp_path / "a.yaml"
    path.write_text("\n".join(lines))
    assert sum("endless" in error.message for error in faults(path)) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("My Data (2)", "my-data-2"), ("Ärger", "arger"), ("日本", ""), ("-_x_-", "x"),
        ("A" * 99, "a" * 64),
    ],
)  # fmt: skip
def test_ids_made_of_names(text: str, expected: str) -> None:
    assert slug(text) == expected
