"""The receiving half in memory: an arbitrator without opinions, and a view of dicts in a dict."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import BaseModel

from fustor_core.arbitration import judge_claim, order
from fustor_core.claims import (
    Cell,
    Claim,
    Key,
    Origin,
    Owed,
    Silence,
    edge_key,
    edge_row,
    is_dir,
    join_names,
    split_names,
    unpack_row,
)
from fustor_core.contracts import Applied, Facts, Known, Moment, Page, Query, Verdict
from fustor_core.documents import with_path
from fustor_core.errors import QueryError
from fustor_core.registers import Register, Seen


class MemoryArbitrator:
    """Two values are equal when their bytes are, an edge when its key is; nothing is suspect."""

    class Config(BaseModel):
        """No options."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def judge(self, known: Known | None, claim: Claim, facts: Facts) -> Verdict:
        """What the claim does to its directory."""
        return judge_claim(known, claim, facts, self)

    def equal(self, a: bytes | None, b: bytes | None) -> bool:
        """Whether two values are the same."""
        if a is not None and b is not None and is_dir(a) and is_dir(b):
            return edge_key(a) == edge_key(b)
        return a == b

    def shown(self, k: Register, c: Register) -> Register:
        """Realtime before scan, present before absent, else what was known."""
        return c if (c.rt, c.value is not None) > (k.rt, k.value is not None) else k

    def suspects_of_cell(
        self, known: Known | None, claim: Cell, old: Register | None, new: Register, facts: Facts
    ) -> dict[bytes, bool]:
        """None."""
        return {}

    def suspects_of_listing(
        self,
        known: Known | None,
        names: bytes,
        rows: bytes,
        changed: Iterable[bytes] | None,
        facts: Facts,
    ) -> dict[bytes, bool]:
        """None."""
        return {}


class MemoryDirectory:
    """One directory: the values of its present names, and the registers that override its base."""

    def __init__(self, key: Key) -> None:
        self.key = key
        self.values: dict[bytes, bytes] = {}
        self.base: Seen | None = None
        self.origin = Origin.SNAPSHOT
        self.own: dict[bytes, Register] = {}
        self.attrs: Register | None = None
        self.silent: Silence | None = None
        self.suspects: dict[bytes, int] = {}
        self.owed: Seen | None = None
        self.deep = False
        self.reason = "not_yet"

    def __repr__(self) -> str:
        return f"<MemoryDirectory {self.key} {self.names()}>"

    def get(self, name: bytes) -> Register | None:
        """The register of a name; None = unknown."""
        if name in self.own or self.base is None:
            return self.own.get(name)
        return Register(self.values.get(name), self.base, origin=self.origin)

    def names(self) -> list[bytes]:
        """Present names, in byte order."""
        return sorted(self.values)

    def blobs(self) -> tuple[bytes, bytes]:
        """Names and rows of what is present."""
        names = self.names()
        return join_names(names), b"".join(self.values[name] for name in names)

    def holds(self, names: bytes, rows: bytes) -> bool:
        """Whether these very blobs are what is present."""
        return self.blobs() == (names, rows)

    def digest(self) -> bytes:
        """BLAKE2b-128 of names, NUL, rows."""
        return hashlib.blake2b(b"\0".join(self.blobs()), digest_size=16).digest()

    def put(self, name: bytes, register: Register) -> None:
        """The register overrides the base."""
        self.own[name] = register
        if register.value is None:
            self.values.pop(name, None)
        else:
            self.values[name] = register.value

    def edges(self) -> list[tuple[bytes, Key]]:
        """Names and keys of the child directories."""
        return [(n, edge_key(self.values[n])) for n in self.names() if is_dir(self.values[n])]

    def apply(self, verdict: Verdict, now_us: int) -> None:
        """Do what a verdict says, but for what it settles and owes."""
        if verdict.pack is not None:
            names, rows = split_names(verdict.pack.names), verdict.pack.rows
            self.values = {n: rows[48 * i : 48 * i + 48] for i, n in enumerate(names)}
            self.own = {}
        if verdict.own is not None:
            self.own = {}
            for name, register in verdict.own.items():
                self.put(name, register)
        if verdict.base is not None:
            self.base, self.origin = verdict.base, verdict.origin
        if verdict.pack is None:
            for write in verdict.writes:
                self.put(write.name, write.new)
        if verdict.attrs is not None:
            self.attrs = verdict.attrs
        if not verdict.keep_silent:
            self.silent = verdict.silent
        for name, suspect in verdict.suspects.items():
            if suspect:
                self.suspects.setdefault(name, now_us)
            else:
                self.suspects.pop(name, None)


class MemoryView:
    """Directories by key; paths are found by walking edges from the root."""

    class Config(BaseModel):
        """No options."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.root: Key | None = None
        self.directories: dict[Key, MemoryDirectory] = {}
        self._now_us = 0
        self._changes = 0
        self._asked: dict[Key, bool] = {}

    def __repr__(self) -> str:
        return f"<MemoryView {len(self.directories)} directories>"

    def begin(self, moment: Moment) -> None:
        """A batch comes."""
        self._now_us = moment.now_us

    def known(self, key: Key) -> Known | None:
        """The directory of a key."""
        return self.directories.get(key)

    def directory(self, key: Key) -> MemoryDirectory:
        """The directory of a key, made when it was not heard of yet."""
        return self.directories.setdefault(key, MemoryDirectory(key))

    def apply(self, verdict: Verdict) -> Applied:
        """Do what a verdict says."""
        if verdict.rule == "root":
            self.root = verdict.key
            return Applied()
        directory = self.directory(verdict.key)
        if any(w.old is None or w.old.value != w.new.value for w in verdict.writes) or verdict.pack:
            self._changes += 1
        directory.apply(verdict, self._now_us)
        if verdict.settles is not None:
            self._settle(directory, verdict.settles)
        if verdict.owe is not None:
            stamp, deep, reason, _ = verdict.owe
            self._owe(directory, stamp, reason, deep=deep)
        return Applied()

    def commit(self) -> Applied:
        """The batch is over."""
        asked, self._asked = self._asked, {}
        paths = {directory.key: path for path, directory in self._walk()}
        owed = [Owed(k, paths[k], deep) for k, deep in asked.items() if k in paths]
        return Applied(changes=self._changes, owed=owed)

    def flush(self, limit_s: float) -> None:
        """Nothing is dirty."""

    def where(self, key: Key) -> bytes | None:
        """The path of a directory."""
        return next((path for path, at in self._walk() if at.key == key), None)

    def read(self, query: Query, moment: Moment) -> Iterator[Page]:
        """Answers to ``stat``, ``ls``, ``du`` and ``status``.

        Raises:
            QueryError: another verb.
        """
        if query.verb not in ("stat", "ls", "du", "status"):
            raise QueryError(f"a view in memory does not answer {query.verb}")
        document = {**with_path({}, query.path), "quality": self._quality(moment)}
        directory, value, existence = self._find(query.path)
        if query.verb == "ls":
            children = _children(directory)[: query.limit]
            entries = [with_path(_entry(value), name, "name") for name, value in children]
            yield Page(entries, "entries", {**document, "next_cursor": None})
        elif query.verb == "stat":
            if value is None and directory is not None:
                value = edge_row(directory.key)  # the root: no register holds its edge
            entry = None if value is None else with_path(_entry(value), query.path)
            yield Page([], "", {**document, "existence": existence, "entry": entry})
        else:
            rollup = self._rollup(directory)
            yield Page([], "", {**document, "rollup": rollup, **rollup})

    def _settle(self, directory: MemoryDirectory, looked: Seen) -> None:
        owed = directory.owed
        if owed is None or order(owed, looked) <= 0:
            return
        deep, directory.owed, directory.deep = directory.deep, None, False
        if deep:
            for _, key in directory.edges():
                child = self.directory(key)
                self._owe(child, owed, "not_yet", deep=True, ask=False)

    def _owe(
        self, directory: MemoryDirectory, stamp: Seen, reason: str, *, deep: bool, ask: bool = True
    ) -> None:
        todo, met = [directory], set()
        while todo:
            one = todo.pop()
            met.add(one.key)
            if one.base is None or order(stamp, one.base) <= 0:
                one.owed, one.reason = stamp, reason
                one.deep = one.deep or deep
                if ask:
                    self._asked[one.key] = one.deep
            elif deep:  # edges may lead in a circle
                todo.extend(self.directory(key) for _, key in one.edges() if key not in met)

    def _walk(self) -> Iterator[tuple[bytes, MemoryDirectory]]:
        """Every directory that can be reached from the root, with its path."""
        stack, met = [(b"/", self.root)], set()
        while stack:
            path, key = stack.pop()
            directory = self.directories.get(key) if key is not None else None
            if directory is None or key in met:
                continue
            met.add(key)
            yield path, directory
            prefix = path.rstrip(b"/") + b"/"
            stack.extend((prefix + name, child) for name, child in directory.edges())

    def _find(self, path: bytes) -> tuple[MemoryDirectory | None, bytes | None, str]:
        """The directory at a path, the value of the name there, and whether there is one."""
        directory = self.directories.get(self.root) if self.root is not None else None
        value: bytes | None = None
        for name in [part for part in path.split(b"/") if part]:
            register = directory.get(name) if directory is not None else None
            value = register.value if register is not None else None
            if directory is None or register is None or (value is None and directory.owed):
                return None, None, "unknown"
            if value is None:
                return None, None, "absent"
            directory = self.directories.get(edge_key(value)) if is_dir(value) else None
        return directory, value, "present" if directory or value else "unknown"

    def _rollup(self, top: MemoryDirectory | None) -> dict[str, int]:
        sums = {"files": 0, "dirs": 0, "bytes": 0}
        stack = [top.key] if top is not None else []
        met: set[Key] = set()
        while stack:
            key = stack.pop()
            if key in met or key not in self.directories:
                continue
            met.add(key)
            for value in self.directories[key].values.values():
                if is_dir(value):
                    sums["dirs"] += 1
                    stack.append(edge_key(value))
                else:
                    sums["files"] += 1
                    sums["bytes"] += unpack_row(value).size
        return sums

    def _quality(self, moment: Moment) -> dict[str, Any]:
        reached = {directory.key: directory for _, directory in self._walk()}
        edges = [key for directory in reached.values() for _, key in directory.edges()]
        gaps = [d for d in reached.values() if d.base is None or d.owed is not None]
        unlisted = [key for key in edges if key not in reached]
        debts = sum(r.debt for d in reached.values() for r in d.own.values())
        return {
            "as_of_us": moment.heard_us,
            "complete": self.root in reached and not gaps and not unlisted,
            "unscanned_total": len(gaps) + len(unlisted),
            "debts": debts,
            "suspects": sum(len(d.suspects) for d in reached.values()),
            "stale": moment.stale,
            "epoch": moment.epoch,
        }


def _children(directory: MemoryDirectory | None) -> list[tuple[bytes, bytes]]:
    return sorted(directory.values.items()) if directory is not None else []


def _entry(value: bytes) -> dict[str, Any]:
    row = unpack_row(value)
    if is_dir(value):
        return {"type": "dir", "ino": row.ino}
    return {"type": "file", **row._asdict()}
