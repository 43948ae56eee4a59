"""`key create|list|revoke|rotate`, with a server and without one; files that hold keys."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fustor_core.errors import Unauthorized
from fustor_core.key_store import KeyStore
from fustor_core.state import StateDirectory

Fustor = Callable[..., Any]


def stored(home: Path) -> KeyStore:
    store = KeyStore(home / "fusion")
    store.open()
    return store


# ------------------------------------------------------------------ nothing runs


def test_without_a_server_the_files_are_changed(fustor: Fustor, home: Path) -> None:
    made = fustor("key", "create", "--json").document
    assert set(made) == {"id", "key"}
    assert stored(home).access(made["key"]).rights == {"read"}
    (listed,) = fustor("key", "list", "--json").document["keys"]
    assert listed["id"] == made["id"]
    assert set(listed) == {
        "id", "scopes", "views", "pipes", "created", "expires", "last_used", "revoked",
    }  # fmt: skip
    rotated = fustor("key", "rotate", made["id"], "--json").document
    assert stored(home).access(rotated["key"]).rights == {"read"}
    with pytest.raises(Unauthorized):
        stored(home).access(made["key"])
    done = fustor("key", "revoke", rotated["id"], "--json")
    assert (done.code, done.document["revoked"] is None) == (0, False)
    with pytest.raises(Unauthorized):
        stored(home).access(rotated["key"])


def test_the_key_stands_alone_on_stdout(fustor: Fustor, home: Path) -> None:
    done = fustor("key", "create")
    assert done.code == 0
    assert len(done.lines) == 1
    key = done.lines[0].decode()
    assert stored(home).access(key).key_id == key.split("_")[1]
    assert key not in done.err
    assert "not shown again" in done.err


def test_a_key_is_for_what_is_named(fustor: Fustor, home: Path) -> None:
    words = ("--scope", "push, scan", "--view", "a*", "--view", "b", "--pipe", "p?")
    made = fustor("key", "create", *words, "--expires", "2h", "--json").document
    access = stored(home).access(made["key"])
    assert (access.rights, access.views, access.pipes) == ({"push", "scan"}, ("a*", "b"), ("p?",))
    (listed,) = fustor("key", "list", "--json").document["keys"]
    assert listed["expires"] > listed["created"]


def test_no_list_tells_a_secret(fustor: Fustor, home: Path) -> None:
    made = fustor("key", "create", "--json").document
    secret = made["key"].split("_", 2)[2]
    for form in ((), ("--json",), ("--jsonl",)):
        done = fustor("key", "list", *form)
        assert made["id"] in done.out.decode()
        assert secret not in done.out.decode() + done.err
    for path in home.rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes(), path


def test_nothing_is_made_to_look_at_it(fustor: Fustor, home: Path) -> None:
    assert fustor("key", "list", "--json").document == {"keys": []}
    assert fustor("key", "revoke", "nobody").code == 5
    assert fustor("key", "rotate", "nobody").code == 5
    assert not home.exists()


def test_an_unknown_key_is_said_with_a_remedy(fustor: Fustor) -> None:
    fustor("key", "create")
    done = fustor("key", "revoke", "nobody", "--json")
    assert (done.code, done.problem["type"]) == (5, "urn:fustor:problem:no-such-key")
    assert "key list" in done.problem["remedy"]


@pytest.mark.parametrize(
    "words",
    [
        ("--scope", "king"),
        ("--scope", ""),
        ("--view", "A B"),
        ("--pipe", "../x"),
        ("--expires", "0"),
        ("--expires", "soon"),
    ],
)
def test_what_makes_no_sense_makes_no_key(fustor: Fustor, home: Path, words: Any) -> None:
    done = fustor("key", "create", *words)
    assert done.code == 2
    assert done.out == b""
    assert not home.exists()


def test_a_key_that_is_over_is_not_rotated(fustor: Fustor) -> None:
    made = fustor("key", "create", "--json").document
    fustor("key", "revoke", made["id"])
    done = fustor("key", "rotate", made["id"])
    assert done.code == 2
    assert "key create" in done.err


def test_files_in_use_by_a_process_that_cannot_be_asked(fustor: Fustor, home: Path) -> None:
    state = StateDirectory(home)
    state.prepare(version="1")
    with state.lock("up", ("fusion",)):
        assert fustor("key", "create").code == 8
    assert fustor("key", "create").code == 0


def test_a_damaged_store_is_said(fustor: Fustor, home: Path) -> None:
    fustor("key", "create")
    (home / "fusion" / "keys.json").write_text("{")
    done = fustor("key", "create")
    assert done.code == 3
    assert "keys.json" in done.err


# ------------------------------------------------------------------ a server runs


def test_a_server_is_asked_where_one_runs(fustor: Fustor, server: Any, home: Path) -> None:
    server.answer("/keys", (201, {"id": "a1", "key": "fst_a1_secret"}), "POST")
    server.answer("/keys/a%2F1", {"id": "a/1", "revoked": "now"}, "DELETE")
    server.answer("/keys/a1/rotate", (201, {"id": "b2", "key": "fst_b2_secret"}), "POST")
    server.answer("/keys", {"keys": []})
    done = fustor("key", "create", "--scope", "read,push", "--view", "d*", "--expires", "1d")
    assert done.lines == [b"fst_a1_secret"]
    assert server.requests[-1].body == {
        "scopes": ["push", "read"],
        "views": ["d*"],
        "pipes": ["*"],
        "expires": 86_400.0,
    }
    assert fustor("key", "rotate", "a1", "--overlap", "5m").lines == [b"fst_b2_secret"]
    assert server.requests[-1].body == {"overlap": 300.0}
    assert fustor("key", "list").code == 0
    fustor("key", "revoke", "a/1")
    assert server.requests[-1].method == "DELETE"
    assert not (home / "fusion" / "keys.json").exists()


def test_what_a_server_refuses(fustor: Fustor, server: Any, make: Any) -> None:
    server.answer("/keys", make.problem("forbidden", 403, "no scope"), "POST")
    server.answer("/keys/zz", make.problem("no-such-key", 404, "no key 'zz'"), "DELETE")
    assert fustor("key", "create").code == 6
    assert fustor("key", "revoke", "zz").code == 5


def test_a_socket_that_was_left_behind_is_no_server(fustor: Fustor, own_server: Any) -> None:
    own_server.answer("/keys", {"keys": []})
    assert fustor("key", "list").code == 0
    own_server.stop()
    own_server.path.touch()
    own_server.path.unlink()
    assert fustor("key", "create").code == 0


# ------------------------------------------------------------------ --key-file


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_key_file_that_others_may_read_is_refused(
    fustor: Fustor, tmp_path: Path, mode: int
) -> None:
    file = tmp_path / "key"
    file.write_text("fst_a1_" + "s" * 43)
    file.chmod(mode)
    done = fustor("--server", "http://127.0.0.1:9", "--key-file", str(file), "status")
    assert done.code == 2
    assert f"mode {stat.S_IMODE(mode):04o}" in done.err
    assert "chmod 600" in done.err
    assert "s" * 43 not in done.err


def test_a_private_key_file_is_used(fustor: Fustor, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("fst_a1_" + "s" * 43 + "\n")
    file.chmod(0o600)
    done = fustor("--server", "http://127.0.0.1:9", "--key-file", str(file), "status")
    assert done.code == 4, "nothing listens there, but the key was taken"
    for text in ("", "two words"):
        file.write_text(text)
        assert fustor("--server", "http://127.0.0.1:9", "--key-file", str(file), "status").code == 2


def test_a_socket_needs_no_key_file(fustor: Fustor, server: Any, tmp_path: Path) -> None:
    server.answer("/keys", {"keys": []})
    assert fustor("--key-file", str(tmp_path / "none"), "key", "list").code == 0


def test_a_link_to_the_page_is_for_each_address(fustor: Fustor, server: Any) -> None:
    server.answer("/status", {"urls": ["http://127.0.0.1:8102", "http://[::1]:8102"]})
    server.answer("/login/links", {"code": "c0de", "lives_s": 600.0}, "POST")
    done = fustor("key", "link", "--scope", "read", "--view", "a*")
    assert done.lines == [b"http://127.0.0.1:8102/#code=c0de", b"http://[::1]:8102/#code=c0de"]
    assert server.requests[-1].body == {"scopes": ["read"], "views": ["a*"], "pipes": ["*"]}
    document = fustor("key", "link", "--json").document
    assert document["links"][0] == "http://127.0.0.1:8102/#code=c0de"


def test_without_an_address_there_is_no_page(fustor: Fustor, server: Any) -> None:
    server.answer("/status", {"urls": []})
    done = fustor("key", "link")
    assert done.code == 1
    assert "--listen" in done.err
