"""The cold store: directories, packs and the view's meta data in SQLite (WAL).

One checkpoint is one transaction: what is read at the next start is the state of exactly one
journal position. The index (directories without packs) is read whole at the start, packs when they
are touched.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import msgspec
import zstandard

from fustor_core.errors import DiskFull, StateError
from fustor_view_file import blocks
from fustor_view_file.blocks import SLOTS, Blobs, Shelves
from fustor_view_file.feed import Change
from fustor_view_file.pack import Pack
from fustor_view_file.records import Kept, Record, read_record, sealed_record
from fustor_view_file.sealed import LEVEL, Damaged, pack_record, placed, read_pack, seal, unseal

# 2: packs may lie with their rows turned; those of 1 are read as they are. 3: changes lie many to a
# row, those of before are gone, and cursors too old; runs of unchanged listings lie apart.
# 4: packs may lie in blocks, and records of directories be short; those of 3 are read as they are.
FORMAT = 4
CHANGES_A_ROW = 500
# Not damage: the file may be as good as it was, the machine cannot read or write it just now.
_OUTSIDE = frozenset(
    {
        sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_PERM, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM,
    }
)  # fmt: skip
# No room for what SQLite keeps beside the file: nothing of it must last.
_MALFORMED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_NO_ROOM = frozenset({sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_SHMMAP})
_SCHEMA = (
    """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS directory (place INTEGER PRIMARY KEY, record BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS pack (place INTEGER PRIMARY KEY, record BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS look (number INTEGER PRIMARY KEY, record BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS changes (number INTEGER PRIMARY KEY, record BLOB NOT NULL);
DROP TABLE IF EXISTS feed;
"""
    + blocks.SCHEMA
)
_PLACE, _NUMBER, _SLOTS = ("place", "INTEGER"), ("number", "INTEGER"), ("slots", "INTEGER")
_NAME, _VALUE, _RECORD = ("name", "TEXT"), ("value", "BLOB"), ("record", "BLOB")
_TABLES = {
    "meta": {_NAME, _VALUE}, "directory": {_PLACE, _RECORD}, "pack": {_PLACE, _RECORD},
    "look": {_NUMBER, _RECORD}, "changes": {_NUMBER, _RECORD},
    "block": {_NUMBER, _SLOTS, _RECORD}, "dead": {_NUMBER, _SLOTS},
}  # fmt: skip


_changes = msgspec.msgpack.Decoder(list[Change]).decode


@dataclass(slots=True)
class Image:
    """What one checkpoint writes: a consistent copy, made between two batches.

    Attributes:
        packs: that lie alone; a record is one that was folded. blocks: number of a new block → the
            packs in its slots.
    """

    meta: dict[str, bytes]
    records: list[tuple[int, Record | bytes]] = field(default_factory=list)
    packs: list[tuple[int, Blobs | bytes]] = field(default_factory=list)
    blocks: dict[int, list[tuple[int, Blobs]]] = field(default_factory=dict)
    dropped: list[int] = field(default_factory=list)
    feed: list[Change] = field(default_factory=list)
    feed_floor: int = 0
    looks: list[tuple[int, bytes]] = field(default_factory=list)
    looks_floor: int = 0  # those up to this one are void

    def full(self) -> set[int]:
        """Places of all packs."""
        new = {number * SLOTS + slot for number, packs in self.blocks.items() for slot, _ in packs}
        return new.union(place for place, _ in self.packs)


class ColdStore:
    """SQLite: `write` runs in a worker thread, `load` wherever a pack is touched.

    Each has a connection of its own: whoever reads does not wait for a checkpoint.

    Args:
        folder: the view's folder in the state directory.

    Raises:
        StateError: the file cannot be read or written just now; it was not touched. Or a newer
            version wrote it.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "packs.sqlite"
        self.set_aside: Path | None = None
        self._mark = folder / "packs.malformed"
        self._lock, self._reading = threading.Lock(), threading.Lock()
        self._failure: StateError | None = None
        self._compress = zstandard.ZstdCompressor(level=LEVEL)
        try:
            if self._mark.exists() and self.path.exists():
                raise Damaged("a checkpoint found it malformed")
            self._db = self._connect()
        except (sqlite3.DatabaseError, Damaged) as err:
            if isinstance(err, sqlite3.DatabaseError) and _primary(err) in _OUTSIDE:
                raise StateError(
                    f"{self.path} cannot be used: {err}; nothing in it has changed",
                    remedy="free space there, or check the disk, then start again",
                ) from err
            self._db = self._begin_anew()
        self._reader = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        self._reader.execute("PRAGMA query_only=1")
        self._reader.execute("PRAGMA cache_size=-256")  # KiB: a pack that was read stays, or not
        self._shelves = Shelves(self._reader)

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        try:
            db.execute("PRAGMA page_size=8192")
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=FULL")
            db.executescript(_SCHEMA)
            found = db.execute("SELECT value FROM meta WHERE name='format'").fetchone()
            if found is not None and int(found[0]) > FORMAT:
                raise StateError(
                    f"{self.path} was written by a newer Fustor (format {int(found[0])})",
                    remedy="start the newer version, or choose another state directory with --home",
                )
            db.execute("SELECT count(*) FROM directory").fetchone()
            for table, columns in _TABLES.items():  # the words of the schema may be damaged, too
                info = db.execute(f"PRAGMA table_info({table})").fetchall()
                if not columns <= {(name, kind) for _, name, kind, *_ in info}:
                    raise Damaged(f"the schema of {table} is another")
            for (value,) in db.execute("SELECT value FROM meta WHERE name != 'format'"):
                unseal(value)  # without its meta data nobody knows what the rest is the state of
        except UnicodeDecodeError as err:  # SQLite quotes what it cannot read
            db.close()
            raise Damaged("its schema cannot be read") from err
        except BaseException:
            db.close()
            raise
        return db

    def _begin_anew(self) -> sqlite3.Connection:
        """Set a file aside that SQLite cannot read; the loss is said, never hidden."""
        number = 1
        while (aside := self.path.with_suffix(f".damaged-{number}")).exists():
            number += 1
        self.path.rename(aside)
        for suffix in ("-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        self.set_aside = aside
        self._mark.unlink(missing_ok=True)
        return self._connect()

    def meta(self) -> dict[str, bytes]:
        """The meta data of the last checkpoint; empty on a first start."""
        rows = self._db.execute("SELECT name, value FROM meta WHERE name != 'format'").fetchall()
        return {name: unseal(value) for name, value in rows}

    def index(self) -> Iterator[tuple[int, Kept | None]]:
        """(place, what is kept) of every directory; None for a record that is damaged."""
        try:
            for place, sealed in self._db.execute("SELECT place, record FROM directory"):
                try:
                    yield place, read_record(sealed, place)
                except Damaged:
                    yield place, None
        except sqlite3.DatabaseError as err:
            raise Damaged(str(err)) from err

    def feed(self) -> list[Change]:
        """The changes that were kept, oldest first."""
        try:
            rows = self._db.execute("SELECT record FROM changes ORDER BY number").fetchall()
            return [change for row in rows for change in _changes(unseal(row[0]))]
        except (Damaged, msgspec.DecodeError, sqlite3.DatabaseError):
            return []

    def looks(self) -> Iterator[tuple[int, bytes | None]]:
        """(number, record) of the runs that were kept, oldest first; None for a damaged one.

        Raises:
            Damaged: the rest cannot be read.
        """
        try:
            rows = self._db.execute("SELECT number, record FROM look ORDER BY number").fetchall()
        except sqlite3.DatabaseError as err:
            raise Damaged(str(err)) from err
        for number, record in rows:
            try:
                yield number, unseal(record)
            except Damaged:
                yield number, None

    def load(self, place: int) -> Pack:
        """The pack of a directory; raises `Damaged`."""
        with self._reading:
            try:
                found = self._shelves.load(place)
            except sqlite3.DatabaseError as err:
                raise Damaged(str(err)) from err
        return found if isinstance(found, Pack) else read_pack(found, place)

    def write(self, image: Image) -> None:
        """Make a checkpoint durable.

        Raises:
            DiskFull: nothing was written; the last checkpoint stands.
            StateError: the disk failed, now and at each further call. What of the file is on the
                disk nobody knows after a failed fsync, so it is not written a second time.
        """
        if self._failure is not None:
            raise self._failure
        with self._lock:
            try:
                self._transaction(image)
            except sqlite3.DatabaseError as err:
                raise self._refused(err) from err

    def _refused(self, err: sqlite3.DatabaseError) -> DiskFull | StateError:
        """What a write that failed means; what it wrote is taken back."""
        with suppress(sqlite3.DatabaseError):
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
        if _primary(err) == sqlite3.SQLITE_FULL or getattr(err, "sqlite_errorcode", 0) in _NO_ROOM:
            return DiskFull(f"the view's state could not be written: {err}")
        if _primary(err) in _MALFORMED:  # another start would read it, and end at the same place
            with suppress(OSError):
                self._mark.touch()
            self._failure = StateError(
                f"{self.path} is damaged: {err}",
                remedy="start again: it is set aside, and what the journal lacks is listed anew",
            )
            return self._failure
        self._failure = StateError(
            f"{self.path} cannot be made durable: {err}",
            remedy="check the disk, then start again: what it lacks is in the journal",
        )
        return self._failure

    def _transaction(self, image: Image) -> None:
        db, compress = self._db, self._compress
        packs = (  # one at a time: all of a first scan would take as much as the view
            (p, placed(pack, p) if isinstance(pack, bytes) else pack_record(*pack, compress, p))
            for p, pack in image.packs
        )
        db.execute("BEGIN IMMEDIATE")
        many: Callable[..., object] = db.executemany
        many("DELETE FROM directory WHERE place=?", [(p,) for p in image.dropped])
        many("DELETE FROM pack WHERE place=?", [(p,) for p in image.dropped])
        records = ((place, sealed_record(record, place)) for place, record in image.records)
        many("INSERT OR REPLACE INTO directory VALUES (?,?)", records)
        blocks.write_blocks(db, image.blocks, compress)
        blocks.void(db, chain(image.dropped, (place for place, _ in image.packs)), compress)
        many("INSERT OR REPLACE INTO pack VALUES (?,?)", packs)
        db.execute("DELETE FROM look WHERE number<=?", (image.looks_floor,))
        many("INSERT OR REPLACE INTO look VALUES (?,?)", [(n, seal(r)) for n, r in image.looks])
        feed = image.feed
        parts = (feed[at : at + CHANGES_A_ROW] for at in range(0, len(feed), CHANGES_A_ROW))
        rows = ((part[-1].number, seal(msgspec.msgpack.encode(part))) for part in parts)
        many("INSERT OR REPLACE INTO changes VALUES (?,?)", rows)
        db.execute("DELETE FROM changes WHERE number<=?", (image.feed_floor,))
        many(
            "INSERT OR REPLACE INTO meta VALUES (?,?)",
            [("format", b"%d" % FORMAT), *((n, seal(v)) for n, v in image.meta.items())],
        )
        db.execute("COMMIT")
        db.execute("PRAGMA shrink_memory")  # 2 MB of pages; the kernel has them too

    def nbytes(self) -> int:
        """Bytes on disk."""
        return self.path.stat().st_size

    def close(self) -> None:
        """Close the file; what was not checkpointed is in the journal."""
        with self._lock, self._reading:
            self._reader.close()
            self._db.close()


def _primary(err: sqlite3.DatabaseError) -> int:
    """The kind of an error, without SQLite's details; 0 when it comes from elsewhere."""
    return int(getattr(err, "sqlite_errorcode", 0)) & 0xFF
