"""The store of keys: what is on disk, who may read it, what a crash leaves, when a key ends."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from fustor_core import keys
from fustor_core.contracts import Access
from fustor_core.errors import DiskFull, NoSuchKey, StateError, Unauthorized
from fustor_core.key_files import PEPPER, TABLE, read_keys
from fustor_core.key_store import KeyStore
from fustor_core.keys import USE_STEP_US

pytestmark = pytest.mark.anyio

LIMIT_S = 20.0
READ = keys.asked(["read"], ["v*"])


def opened(folder: Path) -> KeyStore:
    store = KeyStore(folder)
    store.open()
    return store


@asynccontextmanager
async def running(store: KeyStore, ended: list[str] | None = None) -> AsyncIterator[None]:
    async def on_end(key_id: str) -> None:
        if ended is not None:
            ended.append(key_id)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(store.run, on_end)
        yield
        tasks.cancel_scope.cancel()


async def test_a_key_lives_over_restarts(tmp_path: Path) -> None:
    made = await opened(tmp_path).create(READ)
    access = opened(tmp_path).access(made["key"])
    assert (access.key_id, access.rights, access.views) == (made["id"], {"read"}, ("v*",))
    assert made["key"].startswith(f"fst_{made['id']}_")


async def test_secrets_are_long_and_never_the_same(tmp_path: Path) -> None:
    store = opened(tmp_path)
    made = [(await store.create(READ))["key"].split("_", 2)[2] for _ in range(20)]
    assert len(set(made)) == 20
    assert {len(secret) for secret in made} == {43}, "256 bits in base64"


async def test_nothing_on_disk_or_in_a_repr_tells_a_secret(tmp_path: Path) -> None:
    store = opened(tmp_path)
    made = await store.create(READ)
    secret = made["key"].split("_", 2)[2]
    lent = store.lend().split("_", 2)[2]
    pepper = (tmp_path / PEPPER).read_bytes()
    text = repr(store) + str(store) + json.dumps(store.documents()) + repr(vars(store)["_table"])
    for path in tmp_path.iterdir():
        content = path.read_bytes()
        assert secret.encode() not in content
        assert lent.encode() not in content
        assert path.name == PEPPER or (pepper not in content and pepper.hex() not in str(content))
    assert secret not in text
    assert lent not in text
    digest = json.loads((tmp_path / TABLE).read_text())["keys"][0]["digest"]
    assert digest not in text


async def test_the_files_are_their_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        await opened(tmp_path).create(READ)
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {TABLE: 0o600, PEPPER: 0o600}
    for path in tmp_path.iterdir():
        path.chmod(0o644)
    opened(tmp_path)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


async def test_a_key_of_the_run_is_stored_nowhere(tmp_path: Path) -> None:
    store = opened(tmp_path)
    lent = store.lend()
    assert store.access(lent).covers("admin", view="any", pipe="any")
    made = await store.create(READ)
    again = opened(tmp_path)
    assert [key["id"] for key in again.documents()] == [made["id"]]
    with pytest.raises(Unauthorized):
        again.access(lent)
    memory = KeyStore()
    memory.open()
    assert memory.access(memory.lend()).rights == Access().rights


async def test_a_revoked_key_opens_nothing_now_and_later(tmp_path: Path) -> None:
    store = opened(tmp_path)
    made, other = await store.create(READ), await store.create(READ)
    told = await store.revoke(made["id"])
    assert told["revoked"] is not None
    for one in (store, opened(tmp_path)):
        with pytest.raises(Unauthorized):
            one.access(made["key"])
        assert one.access(other["key"]).key_id == other["id"]
    with pytest.raises(NoSuchKey):
        await store.revoke("nobody")


async def test_a_rotated_key_leaves_the_old_one_its_time(tmp_path: Path) -> None:
    store = opened(tmp_path)
    old = await store.create(READ)
    async with running(store, ended := []):
        new = await store.rotate(old["id"], overlap_s=0.3)
        assert store.access(old["key"]).views == store.access(new["key"]).views == ("v*",)
        with anyio.fail_after(LIMIT_S):
            await store.ended(old["id"])
    with pytest.raises(Unauthorized):
        store.access(old["key"])
    again = opened(tmp_path)
    assert again.access(new["key"]).key_id == new["id"]
    newest = await again.rotate(new["id"])
    with pytest.raises(Unauthorized):
        again.access(new["key"])
    assert again.access(newest["key"]).rights == {"read"}
    assert ended == [old["id"]]


async def test_an_end_is_told(tmp_path: Path) -> None:
    store = opened(tmp_path)
    told: list[str] = []
    async with running(store, told), anyio.create_task_group() as waits:
        short = await store.create(READ, lives_s=0.2)
        revoked, stays = await store.create(READ), await store.create(READ)
        over: list[str] = []

        async def wait(key_id: str) -> None:
            await store.ended(key_id)
            over.append(key_id)

        for key_id in (short["id"], revoked["id"], stays["id"], ""):
            waits.start_soon(wait, key_id)
        with anyio.fail_after(LIMIT_S):
            await store.ended(short["id"])
        with anyio.fail_after(LIMIT_S):
            waits.start_soon(store.revoke, revoked["id"])
            await store.ended(revoked["id"])
            await store.ended("never made")
        with anyio.fail_after(LIMIT_S):
            while len(told) < 2:
                await anyio.lowlevel.checkpoint()
        waits.cancel_scope.cancel()
    assert told == [short["id"], revoked["id"]]
    assert over == [short["id"], revoked["id"]]


async def test_wall_time_that_jumps_ends_a_key(tmp_path: Path) -> None:
    now = [1_000_000]
    store = KeyStore(tmp_path, now_us=lambda: now[0])
    made = await store.create(READ, lives_s=3600)
    async with running(store):
        now[0] += 3600 * 1_000_000
        with anyio.fail_after(LIMIT_S):
            await store.ended(made["id"])


async def test_a_use_is_written_with_the_next_change(tmp_path: Path) -> None:
    now = [USE_STEP_US * 5 + 7]
    store = KeyStore(tmp_path, now_us=lambda: now[0])
    made = await store.create(READ)
    before = (tmp_path / TABLE).read_bytes()
    store.access(made["key"])
    assert (tmp_path / TABLE).read_bytes() == before, "no write for a request"
    assert store.documents()[0]["last_used"] == "1970-01-01T05:00:00.000000Z"
    await store.write_uses()
    assert opened(tmp_path).documents() == store.documents()


async def test_a_revocation_holds_though_the_disk_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(tmp_path)
    made, other = await store.create(READ), await store.create(READ)

    def full(*_: object) -> None:
        raise DiskFull("full")

    monkeypatch.setattr("fustor_core.key_store.write_keys", full)
    for refused in (
        store.revoke(made["id"]),
        store.create(READ),
        store.rotate(other["id"]),
    ):
        with pytest.raises(DiskFull):
            await refused
    with pytest.raises(Unauthorized):
        store.access(made["key"])
    assert store.access(other["key"]).rights == {"read"}
    assert len(store.documents()) == 2
    monkeypatch.undo()
    await store.write_uses()
    with pytest.raises(Unauthorized):
        opened(tmp_path).access(made["key"])


async def test_changes_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    store = opened(tmp_path)
    first = [await store.create(READ) for _ in range(5)]
    async with anyio.create_task_group() as group:
        for made in first:
            group.start_soon(store.revoke, made["id"])
            group.start_soon(store.create, READ)
    again = opened(tmp_path)
    assert again.documents() == store.documents()
    assert sum(key["revoked"] is not None for key in again.documents()) == 5
    assert len(again.documents()) == 10


async def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    store = opened(tmp_path / "gone")
    with pytest.raises(StateError, match="gone"):
        await store.create(READ)


DAMAGES: list[tuple[str, bytes | None, str]] = [
    (TABLE, b"", "damaged"),
    (TABLE, b"{", "damaged"),
    (TABLE, b'{"format": 1, "keys": [{"id": 7}]}', "damaged"),
    (TABLE, b"\xff", "damaged"),
    (TABLE, b'{"format": 2}', "reads up to 1"),
    (PEPPER, None, "missing or damaged"),
    (PEPPER, b"short", "missing or damaged"),
    (PEPPER, b"another".ljust(32), "do not belong together"),
]


@pytest.mark.parametrize(("name", "content", "words"), DAMAGES)
async def test_damage_is_said_with_a_remedy(
    tmp_path: Path, name: str, content: bytes | None, words: str
) -> None:
    await opened(tmp_path).create(READ)
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(StateError, match=words) as caught:
        opened(tmp_path)
    assert caught.value.remedy


async def test_a_single_bit_of_either_file_is_noticed(tmp_path: Path) -> None:
    await opened(tmp_path).create(READ)
    for path in (tmp_path / TABLE, tmp_path / PEPPER):
        whole = path.read_bytes()
        for place in range(len(whole)):
            harmed = bytearray(whole)
            harmed[place] ^= 1 << place % 7
            path.write_bytes(harmed)
            try:
                known = opened(tmp_path).documents()
            except StateError:
                continue
            assert chr(whole[place]).isspace(), f"{path.name}: byte {place}: {known}"
        path.write_bytes(whole)
    assert len(opened(tmp_path).documents()) == 1


# A process that kills itself before its N-th call that touches the disk.
DYING = """
import os, signal, sys, anyio
from pathlib import Path
from fustor_core import keys
from fustor_core.key_store import KeyStore
folder, left = Path(sys.argv[1]), int(sys.argv[2])
def dying(call):
    def wrapped(*args, **options):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **options)
    return wrapped
async def change():
    store = KeyStore(folder)
    store.open()
    if sys.argv[3:]:
        await store.rotate(sys.argv[3])
    else:
        await store.create(keys.asked(["push"]))
for name in ("open", "fchmod", "write", "fsync", "close", "rename"):
    setattr(os, name, dying(getattr(os, name)))
try:
    anyio.run(change)
finally:
    left = 1 << 30
"""


@pytest.mark.long
@pytest.mark.parametrize("rotating", [False, True], ids=["create", "rotate"])
async def test_a_kill_at_any_step_leaves_a_readable_store(tmp_path: Path, rotating: bool) -> None:
    first = await opened(tmp_path).create(READ) if rotating else {"id": "", "key": ""}
    table = (tmp_path / TABLE).read_bytes() if rotating else b""
    for steps in range(200):
        arguments = [sys.executable, "-c", DYING, str(tmp_path), str(steps)]
        arguments += [first["id"]] if rotating else []
        done = await anyio.to_thread.run_sync(
            lambda arguments=arguments: subprocess.run(
                arguments, check=False, timeout=LIMIT_S, capture_output=True
            )
        )
        _, found = read_keys(tmp_path)
        assert not list(tmp_path.glob(".keys*")), "what was left is removed"
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr.decode()
        if rotating:
            good = [key for key in found.values() if key.good(1 << 62)]
            assert len(good) == 1, "the old key or the new one"
            (tmp_path / TABLE).write_bytes(table)
    else:
        raise AssertionError("it never came through")
    assert steps > 5
    assert len(found) >= (2 if rotating else 1)
