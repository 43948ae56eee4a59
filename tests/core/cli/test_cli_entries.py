"""`view list|drop|ls|tree|stat|du`: documents, lines for people, exit codes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Fustor = Callable[..., Any]
ODD = [b"new\nline", b"\xff\xfe", b"two words", b"\x1b[31mred", b"n" * 255, "ü漢".encode()]


def listing(make: Any, names: list[bytes], **more: Any) -> dict[str, Any]:
    return {
        "view": "data",
        "path": "/",
        "entry": make.entry(b"/", "dir"),
        "entries": [make.entry(b"/" + name, size=1536) for name in sorted(names)],
        "next_cursor": None,
        "quality": make.quality(),
        **more,
    }


def test_ls_into_a_pipe_gives_the_very_bytes(fustor: Fustor, server: Any, make: Any) -> None:
    server.answer("/views/data/ls", listing(make, ODD))
    done = fustor("view", "ls")
    assert done.code == 0
    assert done.out == b"".join(name + b"\n" for name in sorted(ODD))
    assert done.err == ""


def test_ls_on_a_terminal_shows_no_raw_control_bytes(
    terminal: Fustor, server: Any, make: Any
) -> None:
    document = listing(make, ODD)
    document["entries"].append(make.entry(b"/zdir", "dir"))
    server.answer("/views/data/ls", document)
    code, shown = terminal("view", "ls", "-l", NO_COLOR="1")
    assert code == 0
    lines = shown.split("\n")
    assert len(lines) == len(ODD) + 2
    assert all(line.isprintable() for line in lines)
    assert lines[0].startswith("-rw-r--r--")
    for text in (r"new\nline", r"\377\376", r"two\ words", r"\033[31mred", "ü漢", "zdir/"):
        assert any(line.endswith(text) for line in lines), text


def test_short_names_stand_side_by_side(terminal: Fustor, server: Any, make: Any) -> None:
    names = [f"name-{number:03}".encode() for number in range(30)]
    server.answer("/views/data/ls", listing(make, names))
    lines = terminal("view", "ls", NO_COLOR="1")[1].splitlines()
    assert 2 < len(lines) < 6
    assert max(map(len, lines)) <= 100
    assert lines[0].split()[:2] == ["name-000", f"name-{len(lines):03}"]
    assert sorted(" ".join(lines).split()) == [name.decode() for name in names]


def test_colours_are_for_terminals_that_want_them(
    terminal: Fustor, fustor: Fustor, server: Any, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answer("/views/data/ls", {**listing(make, []), "entries": [make.entry(b"/d", "dir")]})
    assert "\x1b[" in terminal("view", "ls")[1]
    assert "\x1b[" not in terminal("view", "ls", NO_COLOR="1")[1]
    assert "\x1b[" not in terminal("view", "ls", TERM="dumb")[1]
    assert fustor("view", "ls").out == b"d\n"
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert fustor("view", "ls").out == b"\x1b[1;34md\x1b[0m\n"


def test_a_terminal_without_utf8_gets_ascii(terminal: Fustor, server: Any, make: Any) -> None:
    server.answer("/views/data/ls", listing(make, ["ü".encode()]))
    answer = {**make.entry(b"/", "dir"), "children": [make.entry(b"/x")]}
    server.answer("/views/data/tree", {"tree": answer, "quality": make.quality()})
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "NO_COLOR": "1"}
    assert terminal("view", "ls", **plain)[1] == "\\303\\274\n"
    assert "`-- x" in terminal("view", "tree", **plain)[1]


def test_ls_reads_all_pages_unless_limited(fustor: Fustor, server: Any, make: Any) -> None:
    names = [f"{number:05}".encode() for number in range(7)]

    def page(params: dict[str, str]) -> dict[str, Any]:
        begin = int(params.get("cursor", 0))
        end = begin + min(int(params["limit"]), 3)
        cursor = str(end) if end < len(names) else None
        return listing(make, names[begin:end], next_cursor=cursor)

    server.answer("/views/data/ls", page)
    assert fustor("view", "ls").lines == names
    document = fustor("view", "ls", "--json").document
    assert [entry["name"] for entry in document["entries"]] == [name.decode() for name in names]
    assert document["next_cursor"] is None
    limited = fustor("view", "ls", "--limit", "2")
    assert limited.lines == names[:2]
    assert "--cursor 2" in limited.err
    assert fustor("view", "ls", "--cursor", "5").lines == names[5:]
    lines = [json.loads(line) for line in fustor("view", "ls", "--jsonl").lines]
    assert [line["name"].encode() for line in lines[:-1]] == names
    assert lines[-1]["summary"]["next_cursor"] is None
    assert "quality" in lines[-1]["summary"]


def test_doubts_are_said_on_stderr(fustor: Fustor, server: Any, make: Any) -> None:
    gap = {"path": "/secret", "reason": "permission", "errno": 13}
    doubtful = make.quality(
        complete=False, unscanned=[gap], unscanned_total=4, suspects=2, stale=True, age_s=131.0
    )
    server.answer("/views/data/ls", listing(make, [b"a"], quality=doubtful))
    done = fustor("view", "ls")
    assert done.out == b"a\n"
    for part in (
        "stale: last seen 2 m 11 s ago",
        "4 directories",
        "/secret (permission denied)",
        "3 more",
        "2 suspect entries",
    ):
        assert part in done.err
    assert done.err.count("\n") == 1
    assert fustor("view", "ls", "-q").err == ""
    assert fustor("view", "ls", "--json").err == ""


@pytest.mark.parametrize(
    ("slug", "status", "code"),
    [("absent", 404, 5), ("unknown-path", 404, 7), ("no-such-view", 404, 5), ("malformed", 400, 2),
     ("forbidden", 403, 6), ("unauthorized", 401, 6), ("slow-down", 503, 4), ("x", 500, 1)],
)  # fmt: skip
def test_problems_become_exit_codes(
    fustor: Fustor, server: Any, make: Any, slug: str, status: int, code: int
) -> None:
    server.answer("/views/data/ls", make.problem(slug, status, "it is so", remedy="do this"))
    plain = fustor("view", "ls", "/x")
    assert plain.code == code
    assert plain.out == b""
    assert plain.err == "fustor: it is so\n  remedy: do this\n"
    told = fustor("view", "ls", "/x", "--json")
    assert (told.code, told.out) == (code, b"")
    assert told.problem["type"] == f"urn:fustor:problem:{slug}"
    assert told.problem["status"] == status


@pytest.mark.parametrize(("existence", "code"), [("present", 0), ("absent", 5), ("unknown", 7)])
def test_stat(fustor: Fustor, server: Any, make: Any, existence: str, code: int) -> None:
    found = make.entry(b"/\xff", size=12595, flags=["suspect"]) if code == 0 else None
    answer = {"view": "data", **make.named(b"/\xff"), "existence": existence, "entry": found,
              "quality": make.quality()}  # fmt: skip
    server.answer("/views/data/stat", answer)
    told = fustor("view", "stat", b"/\xff", "--json")
    assert (told.code, told.document) == (code, answer)
    assert server.asked("/views/data/stat") == [{"path_b64": "L/8="}]
    plain = fustor("view", "stat", b"/\xff")
    assert plain.code == code
    if found:
        for part in (
            b"/\xff\n",
            b"12.3 KiB (12,595 bytes)",
            b"(0644)",
            b"suspect",
            b"inode 9223372036854775819",
            b"within 250 ms",
            b".123456789",
        ):
            assert part in plain.out
    else:
        assert plain.out == b""
        assert r"data:/\377" in plain.err


def test_tree(fustor: Fustor, server: Any, make: Any) -> None:
    deep = make.entry(b"/d/deep", "dir", rollup=make.rollup(files=1204, bytes=3 << 30))
    inner = make.entry(b"/d", "dir")
    inner["children"] = [deep, make.entry(b"/d/\xff", flags=["debt"])]
    top = make.entry(b"/", "dir", rollup=make.rollup(files=2, dirs=2, bytes=10))
    top["children"] = [inner, make.entry(b"/z")]
    answer = {"view": "data", "tree": top, "truncated": True, "quality": make.quality()}
    server.answer("/views/data/tree", answer)
    done = fustor("view", "tree")
    assert done.out.decode("utf-8", "surrogateescape").splitlines() == [
        "/",
        "├── d",
        "│   ├── deep  [1,204 files, 3.0 GiB]",
        "│   └── \udcff  [debt]",
        "└── z",
    ]
    assert "2 directories, 2 files, 10 B" in done.err
    assert "--depth" in done.err
    assert server.asked("/views/data/tree") == [{"path": "/", "depth": "3", "limit": "10000"}]


def test_a_tree_may_be_very_deep(fustor: Fustor, server: Any, make: Any) -> None:
    depth = 2000
    tree = b'{"name": "d", "type": "dir", "children": [' * depth + b"]}" * depth
    server.answer("/views/data/tree", lambda _: b'{"tree": ' + tree + b', "quality": {}}')
    done = fustor("view", "tree", "--depth", "0")
    assert done.code == 0
    assert len(done.lines) == depth


def test_du(fustor: Fustor, server: Any, make: Any) -> None:
    children = [
        {"name": "small", "rollup": make.rollup(files=1, bytes=512)},
        {**make.named(b"\xff", "name"), "rollup": make.rollup(files=1203, dirs=9, bytes=3 << 30)},
    ]
    whole = make.rollup(files=1204, dirs=11, bytes=(3 << 30) + 512)
    answer = {"view": "data", "path": "/d", "rollup": whole, "children": children,
              "quality": make.quality()}  # fmt: skip
    server.answer("/views/data/du", answer)
    done = fustor("view", "du", "/d", "--depth", "1")
    assert done.lines == [
        b"  512 B       1 file   0 dirs  /d/small",
        b"3.0 GiB  1,203 files   9 dirs  /d/\xff",
        b"3.0 GiB  1,204 files  11 dirs  /d",
    ]
    assert server.asked("/views/data/du") == [{"path": "/d", "depth": "1"}]
    assert fustor("view", "du", "/d", "--json").document == answer


def test_view_list(fustor: Fustor, server: Any, root: Path, make: Any) -> None:
    done = fustor("view", "list")
    assert done.lines[0].startswith(b"data  " + os.fsencode(root))
    assert b"1,204 files" in done.out
    assert b"5.0 GiB" in done.out
    assert b"complete" in done.out
    assert fustor("view", "list", "--json").document["views"][0]["view"] == "data"
    assert fustor("view", "list", "--jsonl").document["view"] == "data"
    server.answer("/views", {"views": []})
    assert fustor("view", "list").out == b""


def test_drop_asks_first(fustor: Fustor, program: Fustor, server: Any, make: Any) -> None:
    server.answer("/views/data", {"dropped": "data"}, "DELETE")
    done = fustor("view", "drop", "data", "--yes", "--json")
    assert (done.code, done.document) == (0, {"dropped": "data"})
    with program("view", "drop", "data", stdin=-3) as unanswered:  # /dev/null
        _, err = unanswered.communicate()
    assert unanswered.returncode == 2
    assert b"--yes" in err
    assert len(server.asked("/views/data", "DELETE")) == 1
    assert fustor("view", "drop", "nope", "--yes").code == 5
    server.answer("/views/data", make.problem("view-locked", 409, "a pipe feeds it"), "DELETE")
    assert fustor("view", "drop", "data", "--yes").code == 8


def test_a_path_argument_is_resolved_against_the_roots(
    fustor: Fustor, server: Any, root: Path, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answer("/views/data/du", {"rollup": make.rollup(), "quality": make.quality()})
    monkeypatch.chdir(root)
    for typed in ("a/b", str(root / "a/b"), "data:/a/b", "/a/b"):
        assert fustor("view", "du", typed).code == 0
    assert {params["path"] for params in server.asked("/views/data/du")} == {"/a/b"}
    monkeypatch.chdir("/")
    outside = fustor("view", "du", "a")
    assert outside.code == 2
    assert str(root) in outside.err


def test_several_views_need_a_choice(fustor: Fustor, server: Any, root: Path, make: Any) -> None:
    views = [make.view_status("data", os.fsencode(root)), make.view_status("more", b"/more")]
    server.answer("/views", {"views": views})
    server.answer("/views/more/du", {"rollup": make.rollup(), "quality": make.quality()})
    done = fustor("view", "du")
    assert done.code == 2
    assert "data, more" in done.err
    assert fustor("view", "du", "--view", "more").code == 0
    assert fustor("--view", "more", "view", "du", "/x").code == 0
    assert fustor("view", "du", "more:/x").code == 0
    assert fustor("view", "du", "--view", "nope").code == 5
