"""`explain` (what the view holds) and `status` (how much it holds)."""

from __future__ import annotations

from typing import Any

import pytest

from fustor_core.claims import Origin


@pytest.fixture
def listed(grove: Any) -> Any:
    grove.file(b"/a/x", size=5)
    grove.scan()
    return grove


def test_a_name_from_a_listing(listed: Any) -> None:
    told = listed.ask("explain", b"/a/x")
    base = listed.registers.tree.directory_at(b"/a").base
    (claim,) = told["claims"]
    assert claim["interval"] == [base.lo, base.hi] == told["entry"]["observed"]
    assert (claim["origin"], claim["verdict"], claim["rule"]) == ("snapshot", "accepted", "held")
    assert claim["value"]["size"] == 5
    assert claim["value"]["type"] == "file"


def test_a_name_from_an_event(listed: Any) -> None:
    listed.file(b"/a/x", size=6)
    listed.tell(listed.cell(b"/a/x"))
    (claim,) = listed.ask("explain", b"/a/x")["claims"]
    assert (claim["origin"], claim["value"]["size"]) == ("realtime", 6)
    assert claim["interval"] == [listed.now_us, listed.now_us]


def test_absence_has_its_evidence_too(listed: Any) -> None:
    for gone in (b"/a/x", b"/a/never"):
        listed.tell(listed.cell(gone, gone=True))
        told = listed.ask("explain", gone)
        assert (told["existence"], told["entry"]) == ("absent", None)
        assert [claim["value"] for claim in told["claims"]] == [None]
    told = listed.ask("explain", b"/a/other")
    assert [(claim["value"], claim["origin"]) for claim in told["claims"]] == [(None, "snapshot")]


def test_a_directory_rests_on_its_edge_and_its_own_attributes(listed: Any) -> None:
    edge, own = listed.ask("explain", b"/a")["claims"]
    assert (edge["value"]["type"], edge["value"]["mtime_ns"]) == ("dir", None)
    assert own["value"]["mtime_ns"] == listed.folder(b"/a").own.mtime_ns
    assert len(listed.ask("explain", b"/a", limit=1)["claims"]) == 1
    assert len(listed.ask("explain", b"/")["claims"]) == 1


def test_what_nobody_looked_at_has_no_evidence(listed: Any) -> None:
    listed.folder(b"/late")
    listed.tell(listed.cell(b"/late"))
    told = listed.ask("explain", b"/late/x")
    assert (told["existence"], told["claims"]) == ("unknown", [])
    assert told["quality"]["unscanned"][0]["path"] == "/late"


def test_status_counts(tools: Any, listed: Any) -> None:
    listed.file(b"/a/link", mode=0o120777)
    listed.scan(Origin.AUDIT)
    told = listed.ask("status")
    assert {k: told[k] for k in ("files", "dirs", "bytes", "entries")} == {
        "files": 1,
        "dirs": 1,
        "bytes": 5,
        "entries": 3,
    }
    assert told["quality"] == listed.ask("stat", b"/")["quality"]


def test_memory_grows_with_what_is_held(tools: Any) -> None:
    def weigh(directories: int, files: int) -> tuple[int, int]:
        grove = tools.Grove()
        for d in range(directories):
            for f in range(files):
                grove.file(b"/%04d/%04d" % (d, f))
        grove.scan()
        held = sum(d.pack.nbytes() for d in grove.registers.tree.dirs.values())
        return int(grove.ask("status")["memory_bytes"]), held

    small, _ = weigh(10, 10)
    wide, held = weigh(10, 400)
    many, _ = weigh(1500, 1)
    assert held < wide < 2 * held
    assert small < wide
    assert many > 100 * small / 10
