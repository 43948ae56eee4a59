"""Each document has the form that interfaces.md §1 and §2 give it, and nothing else."""

from __future__ import annotations

import json
import stat
from typing import Annotated, Any, Literal

import msgspec
import pytest
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from fustor_core.claims import WRITING, Origin

Int = Annotated[int, Field(strict=True)]
Flag = Literal["suspect", "debt", "blind", "stale", "unscanned", "frozen"]
Kind = Literal["file", "dir", "symlink", "fifo", "socket", "char", "block"]
Reason = Literal[
    "not_yet", "permission", "io_error", "vanished_root", "hung", "overflow", "quarantine",
    "excluded", "other_device",
]  # fmt: skip
Time = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")]


class Form(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Pathed(Form):
    path: str | None = None
    path_b64: str | None = None

    @model_validator(mode="after")
    def one(self) -> Pathed:
        assert (self.path is None) != (self.path_b64 is None)
        return self


class Rollup(Form):
    files: Int
    dirs: Int
    others: Int
    bytes: Int
    suspects: Int
    debts: Int
    blind: Int
    newest_mtime_ns: Int | None
    changed_us: Int | None


class Entry(Pathed):
    view: str
    name: str | None = None
    name_b64: str | None = None
    type: Kind | None
    size: Int | None
    mtime_ns: Int | None
    ctime_ns: Int | None
    ino: Int | None
    mode: Int | None
    uid: Int | None
    gid: Int | None
    nlink: Int | None
    flags: list[Flag]
    origin: Origin
    observed: tuple[Int, Int]
    rollup: Rollup | None = None

    @model_validator(mode="after")
    def directories_have_totals(self) -> Entry:
        assert (self.name is None) != (self.name_b64 is None)
        assert (self.type == "dir") == (self.rollup is not None)
        return self


class Hole(Pathed):
    reason: Reason
    errno: Int | None


class Quality(Form):
    as_of: Time
    as_of_us: Int
    age_s: float
    complete: bool
    unscanned: Annotated[list[Hole], Field(max_length=20)]
    unscanned_total: Int
    suspects: Int
    debts: Int
    blind: Int
    stale: bool
    frozen: bool
    epoch: Int


class Cut(Form):
    next_cursor: str | None
    quality: Quality


class Ls(Pathed, Cut):
    view: str
    entry: Entry
    entries: list[Entry]


class Node(Entry):
    children: list[Node] | None = None


class Tree(Pathed):
    view: str
    tree: Node
    truncated: bool
    quality: Quality


class Stat(Pathed):
    view: str
    existence: Literal["present", "absent", "unknown"]
    entry: Entry | None
    quality: Quality


class Missing(Pathed):
    view: str
    existence: Literal["absent", "unknown"]
    quality: Quality


class Share(Form):
    name: str | None = None
    name_b64: str | None = None
    rollup: Rollup
    children: list[Share] | None = None


class Du(Pathed):
    view: str
    rollup: Rollup
    children: list[Share] | None = None
    quality: Quality


class Find(Cut):
    matches: list[Entry]


class Flagged(Cut):
    entries: list[Entry]


class Sighting(Form):
    origin: Origin
    audit: Int | None
    agent: str | None
    at: Time
    at_us: Int


class Blind(Entry):
    first_seen: Sighting | None


class BlindSpots(Cut):
    entries: list[Blind]


class BlindDirectory(Pathed):
    view: str
    blind: Int
    below: Int
    first_seen: Sighting | None
    last_seen: Sighting | None


class BlindDirectories(Cut):
    directories: list[BlindDirectory]


class LastChange(Pathed):
    at: Time
    origin: Origin


class Against(Form):
    kind: Literal["suspect", "debt", "unscanned", "recent_change", "stale", "frozen"]
    count: Int
    examples: Annotated[list[str | dict[str, str]], Field(max_length=5)]


class Stable(Pathed):
    view: str
    existence: Literal["absent", "unknown"] | None = None
    stable: bool | None
    quiet_for_s: float | None
    last_change: LastChange | None
    reasons: list[Against]
    quality: Quality


class Change(Pathed):
    cursor: str
    at: Time
    kind: Literal["created", "modified", "deleted", "moved", "flagged", "resync"]
    from_path: str | None = None
    from_path_b64: str | None = None
    entry: Entry | None = None
    origin: Origin


class Changes(Form):
    changes: list[Change]
    cursor: str
    more: bool


class Held(Form):
    at_us: Int
    agent: str | None
    session: str | None
    seq: Int | None
    origin: Origin
    interval: tuple[Int, Int]
    value: dict[str, Any] | None
    verdict: Literal["accepted", "older", "same", "debt", "quarantined", "stale_epoch"]
    rule: str
    by: str | None


class Explain(Pathed):
    view: str
    existence: Literal["present", "absent", "unknown"]
    entry: Entry | None
    claims: list[Held]
    quality: Quality


class Status(Form):
    view: str
    files: Int
    dirs: Int
    bytes: Int
    entries: Int
    quality: Quality
    memory_bytes: Int
    packs: dict[str, Int | None]


FORMS: dict[str, type[Form]] = {
    "ls": Ls,
    "tree": Tree,
    "stat": Stat,
    "du": Du,
    "find": Find,
    "stable": Stable,
    "changes": Changes,
    "suspects": Flagged,
    "debts": Flagged,
    "blind-spots": BlindSpots,
    "blind-directories": BlindDirectories,
    "explain": Explain,
    "status": Status,
}
LISTS = ("suspects", "debts", "blind-spots")
PATHS = [b"/", b"/a", b"/a/big", b"/\xff", b"/\xff/caf\xc3\xa9", b"/a/special/fifo"]
GONE = [b"/nothing", b"/a/big/below", b"/a/late/x"]


@pytest.fixture
def rich(grove: Any) -> Any:
    """A view with all types of entries, odd names, and every flag."""
    kinds = {
        "fifo": stat.S_IFIFO, "socket": stat.S_IFSOCK, "char": stat.S_IFCHR,
        "block": stat.S_IFBLK, "symlink": stat.S_IFLNK,
    }  # fmt: skip
    grove.file(b"/a/big", size=(1 << 62) + 1, mtime_ns=(1 << 62) + 1, ino=(1 << 64) - 1)
    grove.file(b"/\xff/caf\xc3\xa9")
    grove.file(b"/\xff/new\nline\xfe")
    for name, kind in kinds.items():
        grove.file(b"/a/special/" + name.encode(), mode=kind | 0o600)
    grove.folder(b"/empty")
    grove.file(b"/a/disputed")
    grove.scan()
    start = grove.ask("changes")["cursor"]
    hot = grove.moment().storage_ns
    grove.file(b"/\xff/hot", mtime_ns=hot, ctime_ns=hot)
    grove.tell(grove.cell(b"/\xff/hot", flags=WRITING))
    grove.file(b"/a/unseen")
    grove.tell(grove.listing(b"/a", Origin.AUDIT))
    grove.folder(b"/a/late")
    grove.tell(grove.cell(b"/a/late"))
    grove.tell(grove.cell(b"/a/disputed", gone=True))
    grove.file(b"/a/disputed")
    overlapping(grove, b"/a/disputed")
    grove.file(b"/a/big", size=7)
    overlapping(grove, b"/a/big")
    return grove, start


def overlapping(grove: Any, path: bytes) -> None:
    """Another agent's look at the name, in an interval that holds all the others."""
    from fustor_core.registers import Seen

    claim = grove.cell(path, Origin.ON_DEMAND)
    grove.judged(claim, Seen(0, grove.now_us + 1, 2, 0, 1, 0, "s"))


def form_of(verb: str, document: dict[str, Any]) -> type[Form]:
    missing = document.get("existence") in ("absent", "unknown")
    return Missing if missing and verb not in ("stat", "explain", "stable") else FORMS[verb]


@pytest.mark.parametrize("path", [*PATHS, *GONE])
@pytest.mark.parametrize("verb", FORMS)
def test_documents_have_their_form(rich: Any, verb: str, path: bytes) -> None:
    grove, start = rich
    options: dict[str, Any] = {"depth": 5} if verb in ("tree", "du") else {}
    if verb == "changes":
        options["since"] = start
    document = grove.ask(verb, path, **options)
    sent = msgspec.json.encode(document)
    assert json.loads(sent) == document, "a document is plain JSON, its integers exact"
    TypeAdapter(form_of(verb, document)).validate_python(document)


def test_the_view_of_this_test_shows_everything(rich: Any) -> None:
    """Else the forms above would prove little."""
    grove, start = rich
    matches = grove.ask("find", pattern=b"*", limit=None)["matches"]
    assert {m["type"] for m in matches} == set(Kind.__args__)
    flags = {flag for m in matches for flag in m["flags"]}
    assert flags == {"suspect", "debt", "blind", "unscanned"}
    changes = grove.ask("changes", since=start)["changes"]
    assert {"created", "deleted"} <= {c["kind"] for c in changes}
    quality = grove.ask("status")["quality"]
    assert all(quality[key] for key in ("suspects", "debts", "blind", "unscanned_total"))
    listed = {verb: [e["name"] for e in grove.ask(verb)["entries"]] for verb in LISTS}
    assert listed == {
        "suspects": ["big", "hot"],  # the time of big lies in the future
        "debts": ["big", "disputed"],
        "blind-spots": ["unseen"],
    }
    shown = {e["name"]: e for e in grove.ask("debts")["entries"]}
    assert shown["disputed"]["type"] is None, "shown as absent, and nobody can say"
    assert shown["big"]["type"] == "file"


def test_stale_and_frozen_are_told(tools: Any) -> None:
    grove = tools.Grove(removals=1)
    for i in range(5):
        grove.file(b"/a/%d" % i)
    grove.scan()
    names, grove.folder(b"/a").names = grove.folder(b"/a").names, {}
    grove.tell(grove.listing(b"/a", Origin.AUDIT))
    grove.fed["stale"] = True
    document = grove.ask("ls", b"/a")
    TypeAdapter(Ls).validate_python(document)
    assert [e["flags"] for e in document["entries"]] == [["debt", "stale", "frozen"]] * len(names)
    assert document["quality"]["frozen"] is True
    assert document["quality"]["stale"] is True
    assert document["entry"]["flags"] == ["stale"]


def test_what_nobody_has_seen_is_null(grove: Any) -> None:
    """A directory whose edge alone is known: times of 1970 would be a lie."""
    grove.folder(b"/later")
    grove.tell(grove.listing(b"/", own=None))
    entry = grove.ask("stat", b"/later")["entry"]
    assert entry["ino"] == grove.folder(b"/later").key.ino
    assert stat.S_ISDIR(entry["mode"])
    assert [entry[k] for k in ("size", "mtime_ns", "ctime_ns", "uid", "gid", "nlink")] == [None] * 6
    assert entry["flags"] == ["unscanned"]
    assert entry["rollup"]["newest_mtime_ns"] is None


def test_directories_show_their_own_attributes(grove: Any) -> None:
    grove.file(b"/a/x")
    grove.scan()
    own = grove.folder(b"/a").own
    for entry in (
        grove.ask("stat", b"/a")["entry"],
        grove.ask("ls")["entries"][0],
        grove.found(b"a") and grove.ask("find", pattern=b"a")["matches"][0],
    ):
        assert {k: entry[k] for k in own._asdict()} == own._asdict()


def test_the_inode_of_a_directory_is_that_of_its_edge(grove: Any) -> None:
    """Sources without inodes have none in the attributes."""
    grove.folder(b"/a").own = grove.folder(b"/a").own._replace(ino=0)
    grove.scan()
    assert grove.ask("stat", b"/a")["entry"]["ino"] == grove.folder(b"/a").key.ino


def test_the_root_is_an_entry(grove: Any) -> None:
    grove.scan()
    entry = grove.ask("ls")["entry"]
    assert (entry["path"], entry["name"], entry["type"]) == ("/", "", "dir")
    assert entry["ino"] == grove.top.key.ino
