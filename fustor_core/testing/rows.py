"""The plainest view that can be: one row an entry, in SQLite; what other stores are held against.

What is known of a directory is the rows of two tables, read anew at each question. Nothing is kept
beside them, so nothing can be out of step with them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, MutableMapping
from typing import Any

import msgspec

from fustor_core.claims import Key, edge_key, is_dir, unpack_row
from fustor_core.registers import Register
from fustor_core.testing.store import MemoryDirectory, MemoryView

_SCHEMA = """
CREATE TABLE entry (
    dev INTEGER, ino INTEGER, birth INTEGER, name BLOB, value BLOB NOT NULL,
    size INTEGER NOT NULL, child_dev INTEGER, child_ino INTEGER, child_birth INTEGER,
    PRIMARY KEY (dev, ino, birth, name)
);
CREATE TABLE own (
    dev INTEGER, ino INTEGER, birth INTEGER, name BLOB, register BLOB NOT NULL,
    PRIMARY KEY (dev, ino, birth, name)
);
"""
_HERE = "dev=? AND ino=? AND birth=?"
_BELOW = """
WITH RECURSIVE below (dev, ino, birth) AS (
    VALUES (?, ?, ?)
    UNION SELECT e.child_dev, e.child_ino, e.child_birth FROM entry e JOIN below b
    ON e.dev = b.dev AND e.ino = b.ino AND e.birth = b.birth WHERE e.child_ino IS NOT NULL
)
SELECT count(*) FILTER (WHERE child_ino IS NULL), count(*) FILTER (WHERE child_ino IS NOT NULL),
    coalesce(sum(size) FILTER (WHERE child_ino IS NULL), 0)
FROM entry JOIN below USING (dev, ino, birth)
"""


class _Rows(MutableMapping[bytes, Any]):
    """The names of one directory in one table."""

    def __init__(self, db: sqlite3.Connection, key: Key, table: str, column: str) -> None:
        self._db, self._key = db, tuple(key)
        self._table, self._column = table, column

    def __getitem__(self, name: bytes) -> Any:
        select = f"SELECT {self._column} FROM {self._table} WHERE {_HERE} AND name=?"
        found = self._db.execute(select, (*self._key, name)).fetchone()
        if found is None:
            raise KeyError(name)
        return self._read(found[0])

    def __setitem__(self, name: bytes, value: Any) -> None:
        columns = (*self._key, name, *self._columns(value))
        marks = ",".join("?" * len(columns))
        self._db.execute(f"INSERT OR REPLACE INTO {self._table} VALUES ({marks})", columns)

    def __delitem__(self, name: bytes) -> None:
        self[name]
        self._db.execute(f"DELETE FROM {self._table} WHERE {_HERE} AND name=?", (*self._key, name))

    def __iter__(self) -> Iterator[bytes]:
        select = f"SELECT name FROM {self._table} WHERE {_HERE} ORDER BY name"
        return iter([row[0] for row in self._db.execute(select, self._key).fetchall()])

    def __len__(self) -> int:
        select = f"SELECT count(*) FROM {self._table} WHERE {_HERE}"
        return int(self._db.execute(select, self._key).fetchone()[0])

    def replace(self, values: dict[bytes, Any]) -> None:
        """These names and no others."""
        self._db.execute(f"DELETE FROM {self._table} WHERE {_HERE}", self._key)
        self.update(values)

    def _read(self, column: Any) -> Any:
        return column

    def _columns(self, value: Any) -> tuple[Any, ...]:
        child = edge_key(value) if is_dir(value) else (None, None, None)
        return (value, 0 if is_dir(value) else unpack_row(value).size, *child)


class _Registers(_Rows):
    """Registers that override the base."""

    def _read(self, column: Any) -> Any:
        return msgspec.msgpack.decode(column, type=Register)

    def _columns(self, value: Any) -> tuple[Any, ...]:
        return (msgspec.msgpack.encode(value),)


class RowDirectory(MemoryDirectory):
    """A directory whose entries and registers are rows."""

    def __init__(self, key: Key, db: sqlite3.Connection) -> None:
        self._entries = _Rows(db, key, "entry", "value")
        self._registers = _Registers(db, key, "own", "register")
        super().__init__(key)

    @property
    def values(self) -> Any:
        """Rows of the names that are present."""
        return self._entries

    @values.setter
    def values(self, values: dict[bytes, bytes]) -> None:
        self._entries.replace(values)

    @property
    def own(self) -> Any:
        """Registers that override the base."""
        return self._registers

    @own.setter
    def own(self, registers: dict[bytes, Register]) -> None:
        self._registers.replace(registers)


class RowView(MemoryView):
    """A view of rows; sums are SQL's."""

    def __init__(self, config: MemoryView.Config) -> None:
        super().__init__(config)
        self._db = sqlite3.connect(":memory:", isolation_level=None)
        self._db.executescript(_SCHEMA)

    def directory(self, key: Key) -> MemoryDirectory:
        """The directory of a key, made when it was not heard of yet."""
        if key not in self.directories:
            self.directories[key] = RowDirectory(key, self._db)
        return self.directories[key]

    def sums(self, key: Key) -> tuple[int, int, int]:
        """Files, directories and bytes below a directory."""
        files, directories, size = self._db.execute(_BELOW, tuple(key)).fetchone()
        return int(files), int(directories), int(size)
