"""The keys of a fusion server: those on disk, and those that live for one run only.

    fusion/keys.json      the table, without secrets: replaced whole at every change
    fusion/keys.pepper    32 random bytes without which the table proves nothing; made once

Both 0600. A new key is durable before its owner sees it. A revocation holds from the moment it is
asked for and is written then; where the disk refuses, that is said, and it holds until the process
ends. When a key was last used is written with the next change, or after a while.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from fustor_core import keys
from fustor_core.contracts import Access
from fustor_core.errors import DiskFull, StateError
from fustor_core.key_files import PEPPER_BYTES, key_document, read_keys, write_keys
from fustor_core.keys import Key

SECRET_BYTES = 32
ID_BYTES = 6
USE_WRITTEN_S = 600.0  # how long a new `last_used` may stand in memory alone
CLOCK_LOOK_S = 0.5  # wall time may be set, or run on while the machine sleeps


def wall_us() -> int:
    """Wall time, µs since 1970."""
    return time.time_ns() // 1000


class KeyStore:
    """The keys of one server. One process at a time: the owner holds fusion's lock.

    Args:
        folder: where the files are; None: nothing is stored.
        now_us: wall time in µs.
    """

    def __init__(self, folder: Path | None = None, *, now_us: Callable[[], int] = wall_us) -> None:
        self._folder = folder
        self._now_us = now_us
        self._pepper = secrets.token_bytes(PEPPER_BYTES)
        self._table: dict[str, Key] = {}
        self._unwritten = False  # a `last_used` that is in memory alone
        self._changed = anyio.Event()
        self._writing = anyio.Lock()

    def __repr__(self) -> str:
        return f"<KeyStore {len(self._table)} keys in {self._folder or 'memory'}>"

    # ---- reading

    def open(self) -> None:
        """Read what is stored.

        Raises:
            StateError: it cannot be read, is of a newer format, or its pepper is missing.
        """
        if self._folder is not None:
            pepper, self._table = read_keys(self._folder)
            self._pepper = pepper or self._pepper

    def access(self, bearer: str) -> Access:
        """What a bearer key may do.

        Raises:
            Unauthorized: it is not known, expired or revoked.
        """
        now = self._now_us()
        key = keys.checked(self._table, self._pepper, bearer, now)
        noted = keys.used(self._table, key.id, now)
        if noted is not None:
            self._table[key.id] = noted
            self._unwritten = self._unwritten or noted.stored
        return key.access

    async def ended(self, key_id: str) -> None:
        """Return when a key is good no longer, or not known; "" never is. `run` must run."""
        while not key_id or self._good(key_id):
            await self._changed.wait()

    def documents(self) -> list[dict[str, Any]]:
        """All keys, those that are over too, oldest first; no secrets (interfaces.md §2)."""
        oldest_first = sorted(self._table.values(), key=lambda key: (key.created_us, key.id))
        return [key_document(key) for key in oldest_first]

    # ---- changing

    def lend(self, access: Access | None = None, *, lives_s: float | None = None) -> str:
        """A key of this run, which is stored nowhere.

        Args:
            access: what it may do; None = everything.
            lives_s: it expires after so many seconds; None = with the process.

        Raises:
            QueryError: there are too many keys.
        """
        expires_us = None if lives_s is None else self._now_us() + int(lives_s * 1e6)
        text, key = self._new(access or Access(), expires_us=expires_us, stored=False)
        self._table = keys.created(self._table, key, self._now_us())
        self._tell()  # its end has to be waited for
        return text

    async def create(self, access: Access, *, lives_s: float | None = None) -> dict[str, str]:
        """A new key: `{id, key}`; the only time that it is seen.

        Args:
            access: what it may do (see `keys.asked`).
            lives_s: it expires after so many seconds; None = never.

        Raises:
            QueryError: no key can be made. DiskFull, StateError: none could be stored.
        """
        async with self._writing:
            expires_us = None if lives_s is None else self._now_us() + int(lives_s * 1e6)
            text, key = self._new(access, expires_us=expires_us)
            await self._put(keys.created(self._table, key, self._now_us()))
        return {"id": key.id, "key": text}

    async def revoke(self, key_id: str) -> dict[str, Any]:
        """A key ends now, with the sessions and streams that it opened; gives its document.

        Raises:
            NoSuchKey: there is none of that id.
            DiskFull, StateError: it could not be written; it holds until the process ends.
        """
        self._table = keys.revoked(self._table, key_id, self._now_us())
        self._tell()
        async with self._writing:
            await self._put(self._table)
        return key_document(self._table[key_id])

    async def rotate(self, key_id: str, *, overlap_s: float = 0.0) -> dict[str, str]:
        """A new key with the rights of another, which ends after the overlap: `{id, key}`.

        Raises:
            NoSuchKey: there is none of that id. QueryError: it is over already.
            DiskFull, StateError: nothing has changed.
        """
        async with self._writing:
            text, new = self._new(keys.found(self._table, key_id).access, expires_us=None)
            now, overlap_us = self._now_us(), int(overlap_s * 1e6)
            await self._put(keys.rotated(self._table, key_id, new, now, overlap_us))
        return {"id": new.id, "key": text}

    # ---- living

    async def run(self, on_end: Callable[[str], Awaitable[None]]) -> None:
        """Tell of each key as it ends, and write uses now and then; until cancelled.

        Args:
            on_end: called once a key, with its id.
        """
        over = keys.ended(self._table, self._now_us())
        written_at = anyio.current_time()
        while True:
            changed = self._changed
            with anyio.move_on_after(self._pause_s()):
                await changed.wait()
            now_over = keys.ended(self._table, self._now_us())
            if now_over - over:
                self._tell()
            for key_id in sorted(now_over - over):
                await on_end(key_id)
            over = now_over
            if anyio.current_time() - written_at >= USE_WRITTEN_S:
                written_at = anyio.current_time()
                await self.write_uses()

    async def write_uses(self) -> None:
        """Put down when keys were last used; a disk that refuses is asked again later."""
        async with self._writing:
            if self._unwritten:
                try:
                    await self._put(self._table)
                except (DiskFull, StateError):
                    pass  # no answer depends on it

    def _pause_s(self) -> float:
        """Until a key may end, or uses are due."""
        now = self._now_us()
        end_us = keys.next_end_us(self._table, now)
        return USE_WRITTEN_S if end_us is None else min((end_us - now) / 1e6, CLOCK_LOOK_S)

    def lasts(self, key_id: str) -> bool:
        """Whether a key is good and stays so: not over, not on its way out after a rotation."""
        return self._good(key_id) and self._table[key_id].revoked_us is None

    def _good(self, key_id: str) -> bool:
        key = self._table.get(key_id)
        return key is not None and key.good(self._now_us())

    def _new(
        self, access: Access, *, expires_us: int | None, stored: bool = True
    ) -> tuple[str, Key]:
        """A key: the text for its owner, and what is kept."""
        key_id = secrets.token_hex(ID_BYTES)
        while key_id in self._table:
            key_id = secrets.token_hex(ID_BYTES)
        text = keys.written(key_id, secrets.token_urlsafe(SECRET_BYTES))
        key = Key(
            id=key_id,
            digest=keys.digest_of(self._pepper, text),
            rights=access.rights,
            views=access.views,
            pipes=access.pipes,
            created_us=self._now_us(),
            expires_us=expires_us,
            stored=stored and self._folder is not None,
        )
        return text, key

    def _tell(self) -> None:
        """Those who wait for an end look again."""
        self._changed.set()
        self._changed = anyio.Event()

    async def _put(self, table: keys.Table) -> None:
        """Store a table, then make it so. The caller holds `_writing`."""
        self._unwritten = False
        if self._folder is not None:
            stored = [key for key in table.values() if key.stored]
            try:
                await anyio.to_thread.run_sync(write_keys, self._folder, self._pepper, stored)
            except (DiskFull, StateError):
                self._unwritten = True
                raise
        # Keys may have been revoked or used while the disk was busy.
        now = self._table
        self._table = {i: _later(key, now[i]) if i in now else key for i, key in table.items()}
        self._tell()


def _later(one: Key, other: Key) -> Key:
    """What is known of a key from two tables: its earlier end, its later use."""
    ends = [key.revoked_us for key in (one, other) if key.revoked_us is not None]
    uses = [key.last_used_us for key in (one, other) if key.last_used_us is not None]
    return replace(one, revoked_us=min(ends, default=None), last_used_us=max(uses, default=None))
