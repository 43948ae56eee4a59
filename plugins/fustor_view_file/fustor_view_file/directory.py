"""One directory as stored: its pack, the stamp of its last listing, and what overrides it."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Mapping
from itertools import islice
from typing import Protocol

import msgspec

from fustor_core.claims import Key, Origin, Silence
from fustor_core.registers import Register, Seen
from fustor_view_file import tally
from fustor_view_file.faces import FACE_BYTES, base_in, face_of, row_in, silent_in
from fustor_view_file.pack import Pack
from fustor_view_file.unseen import Unseen

WEIGHED = 16  # of many alike


class Mark(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What an own cell keeps: the value lies in the pack, or nowhere for a tombstone."""

    seen: Seen
    debt: bool
    rt: bool
    origin: Origin


class Away(Protocol):
    """Where a pack is while it is not at hand."""

    def fetch(self, directory: Directory) -> Pack:
        """Its pack, which is at hand from now on."""
        ...

    def peek(self, directory: Directory) -> Pack:
        """Its pack, to be read at once and not to be changed."""
        ...

    def gone(self, directory: Directory) -> None:
        """It has another pack now."""
        ...


_NONE: Mapping[bytes, int] = {}
_NO_MARKS: Mapping[bytes, Mark] = {}


class Directory(msgspec.Struct, eq=False, gc=False):
    """A directory of the view. Changed only by `Tree` and `Registers`.

    There are as many as the tree has, so it is small, and the collector of cycles does not look
    at it: nothing that it refers to may refer back to it.

    Attributes:
        key: identity. parent, name: its seat; parent None for the root and for loose directories.
        origin: of the last accepted listing.
        owed, deep, reason, errno: the listing that is owed, and why.
        count: recursive tally (see `fustor_view_file.tally`).
        blind: names whose value only scans have seen → number of the scan that found it first
            (`Sightings`). frozen: name → fusion µs since when its
            removal waits. left_out: left out by choice (`excluded`, `other_device`).
        gap, left: what it adds itself to the counts of gaps and of what is left out.
        place: row id in the cold store, 0 when it was never written.
        used: the pack was touched since this was last set to False.
        held: the pack, where it is while it is not at hand, or None when it is empty.
        face: base, attrs and silent, when they agree (`fustor_view_file.faces`).
    """

    key: Key
    parent: Directory | None = None
    name: bytes = b""
    count: array[int] = msgspec.field(default_factory=tally.unlisted)
    held: Pack | Away | None = None
    used: bool = False
    place: int = 0
    origin: Origin = Origin.SNAPSHOT
    owed: Seen | None = None
    deep: bool = False
    reason: str = ""
    errno: int = 0
    left_out: bool = False
    gap: int = 1
    left: int = 0
    blind: Mapping[bytes, int] | None = None
    frozen: dict[bytes, int] | None = None
    _own: dict[bytes, Mark] | None = None
    _suspects: dict[bytes, int] | None = None
    face: bytes | None = None
    _base: Seen | None = None
    _attrs: Register | None = None
    _silent: Silence | None = None

    # ---- what an arbitrator sees (contracts.Known)

    @property
    def base(self) -> Seen | None:
        """Stamp of the last accepted listing; None = never listed."""
        return base_in(self.face) if self.face is not None else self._base

    @property
    def attrs(self) -> Register | None:
        """Its own attributes."""
        face = self.face
        if face is None:
            return self._attrs
        return Register(row_in(face), base_in(face), False, False, self.origin)

    @property
    def silent(self) -> Silence | None:
        """Membership key of its last listing, None when that was racy or told none."""
        return silent_in(self.face) if self.face is not None else self._silent

    @property
    def pack(self) -> Pack:
        """Its entries; fetched on the first touch."""
        held = self.held
        if not isinstance(held, Pack):
            held = self.held = held.fetch(self) if held is not None else Pack()
        self.used = True
        return held

    @pack.setter
    def pack(self, pack: Pack) -> None:
        held = self.held
        if held is not None and not isinstance(held, Pack):
            held.gone(self)
        self.held, self.used = pack, True

    def glance(self) -> Pack:
        """Its entries, to be read at once: what is not at hand does not come to stay."""
        held = self.held
        if isinstance(held, Pack):
            return held
        return held.peek(self) if held is not None else Pack()

    @property
    def resident(self) -> bool:
        """Whether the pack is at hand."""
        return self.held is None or isinstance(self.held, Pack)

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
        if self._own is None and not self.heard:
            return None
        pack = self.pack  # before all else: one that is damaged takes base and marks with it
        mark = self._own.get(name) if self._own is not None else None
        if mark is not None:
            return Register(pack.get(name), mark.seen, mark.debt, mark.rt, mark.origin)
        base = self.base
        if base is None:
            return None
        return Register(pack.get(name), base, False, False, self.origin)

    def names(self) -> list[bytes]:
        """Present names, in byte order."""
        return self.pack.all_names()

    def holds(self, names: bytes, rows: bytes) -> bool:
        """Whether the pack is these very blobs."""
        return self.pack.holds(names, rows)

    def blobs(self) -> tuple[bytes, bytes]:
        """Names and rows of what is present."""
        return self.pack.blobs()

    def digest(self) -> bytes:
        """BLAKE2b-128 of the pack."""
        return self.pack.digest()

    # ---- changes

    def look(self, base: Seen | None, origin: Origin) -> None:
        """A listing was accepted; None: what was listed is lost."""
        self._open()
        self._base, self.origin = base, origin

    def set_attrs(self, attrs: Register | None) -> None:
        """Set its own attributes."""
        self._open()
        self._attrs = attrs

    def set_silent(self, silent: Silence | None) -> None:
        """Set the membership key."""
        self._open()
        self._silent = silent

    def _open(self) -> None:
        if self.face is not None:
            self._base, self._attrs, self._silent = self.base, self.attrs, self.silent
            self.face = None

    def close(self) -> None:
        """Keep stamp, attributes and membership key in little room, when they agree."""
        base, attrs = self._base, self._attrs
        if base is not None and attrs is not None and attrs.origin is self.origin:
            self.face = face_of(base, attrs, self._silent)
            if self.face is not None:
                self._base = self._attrs = self._silent = None

    def set_mark(self, name: bytes, register: Register) -> None:
        """Let a register override the base."""
        if self._own is None:
            self._own = {}
            if self.face is not None:
                self.face = self.face[:FACE_BYTES]  # the entries are those of its digest no more
        self._own[name] = Mark(register.seen, register.debt, register.rt, register.origin)

    def drop_marks(self) -> None:
        """Nothing overrides the base any more."""
        self._own = None

    def set_blind(self, name: bytes, number: int | None) -> None:
        """Only a scan saw the value of a name, that of this number; None: somebody did."""
        held = self.blind
        blind = held if isinstance(held, dict) else dict(held or {})
        if number is None:
            blind.pop(name, None)
        else:
            blind[name] = number
        self.blind = blind or None

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
    def heard(self) -> bool:
        """Whether it was ever listed."""
        return self.face is not None or self._base is not None

    @property
    def listed(self) -> bool:
        """Whether it has a whole listing that nothing owes again."""
        return self.owed is None and (self.face is not None or self._base is not None)

    def index_bytes(self) -> int:
        """About how many bytes it takes without its pack."""
        size = sys.getsizeof
        facts = (self.key, *self.key, self.name, self.count, self.face, self._base, self._attrs)
        weight = size(self) + sum(size(fact) for fact in facts if fact is not None)
        if isinstance(self.blind, Unseen):
            weight += size(self.blind)
        for sparse in (self._own, self._suspects, self.blind, self.frozen):
            if isinstance(sparse, dict):
                few = list(islice(sparse, WEIGHED))
                weight += size(sparse) + sum(map(size, few)) * len(sparse) // max(1, len(few))
        few = list(islice(self.own.values(), WEIGHED))  # the others are taken to be like them
        marks = sum(size(mark) + size(mark.seen) for mark in few)
        return weight + (marks * len(self.own) // len(few) if few else 0)

    @property
    def disputed(self) -> bool:
        """Whether its own attributes are."""
        return self._attrs is not None and self._attrs.debt  # in little room it is not

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
        state = "listed" if self.listed else "owed" if self.heard else "unlisted"
        return f"<Directory {self.path()!r} {state} own={len(self.own)}>"
