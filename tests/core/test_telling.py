"""Claims as lines of JSON: everything that a claim says stands there, in bounded lines."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fustor_core.claims import (
    CLOSED,
    KEY,
    MOVED,
    PROTOCOL,
    SILENCE,
    Batch,
    Calm,
    Cell,
    Claim,
    Key,
    Listing,
    Origin,
    Owe,
    Root,
    Row,
    Same,
    Silence,
    Stamp,
    edge_row,
    pack_rows,
)
from fustor_core.telling import Teller, quarantined, told

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "send-changes-elsewhere.md"
DIR = Key(0, 7, 9)
STAMP = Stamp(10, 20, 3, "e")
TELLER = Teller("agent", "pipe", "start", 1000)
ROW = Row(5, 6, 7, 8, 0o100644, 1, 2, 1)
COLUMNS = {"size": 5, "mtime_ns": 6, "ctime_ns": 7, "ino": 8, "mode": 0o100644} | {
    "uid": 1,
    "gid": 2,
    "nlink": 1,
}


def lines(*claims: Claim, limit: int = 1 << 20) -> list[dict[str, Any]]:
    return [json.loads(line) for line in told(Batch(PROTOCOL, 4, 0, list(claims)), TELLER, limit)]


def cell(name: bytes, value: bytes | None = None, **more: Any) -> Cell:
    options = {"path": b"/d", "stamp": STAMP, "origin": Origin.REALTIME, **more}
    return Cell(dir=DIR, name=name, value=value, **options)


def listing(rows: dict[bytes, Row | bytes], **more: Any) -> Listing:
    names, packed = pack_rows(rows)
    options = {"path": b"/d", "stamp": STAMP, "origin": Origin.SNAPSHOT, **more}
    return Listing(dir=DIR, names=names, rows=packed, **options)


def test_an_entry_says_who_what_where_and_when() -> None:
    (line,) = lines(cell(b"f", ROW.pack(), flags=MOVED | CLOSED))
    assert line == {
        "kind": "entry",
        "path": "/d/f",
        "dir": {"dev": 0, "ino": 7, "birth": 9},
        "row": {"type": "file", **COLUMNS},
        "flags": ["moved", "closed"],
        "origin": "realtime",
        "look": "event",
        "interval": [10, 20],
        "order": 3,
        "wall_us": 1020,
        "agent": "agent",
        "pipe": "pipe",
        "start": "start",
        "seq": 4,
        "index": 0,
    }


def test_absent_odd_names_directories_and_their_own_attributes() -> None:
    gone, odd, below, own = lines(
        cell(b"gone"),
        cell(b"\xff", ROW.pack(), path=b"/"),
        cell(b"d", edge_row(Key(1, 2, 3))),
        cell(b"", Row(mode=0o40755, mtime_ns=4).pack()),
    )
    assert gone["row"] is None
    assert base64.b64decode(odd["path_b64"]) == b"/\xff"
    assert "path" not in odd
    assert below["row"]["type"] == "dir"
    assert (own["kind"], own["path"], own["row"]["mtime_ns"]) == ("directory", "/d", 4)


def test_the_other_kinds() -> None:
    silence = Silence(1, 2, 3, 4)
    more: dict[str, Any] = {"stamp": STAMP, "origin": Origin.AUDIT}
    owe, same, root, gone, digest = lines(
        Owe(dir=DIR, deep=True, reason="overflow", path=b"/x", **more),
        Same(dir=DIR, silence=silence, path=b"/x", **more),
        Root(key=DIR, identity="fs", marker=b"m", **more),
        Root(key=DIR, identity="", present=False, reason="vanished_root", **more),
        listing({}, digest=b"d" * 16, silence=silence),
    )
    assert (owe["kind"], owe["deep"], owe["reason"], owe["path"]) == ("owe", True, "overflow", "/x")
    assert (same["kind"], same["silence"]) == ("same", [1, 2, 3, 4])
    assert (root["kind"], root["identity"], root["marker_b64"]) == ("root", "fs", "bQ==")
    assert (gone["present"], gone["reason"]) == (False, "vanished_root")
    assert digest["unchanged"] == (b"d" * 16).hex()
    assert "entries" not in digest, "unchanged is not empty"


def test_of_many_calm_directories_each_has_a_line() -> None:
    keys = KEY.pack(0, 7, 9) + KEY.pack(0, 8, 10)
    silences = SILENCE.pack(1, 2, 7, 2) + SILENCE.pack(3, 4, 8, 2)
    claim = Calm(keys=keys, silences=silences, stamp=STAMP, origin=Origin.AUDIT, path=b"/last")
    one, two = lines(claim)
    assert [line["kind"] for line in (one, two)] == ["same", "same"]
    assert (one["silence"], two["silence"]) == ([1, 2, 7, 2], [3, 4, 8, 2])
    assert two["dir"] == {"dev": 0, "ino": 8, "birth": 10}
    assert [(line["index"], line["part"], line["more"]) for line in (one, two)] == [
        (0, 1, True),
        (0, 2, False),
    ]
    assert "path" not in one


def test_a_listing_holds_its_names() -> None:
    rows: dict[bytes, Row | bytes] = {b"a": ROW, b"b\xff": ROW, b"d": edge_row(Key(0, 1, 2))}
    own = Row(mode=0o40755).pack()
    (line,) = lines(listing(rows, weak=(b"a",), complete=False, reason="eio", errno=5, own=own))
    assert [e.get("name") for e in line["entries"]] == ["a", None, "d"]
    assert line["entries"][0] == {"name": "a", "type": "file", **COLUMNS, "weak": True}
    assert (line["complete"], line["reason"], line["errno"]) == (False, "eio", 5)
    assert line["own"]["mode"] == 0o40755
    assert (line["part"], line["more"]) == (1, False)
    (empty,) = lines(listing({}))
    assert empty["entries"] == []


@given(st.sets(st.binary(min_size=1, max_size=60), max_size=40), st.integers(1000, 5000))
def test_a_listing_is_cut_into_lines_that_fit_and_loses_nothing(
    names: set[bytes], limit: int
) -> None:
    usable: dict[bytes, Row | bytes] = {
        name: ROW for name in names if not set(name) & {0, 0x2F} and name not in (b".", b"..")
    }
    batch = Batch(PROTOCOL, 1, 0, [listing(usable)])
    made = list(told(batch, TELLER, limit))
    assert made == list(told(batch, TELLER, limit)), "the same bytes each time"
    documents = [json.loads(line) for line in made]
    assert all(len(line) <= limit for line in made)
    assert [d["part"] for d in documents] == list(range(1, len(made) + 1))
    assert [d["more"] for d in documents] == [True] * (len(made) - 1) + [False]
    entries = [e for d in documents for e in d["entries"]]
    got = [e["name"].encode() if "name" in e else base64.b64decode(e["name_b64"]) for e in entries]
    assert got == sorted(usable)


def test_one_name_that_is_larger_than_a_line_goes_all_the_same() -> None:
    made = lines(listing({b"n" * 255: ROW, b"o" * 255: ROW}), limit=10)
    assert [len(line["entries"]) for line in made] == [1, 1]


def test_a_claim_that_is_none_is_left_out_and_named() -> None:
    batch = Batch(PROTOCOL, 1, 0, [cell(b"a"), cell(b"a/b"), cell(b"c")])
    assert [json.loads(line)["index"] for line in told(batch, TELLER)] == [0, 2]
    assert [one.index for one in quarantined(batch)] == [1]


def test_every_field_is_in_the_how_to() -> None:
    more: dict[str, Any] = {"stamp": STAMP, "origin": Origin.AUDIT}
    silence = Silence(1, 2, 3, 4)
    told_of = lines(
        cell(b"f", ROW.pack()),
        cell(b"\xff", edge_row(DIR)),
        cell(b"", ROW.pack()),
        listing({b"a": ROW}, weak=(b"a",)),
        listing({}, digest=b"d" * 16),
        Owe(dir=DIR, deep=True, reason="overflow", path=b"/x", **more),
        Same(dir=DIR, silence=silence, path=b"/x", **more),
        Root(key=DIR, identity="fs", marker=b"m", **more),
    )
    documented = set(re.findall(r"`([a-z0-9_]+)[`:]", PAGE.read_text("utf-8")))
    rows = [line["row"] for line in told_of if line.get("row")]
    entries = [entry for line in told_of for entry in line.get("entries", ())]
    used = {field for document in (*told_of, *rows, *entries) for field in document}
    assert {line["kind"] for line in told_of} | used - {"name"} <= documented
