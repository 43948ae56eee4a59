"""One directory as stored: its pack, the stamp of its last listing, and what overrides it."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping

import msgspec

from fustor_core.claims import Key, Origin, Silence
from fustor_core.registers import Register, Seen
from fustor_view_file import tally
from fustor_view_file.pack import Pack

_NONE: Mapping[bytes, int] = {}


class Mark(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What an own cell keeps: the value lies in the pack, or nowhere for a tombstone."""

    seen: Seen
    debt: bool
    rt: bool
    origin: Origin


class Directory:
    """A directory of the view. Changed only by `Tree`.

    Attributes:
        key: identity. parent, name: its seat; parent None for the root and for loose directories.
        base, origin: stamp and origin of the last accepted listing; None = never listed.
        owed, deep, reason, errno: the listing that is owed, and why.
        count: recursive tally (see `fustor_view_file.tally`).
        blind: names whose value only scans have seen → number of the scan that found it first
            (`Sightings`). frozen: name → fusion µs since when its
            removal waits. left_out: left out by choice (`excluded`, `other_device`).
        gap, left: what it adds itself to the counts of gaps and of what is left out.
        place: row id in the cold store, 0 when it was never written.
    """

    __slots__ = (
        "_own",
        "_pack",
        "_suspects",
        "attrs",
        "base",
        "blind",
        "count",
        "deep",
        "errno",
        "frozen",
        "gap",
        "key",
        "left",
        "left_out",
        "name",
        "origin",
        "owed",
        "parent",
        "place",
        "reason",
        "silent",
    )

    def __init__(self, key: Key) -> None:
        self.key = key
        self._pack: Pack | Callable[[], Pack] | None = None
        self._own: dict[bytes, Mark] | None = None
        self._suspects: dict[bytes, int] | None = None
        self.attrs: Register | None = None
        self.base: Seen | None = None
        self.origin = Origin.SNAPSHOT
        self.parent: Directory | None = None
        self.name = b""
        self.owed: Seen | None = None
        self.deep = False
        self.reason = ""
        self.errno = 0
        self.silent: Silence | None = None
        self.blind: dict[bytes, int] | None = None
        self.frozen: dict[bytes, int] | None = None
        self.left_out = False
        self.gap = 1
        self.left = 0
        self.count: array[int] = tally.empty()
        self.count[tally.GAPS] = 1
        self.place = 0

    # ---- what an arbitrator sees (contracts.Known)

    @property
    def pack(self) -> Pack:
        """Its entries; faulted in from the cold store on the first touch."""
        pack = self._pack
        if isinstance(pack, Pack):
            return pack
        loaded = pack() if callable(pack) else Pack()
        self._pack = loaded
        return loaded

    @pack.setter
    def pack(self, pack: Pack | Callable[[], Pack]) -> None:
        self._pack = pack

    @property
    def resident(self) -> bool:
        """Whether the pack is in memory."""
        return self._pack.__class__ is Pack

    @property
    def own(self) -> Mapping[bytes, Mark]:
        """Names whose register overrides the base."""
        return self._own if self._own is not None else _NO_MARKS

    @property
    def suspects(self) -> Mapping[bytes, int]:
        """Name → fusion µs of the look that made it suspect."""
        return self._suspects if self._suspects is not None else _NONE

    def get(self, name: bytes) -> Register | None:
        """The register of a name; None = unknown."""
        mark = self._own.get(name) if self._own is not None else None
        if mark is not None:
            return Register(self.pack.get(name), mark.seen, mark.debt, mark.rt, mark.origin)
        if self.base is None:
            return None
        return Register(self.pack.get(name), self.base, False, False, self.origin)

    def names(self) -> list[bytes]:
        """Present names, in byte order."""
        return self.pack.names()

    def holds(self, names: bytes, rows: bytes) -> bool:
        """Whether the pack is these very blobs."""
        return self.pack.holds(names, rows)

    def blobs(self) -> tuple[bytes, bytes]:
        """Names and rows of what is present."""
        return self.pack.blobs()

    def digest(self) -> bytes:
        """BLAKE2b-128 of the pack."""
        return self.pack.digest()

    # ---- changes, by `Tree` alone

    def set_mark(self, name: bytes, register: Register) -> None:
        """Let a register override the base."""
        if self._own is None:
            self._own = {}
        self._own[name] = Mark(register.seen, register.debt, register.rt, register.origin)

    def drop_marks(self) -> None:
        """Nothing overrides the base any more."""
        self._own = None

    def set_suspect(self, name: bytes, since_us: int | None) -> None:
        """Mark a name suspect since then, or no longer (None)."""
        if since_us is None:
            if self._suspects is not None:
                self._suspects.pop(name, None)
                self._suspects = self._suspects or None
            return
        if self._suspects is None:
            self._suspects = {}
        self._suspects[name] = since_us

    # ---- what it is

    @property
    def listed(self) -> bool:
        """Whether it has a whole listing that nothing owes again."""
        return self.base is not None and self.owed is None

    def is_below(self, other: Directory) -> bool:
        """Whether `other` is this directory or above it."""
        at: Directory | None = self
        while at is not None:
            if at is other:
                return True
            at = at.parent
        return False

    def path(self) -> bytes:
        """Its view path, or that below its loose top."""
        parts: list[bytes] = []
        at: Directory = self
        while at.parent is not None:
            parts.append(at.name)
            at = at.parent
        return b"/" + b"/".join(reversed(parts))

    def __repr__(self) -> str:
        state = "listed" if self.listed else "owed" if self.base else "unlisted"
        return f"<Directory {self.path()!r} {state} own={len(self.own)}>"


_NO_MARKS: Mapping[bytes, Mark] = {}
