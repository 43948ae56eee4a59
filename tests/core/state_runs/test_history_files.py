"""A run's files on a disk: whole or not at all, sealed or plain, read again, pruned."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from fustor_core.errors import ConfigError, StateError
from fustor_core.state_runs.chronicle import Drop, Put
from fustor_core.state_runs.folders import (
    RunFolder,
    folder_name,
    read_run,
    remove,
    run_folder,
    run_folders,
    superfluous,
)
from fustor_core.state_runs.journal import RunJournal, header_after, header_at, new_id
from fustor_core.state_runs.records import ExecutionContext, RunHeader, RunState
from fustor_core.state_runs.replaying import state_at
from fustor_core.state_runs.scribe import Scribe
from fustor_core.state_runs.sealing import Keyring, read_keyring
from fustor_core.state_runs.transactions import ENGINE, Versions
from fustor_core.states.node import NodeStatus

S = NodeStatus
LIMIT_S = 30.0
DAY_S = 86400.0
KEY, OTHER = b"k" * 32, b"o" * 32


def journal(
    folder: Path, keys: Keyring | None = None, **limits: Any
) -> tuple[RunJournal, Versions]:
    state = RunState(header_at(time.time(), "0.1.0", "0" * 16), ExecutionContext({"A": "b"}))
    none = {"rotate_bytes": 0, "rotate_age_s": 0.0, "keep_bytes": 0, "keep_age_s": 0.0}
    warned: list[str] = []
    made = RunJournal(
        folder, state, keys=keys, warn=warned.append, about={"pid": 1}, **{**none, **limits}
    )
    return made, Versions(state)


def write(into: RunJournal, versions: Versions, name: str, *statuses: NodeStatus) -> None:
    for status in statuses:
        wish = versions.begin(ENGINE)
        if name not in versions.state.nodes:
            wish.set(f"nodes.{name}.node_id", f"{name}_1")
        wish.set(f"nodes.{name}.status", status)
        wish.set(f"nodes.{name}.input_payload", {"secret": "plain words"})
        into.take(*versions.commit(wish, time.time()))


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """The folder of a sealed run that has ended."""
    into, versions = journal(tmp_path, Keyring([KEY]))
    write(into, versions, "start_data", S.PENDING, S.EXECUTING, S.SUCCEEDED)
    write(into, versions, "messages_data", S.PENDING, S.EXECUTING)
    assert into.close(versions.state, {"reason": "stopped"}, LIMIT_S)
    return into.path


def run_at(path: Path) -> RunFolder:
    found = run_folder(path)
    assert found is not None
    return found


def test_a_folder_is_named_by_its_start_in_utc() -> None:
    header = RunHeader("pipeline_01H3XYZ9", "2.1.0", 1689859492.212, "x")
    assert folder_name(header) == "2023-07-20_132452_pipeline_01H3XYZ9"


def test_ids_sort_by_time_and_never_repeat() -> None:
    ids = [new_id(now) for now in (1.0, 2.0, 3.0)]
    assert ids == sorted(ids)
    assert len({new_id(1.0) for _ in range(100)}) == 100
    assert {len(one) for one in ids} == {len("pipeline_") + 26}


def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    into, versions = journal(tmp_path / "a" / "b")
    write(into, versions, "start_data", S.PENDING)
    assert into.close(versions.state, {}, LIMIT_S)
    assert stat.S_IMODE(into.path.stat().st_mode) == 0o700
    modes = {stat.S_IMODE(file.stat().st_mode) for file in into.path.iterdir()}
    assert modes == {0o600}


def test_a_run_goes_on_until_its_process_ends(tmp_path: Path) -> None:
    into, versions = journal(tmp_path)
    write(into, versions, "start_data", S.PENDING)
    assert into.flush(LIMIT_S)
    (run,) = run_folders(tmp_path)
    assert read_run(run).state == "running"
    assert into.close(versions.state, {}, LIMIT_S)
    assert read_run(run).state == "ended"


def test_large_values_lie_beside(tmp_path: Path) -> None:
    into, versions = journal(tmp_path)
    wish = versions.begin(ENGINE)
    wish.set("nodes.scan_x.node_id", "scan_x_1")
    wish.set("nodes.scan_x.output_payload", {"rows": "x" * 20_000})
    into.take(*versions.commit(wish, 1.0))
    assert into.close(versions.state, {}, LIMIT_S)
    node = state_at(read_run(run_at(into.path)).story)["nodes"]["scan_x"]  # type: ignore[arg-type]
    reference = node["output_payload"]["rows"]["$artifact"]
    content = into.path / f"artifact_{reference.partition(':')[2]}.json"
    assert json.loads(content.read_text()) == "x" * 20_000


WRITER = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_history_files import S, journal, write
into, versions = journal(Path(sys.argv[1]))
print("begun", flush=True)
for number in range(1_000_000):
    write(into, versions, "audit_data", S.PENDING, S.EXECUTING, S.SUCCEEDED)
"""


@pytest.mark.parametrize("after_s", [0.05, 0.3, 0.6])
def test_whenever_the_writer_is_killed_what_is_there_can_be_read(
    tmp_path: Path, after_s: float
) -> None:
    """kill -9 in the middle of writing: every file is whole, the run is told as killed."""
    place = str(Path(__file__).parent)
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path), place], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        threading.Event().wait(after_s)  # any instant will do
    finally:
        process.kill()
        process.communicate(timeout=LIMIT_S)
    assert process.returncode == -signal.SIGKILL, "it was still writing"
    (run,) = run_folders(tmp_path)
    read = read_run(run)
    assert read.faults == []
    assert read.state == "killed"
    assert read.story is not None
    assert not read.story.complete


# ---------------------------------------------------------------- sealed


def test_sealed_files_say_nothing_and_open_with_the_key(kept: Path) -> None:
    content = b"".join(file.read_bytes() for file in kept.iterdir())
    for word in (b"plain words", b"start_data", b"succeeded", KEY, base64.b64encode(KEY)):
        assert word not in content
    read = read_run(run_at(kept), Keyring([KEY]))
    assert read.faults == []
    assert read.sealed
    assert read.story is not None
    assert read.story.complete
    assert state_at(read.story)["nodes"]["start_data"]["input_payload"] == {"secret": "plain words"}


def test_without_the_key_each_file_says_which_one_it_needs(kept: Path) -> None:
    read = read_run(run_at(kept))
    assert (read.state, read.locked) == ("encrypted", True)
    assert len(read.faults) == len(list(kept.iterdir()))
    assert Keyring([KEY]).first in read.faults[0]
    other = read_run(run_at(kept), Keyring([OTHER]))
    assert all("was not given" in fault for fault in other.faults)


@pytest.mark.parametrize("harm", ["flip", "cut", "empty", "swap", "plain", "rename", "kid"])
def test_a_file_that_was_tampered_with_is_named(kept: Path, harm: str) -> None:
    name = "state_node_start_data_1_attempt1.json"
    file, other = kept / name, kept / "state_node_messages_data_1_attempt1.json"
    envelope = json.loads(file.read_bytes())
    if harm == "flip":
        sealed = bytearray(base64.b64decode(envelope["ct"]))
        sealed[len(sealed) // 2] ^= 1
        file.write_text(json.dumps({**envelope, "ct": base64.b64encode(sealed).decode()}))
    elif harm == "cut":
        file.write_bytes(file.read_bytes()[:-20])
    elif harm == "empty":
        file.write_bytes(b"")
    elif harm == "swap":
        shutil.copy(other, file)
    elif harm == "plain":
        file.write_text(json.dumps({"node_id": "start_data_1", "ext": {"format": 1}}))
    elif harm == "rename":
        shutil.copy(file, kept / "state_node_start_data_1_attempt2.json")
        name = "state_node_start_data_1_attempt2.json"
    elif harm == "kid":
        file.write_text(json.dumps({**envelope, "kid": "0" * 12}))
    read = read_run(run_at(kept), Keyring([KEY]))
    assert [fault for fault in read.faults if fault.startswith(name)], read.faults
    assert read.story is not None, "the others are told"


def test_a_file_of_another_run_does_not_open(kept: Path, tmp_path: Path) -> None:
    into, versions = journal(tmp_path, Keyring([KEY]))
    write(into, versions, "start_data", S.PENDING)
    assert into.close(versions.state, {}, LIMIT_S)
    name = "state_node_start_data_1_attempt1.json"
    shutil.copy(into.path / name, kept / name)
    assert name in " ".join(read_run(run_at(kept), Keyring([KEY])).faults)


def test_a_file_that_was_removed_is_missed(kept: Path) -> None:
    (kept / "state_node_start_data_1_attempt1.json").unlink()
    read = read_run(run_at(kept), Keyring([KEY]))
    assert any("changes are missing" in fault for fault in read.faults)


def test_keys_are_rotated(tmp_path: Path, kept: Path) -> None:
    """A new key comes first; what older ones have sealed stays readable, in one run even."""
    both = Keyring([OTHER, KEY])
    into, versions = journal(tmp_path, both)
    write(into, versions, "start_data", S.PENDING)
    assert into.close(versions.state, {}, LIMIT_S)
    envelope = json.loads((into.path / "state_init.json").read_bytes())
    assert envelope["kid"] == Keyring([OTHER]).first
    assert [read_run(run, both).faults for run in run_folders(tmp_path)] == [[], []]


def test_where_keys_may_stand(tmp_path: Path) -> None:
    text = base64.b64encode(KEY).decode()
    file = tmp_path / "key"
    for content in (text, f"{text}\n{OTHER.hex()}\n", base64.urlsafe_b64encode(KEY).decode()):
        file.write_text(content)
        file.chmod(0o600)
        ring, secrets = read_keyring(f"file:{file}", {})
        assert ring.first == Keyring([KEY]).first
        assert text in secrets
    file.write_bytes(KEY)
    assert read_keyring(f"file:{file}", {})[0].first == Keyring([KEY]).first
    assert read_keyring("env:STATE_KEY", {"STATE_KEY": text})[0].first == Keyring([KEY]).first


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        (base64.b64encode(KEY).decode(), "named, not written out"),
        ("vault://x", "named, not written out"),
        ("env:NOT_THERE", "NOT_THERE is not set"),
        ("env:SHORT", "key 1 is not of 32 bytes"),
        ("file:/nowhere/key", "cannot be read"),
        ("file:{open}", "others may read"),
        ("file:{empty}", "holds no key"),
    ],
)
def test_keys_that_cannot_be_used(tmp_path: Path, reference: str, told: str) -> None:
    (tmp_path / "open").write_text(KEY.hex())
    (tmp_path / "open").chmod(0o640)
    (tmp_path / "empty").touch(0o600)
    filled = reference.format(open=tmp_path / "open", empty=tmp_path / "empty")
    with pytest.raises(ConfigError, match=told) as refused:
        read_keyring(filled, {"SHORT": "not a key at all"})
    assert refused.value.remedy
    assert base64.b64encode(KEY).decode() not in str(refused.value)
    assert "not a key at all" not in str(refused.value)


def test_without_the_library_nothing_is_kept_in_the_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    with pytest.raises(ConfigError, match="cryptography is needed") as refused:
        read_keyring("env:STATE_KEY", {"STATE_KEY": KEY.hex()})
    assert "fustor[encryption]" in refused.value.remedy


# ---------------------------------------------------------------- rotation, pruning


def test_a_folder_is_followed_by_another(tmp_path: Path) -> None:
    into, versions = journal(tmp_path, rotate_bytes=1000)
    write(into, versions, "messages_data", S.PENDING, S.EXECUTING)
    assert into.flush(LIMIT_S)
    assert into.due
    first = into.path
    header = header_after(versions.state.header, time.time() + 2)
    versions.state = into.rotate(versions.state, header, LIMIT_S)
    write(into, versions, "messages_data", S.SUCCEEDED)
    assert into.close(versions.state, {"reason": "stopped"}, LIMIT_S)
    before, after = (read_run(run).story for run in run_folders(tmp_path))
    assert before is not None
    assert after is not None
    assert (before.complete, after.complete) == (True, True)
    assert before.final is not None
    assert before.final["ext"]["continued_by"] == into.path.name
    assert after.ext["continues"] == first.name
    assert state_at(after)["nodes"]["messages_data"]["status"] == "succeeded"
    assert state_at(before)["nodes"]["messages_data"]["status"] == "executing"


def folders(*runs: tuple[float, int]) -> list[RunFolder]:
    return [RunFolder(Path(f"/nowhere/{at}"), "x", at, size) for at, size in runs]


def test_what_is_too_old_goes_and_then_the_oldest() -> None:
    now = 100 * DAY_S
    runs = folders((1 * DAY_S, 10), (50 * DAY_S, 10), (98 * DAY_S, 10), (99 * DAY_S, 10))

    def going(**limits: Any) -> list[float]:
        none = {"keep_age_s": 0.0, "keep_bytes": 0}
        return [run.started / DAY_S for run in superfluous(runs, now, **{**none, **limits})]

    assert going() == []
    assert going(keep_age_s=60 * DAY_S) == [1]
    assert going(keep_bytes=25) == [1, 50]
    assert going(keep_bytes=35, keep_age_s=60 * DAY_S) == [1]
    assert going(keep_bytes=1) == [1, 50, 98], "the newest stays"


def test_a_run_that_goes_on_is_never_removed(tmp_path: Path) -> None:
    into, versions = journal(tmp_path)
    assert into.flush(LIMIT_S)
    later = folders((time.time() + 10, 1))
    runs = [*run_folders(tmp_path), *later]
    assert superfluous(runs, time.time() + DAY_S, keep_age_s=1, keep_bytes=1) == []
    assert into.close(versions.state, {}, LIMIT_S)
    (gone,) = superfluous(runs, time.time() + DAY_S, keep_age_s=1, keep_bytes=1)
    remove(gone)
    assert run_folders(tmp_path) == []


# ---------------------------------------------------------------- trouble


def test_a_disk_that_is_full_costs_history_for_a_while(tmp_path: Path) -> None:
    """A folder that is gone stands for any error: it is told, tried again, and told when over."""
    said: list[str] = []
    scribe = Scribe(tmp_path / "run", "x", trouble=said.append)
    moved = tmp_path / "elsewhere"
    (tmp_path / "run").rename(moved)
    scribe.do([Put("state_init.json", {"number": number}) for number in range(50)])
    end = time.monotonic() + LIMIT_S
    while not said and time.monotonic() < end:
        threading.Event().wait(0.01)
    assert "cannot be written" in said[0]
    moved.rename(tmp_path / "run")
    scribe.do([Put("other.json", {}), Drop("gone.json")])
    assert scribe.close(LIMIT_S)
    assert json.loads((tmp_path / "run" / "state_init.json").read_text()) == {"number": 49}
    assert "is written again" in said[-1]
    assert len(said) == 2


def test_a_place_where_nothing_can_be_kept(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StateError, match="cannot be kept in") as refused:
        journal(tmp_path / "file" / "history")
    assert refused.value.remedy


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("state_init.json", b"{}"),
        ("state_init.json", b"[1]"),
        ("state_init.json", b"\xff\xfe"),
        ("state_init.json", b'{"ext": {"format": 99}}'),
        ("state_init.json", b'{"ext": {"format": 1}}'),
        ("state_final.json", b"[" * 100_000),
        ("state_node_x_attempt1.json", b'{"ext": {"format": 1, "name": "x"}}'),
    ],
)
def test_no_content_of_a_file_is_a_traceback(tmp_path: Path, name: str, content: bytes) -> None:
    into, versions = journal(tmp_path)
    assert into.close(versions.state, {}, LIMIT_S)
    (into.path / name).write_bytes(content)
    assert read_run(run_at(into.path)).faults


def test_what_is_no_run_is_none(tmp_path: Path) -> None:
    for name in ("notes", "2023-07-20_999999_x", "2023-07-20_132452"):
        (tmp_path / name).mkdir()
    (tmp_path / "2023-07-20_132452_file").touch()
    assert run_folders(tmp_path) == []
    assert run_folders(tmp_path / "nowhere") == []
    assert run_folder(tmp_path / "notes") is None
    os.rmdir(tmp_path / "notes")
