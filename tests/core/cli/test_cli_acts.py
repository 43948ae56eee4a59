"""`fustor audit show|verify`, and what commands that need no server put into the log."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fustor_core.acts import Book
from fustor_core.acts.book import of_program
from fustor_core.acts.reading import files_in

Fustor = Callable[..., Any]


@pytest.fixture
def log(home: Path) -> Path:
    """A log with three records: a start, an act by a key, and a refusal."""
    (home / "fusion").mkdir(parents=True)
    book = Book(home / "fusion")
    book.open()
    book.note({"at": "2020-01-01T00:00:00.000000Z", **of_program("start")})
    key = {"way": "key", "key": "abc", "address": "10.0.0.9"}
    about = {"view": "data", "path": "/\x1b[31m"}
    book.note({"actor": key, "act": "scan", "object": about, "outcome": "done"})
    nobody = {"way": "network", "address": "10.0.0.7"}
    refused = {"outcome": "refused", "why": "unauthorized"}
    book.note({"actor": nobody, "act": "request", "object": {}, **refused})
    book.close()
    return home / "fusion" / "audit"


def acts(done: Any) -> list[str]:
    return [record["act"] for record in done.document["records"]]


def test_keys_made_without_a_server_are_written_down(fustor: Fustor, home: Path) -> None:
    made = fustor("key", "create", "--json").document
    rotated = fustor("key", "rotate", made["id"], "--json").document
    fustor("key", "revoke", rotated["id"])
    assert fustor("key", "revoke", "nobody").code == 5
    fustor("key", "list")
    records = fustor("audit", "show", "--json").document["records"]
    assert [one["act"] for one in records] == [
        "key-create", "key-rotate", "key-revoke", "key-revoke",
    ]  # fmt: skip
    assert [one["object"].get("id") for one in records] == [
        made["id"], made["id"], rotated["id"], "nobody",
    ]  # fmt: skip
    assert records[1]["object"]["new_id"] == rotated["id"]
    assert records[3]["outcome"] == "failed"
    assert {one["actor"]["uid"] for one in records} == {os.getuid()}
    for path in (home / "fusion" / "audit").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        for key in (made, rotated):
            assert key["key"].split("_", 2)[2] not in path.read_text()


def test_export_and_import_are_written_down(fustor: Fustor, home: Path, tmp_path: Path) -> None:
    fustor("key", "create")
    archive = tmp_path / "a.tar.zst"
    assert fustor("state", "export", str(archive)).code == 0
    other = tmp_path / "other"
    assert fustor("--home", str(other), "state", "import", str(archive)).code == 0
    assert acts(fustor("audit", "show", "--json")) == ["key-create", "state-export"]
    assert acts(fustor("--home", str(other), "audit", "show", "--json")) == [
        "key-create", "state-import",
    ]  # fmt: skip
    assert fustor("--home", str(other), "audit", "verify").code == 0


def test_the_log_is_shown_to_people(fustor: Fustor, log: Path) -> None:
    done = fustor("audit", "show")
    assert done.code == 0
    shown = done.out.decode()
    assert "key abc from 10.0.0.9" in shown
    assert "no key, from 10.0.0.7" in shown
    assert "refused: unauthorized" in shown
    assert "\x1b" not in shown, "a name steers no terminal"


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ((), ["start", "scan", "request"]),
        (("--since", "2h"), ["scan", "request"]),
        (("--since", "2020-01-01"), ["scan", "request", "start"]),
        (("--actor", "abc"), ["scan"]),
        (("--actor", "10.0.0.7"), ["request"]),
        (("--actor", "program"), ["start"]),
        (("--act", "scan"), ["scan"]),
        (("--limit", "1"), ["request"]),
        (("--role", "agent"), []),
    ],
)
def test_some_of_it(fustor: Fustor, log: Path, words: tuple[str, ...], wanted: list[str]) -> None:
    assert sorted(acts(fustor("audit", "show", *words, "--json"))) == sorted(wanted)


def test_every_record_on_a_line(fustor: Fustor, log: Path) -> None:
    lines = fustor("audit", "show", "--jsonl").lines
    assert [json.loads(line)["seq"] for line in lines] == [1, 2, 3]


def test_a_good_log_tells_its_head(fustor: Fustor, log: Path) -> None:
    done = fustor("audit", "verify")
    assert done.code == 0
    (head,) = done.lines
    assert fustor("audit", "verify", "--expect", head.decode()).code == 0
    document = fustor("audit", "verify", "--json").document
    assert (document["valid"], document["records"], document["last"]) == (True, 3, 3)
    assert head.decode() == f"3:{document['head']}"


def test_a_changed_record_is_named(fustor: Fustor, log: Path) -> None:
    (path,) = files_in(log)
    path.write_text(path.read_text().replace('"view":"data"', '"view":"other"'))
    done = fustor("audit", "verify")
    assert done.code == 9
    assert "record 2 was changed" in done.err
    done = fustor("audit", "verify", "--json")
    assert done.code == 9
    assert (done.document["fault"]["seq"], done.document["fault"]["kind"]) == (2, "changed")
    assert fustor("audit", "verify", "--from", "3").code == 0
    assert len(fustor("audit", "show", "--json").document["records"]) == 3, "it can still be read"


def test_a_head_that_is_not_there(fustor: Fustor, log: Path) -> None:
    done = fustor("audit", "verify", "--expect", f"7:{'ab' * 32}")
    assert done.code == 9
    assert "record 7" in done.err


@pytest.mark.parametrize(
    "words",
    [
        ("verify", "--expect", "short"),
        ("verify", "--role", "both"),
        ("show", "--since", "yesterday"),
        ("show", "--since", "99999999999999d"),
    ],
)
def test_what_makes_no_sense_is_said(fustor: Fustor, log: Path, words: tuple[str, ...]) -> None:
    done = fustor("audit", *words)
    assert done.code == 2
    assert words[1] in done.err or words[2] in done.err


def test_it_is_read_where_it_lies(fustor: Fustor) -> None:
    done = fustor("--server", "http://127.0.0.1:1", "audit", "show")
    assert done.code == 2
    assert "on the host of the server" in done.err


def test_no_log_is_no_fault(fustor: Fustor) -> None:
    assert fustor("audit", "show").code == 0
    done = fustor("audit", "verify")
    assert done.code == 0
    assert "no records" in done.err
