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
from fustor_view_file.odds import NO_FACTS, NO_ODDS, WELL, WHYS, Facts, Mark, Odds
from fustor_view_file.pack import Pack
from fustor_view_file.unseen import Unseen

WEIGHED = 16  # of many alike


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
_GAP, _LEFT, _LEFT_OUT = 1, 2, 4


class Directory(msgspec.Struct, eq=False, gc=False):
    """A directory of the view. Changed only by `Tree` and `Registers`.

    There are as many as the tree has, so it is small, and the collector of cycles does not look
    at it: nothing that it refers to may refer back to it.

    Attributes:
        key: identity. parent, name: its seat; parent None for the root and for loose directories.
        origin: of the last accepted listing.
        owed: the stamp later than which a listing is owed.
        count: recursive tally (see `fustor_view_file.tally`).
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
    face: bytes | None = None
    _why: tuple[bool, str, int] = WELL
    _gaps: int = _GAP
    _facts: Facts = NO_FACTS
    _odds: Odds = NO_ODDS

    # ---- what an arbitrator sees (contracts.Known)

    @property
    def base(self) -> Seen | None:
        """Stamp of the last accepted listing; None = never listed."""
        return base_in(self.face) if self.face is not None else self._facts.base

    @property
    def attrs(self) -> Register | None:
        """Its own attributes."""
        face = self.face
        if face is None:
            return self._facts.attrs
        return Register(row_in(face), base_in(face), False, False, self.origin)

    @property
    def silent(self) -> Silence | None:
        """Membership key of its last listing, None when that was racy or told none."""
        return silent_in(self.face) if self.face is not None else self._facts.silent

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
        own = self._odds.own
        return own if own is not None else _NO_MARKS

    @property
    def suspects(self) -> Mapping[bytes, int]:
        """Name → fusion µs of the look that made it suspect."""
        suspects = self._odds.suspects
        return suspects if suspects is not None else _NONE

    @property
    def blind(self) -> Mapping[bytes, int] | None:
        """Names whose value only scans have seen → number of the scan that found it first."""
        return self._odds.blind

    @blind.setter
    def blind(self, blind: Mapping[bytes, int] | None) -> None:
        odds = self._odds
        self._keep(odds.own, odds.suspects, blind, odds.frozen)

    @property
    def frozen(self) -> dict[bytes, int] | None:
        """Name → fusion µs since when its removal waits."""
        return self._odds.frozen

    @frozen.setter
    def frozen(self, frozen: dict[bytes, int] | None) -> None:
        odds = self._odds
        self._keep(odds.own, odds.suspects, odds.blind, frozen)

    @property
    def deep(self) -> bool:
        """Whether what is owed is owed of all below it, too."""
        return self._why[0]

    @property
    def reason(self) -> str:
        """Why a listing is owed, or it is left out."""
        return self._why[1]

    @property
    def errno(self) -> int:
        """Of the last try to list it."""
        return self._why[2]

    @property
    def left_out(self) -> bool:
        """Left out by choice (`excluded`, `other_device`)."""
        return bool(self._gaps & _LEFT_OUT)

    @left_out.setter
    def left_out(self, left_out: bool) -> None:
        self._gaps = self._gaps & ~_LEFT_OUT | (_LEFT_OUT if left_out else 0)

    @property
    def gap(self) -> int:
        """What it adds itself to the count of gaps."""
        return self._gaps & _GAP

    @gap.setter
    def gap(self, gap: int) -> None:
        self._gaps = self._gaps & ~_GAP | (_GAP if gap else 0)

    @property
    def left(self) -> int:
        """What it adds itself to the count of what is left out."""
        return 1 if self._gaps & _LEFT else 0

    @left.setter
    def left(self, left: int) -> None:
        self._gaps = self._gaps & ~_LEFT | (_LEFT if left else 0)

    def get(self, name: bytes) -> Register | None:
        """The register of a name; None = unknown."""
        if self._odds.own is None and not self.heard:
            return None
        pack = self.pack  # before all else: one that is damaged takes base and marks with it
        own = self._odds.own
        mark = own.get(name) if own is not None else None
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
        facts = self._open()
        self._facts, self.origin = Facts(base, facts.attrs, facts.silent), origin

    def because(self, reason: str = "", errno: int = 0, *, deep: bool = False) -> None:
        """Why a listing is owed, or it is left out; nothing when neither is so."""
        why = (deep, reason, errno)
        self._why = WHYS.get(why, why)

    def set_attrs(self, attrs: Register | None) -> None:
        """Set its own attributes."""
        facts = self._open()
        self._facts = Facts(facts.base, attrs, facts.silent)

    def set_silent(self, silent: Silence | None) -> None:
        """Set the membership key."""
        facts = self._open()
        self._facts = Facts(facts.base, facts.attrs, silent)

    def _open(self) -> Facts:
        if self.face is not None:
            self._facts, self.face = Facts(self.base, self.attrs, self.silent), None
        return self._facts

    def close(self) -> None:
        """Keep stamp, attributes and membership key in little room, when they agree."""
        facts = self._facts
        base, attrs = facts.base, facts.attrs
        if base is not None and attrs is not None and attrs.origin is self.origin:
            self.face = face_of(base, attrs, facts.silent)
            if self.face is not None:
                self._facts = NO_FACTS

    def _keep(
        self,
        own: dict[bytes, Mark] | None,
        suspects: dict[bytes, int] | None,
        blind: Mapping[bytes, int] | None,
        frozen: dict[bytes, int] | None,
    ) -> None:
        if own is None and suspects is None and blind is None and frozen is None:
            self._odds = NO_ODDS
        else:
            self._odds = Odds(own, suspects, blind, frozen)

    def set_mark(self, name: bytes, register: Register) -> None:
        """Let a register override the base."""
        odds = self._odds
        own = odds.own
        if own is None:
            own = {}
            self._keep(own, odds.suspects, odds.blind, odds.frozen)
            if self.face is not None:
                self.face = self.face[:FACE_BYTES]  # the entries are those of its digest no more
        own[name] = Mark(register.seen, register.debt, register.rt, register.origin)

    def drop_marks(self) -> None:
        """Nothing overrides the base any more."""
        odds = self._odds
        if odds.own is not None:
            self._keep(None, odds.suspects, odds.blind, odds.frozen)

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
        odds = self._odds
        suspects = odds.suspects
        if since_us is None:
            if suspects is not None:
                suspects.pop(name, None)
                if not suspects:
                    self._keep(odds.own, None, odds.blind, odds.frozen)
            return
        if suspects is None:
            suspects = {}
            self._keep(odds.own, suspects, odds.blind, odds.frozen)
        suspects[name] = since_us

    # ---- what it is

    @property
    def heard(self) -> bool:
        """Whether it was ever listed."""
        return self.face is not None or self._facts.base is not None

    @property
    def listed(self) -> bool:
        """Whether it has a whole listing that nothing owes again."""
        return self.owed is None and (self.face is not None or self._facts.base is not None)

    @property
    def untouched(self) -> bool:
        """Whether nothing was ever told of it but where it hangs."""
        return (
            self.face is None
            and self.held is None
            and self._facts is NO_FACTS
            and self._odds is NO_ODDS
            and self._gaps == _GAP
        )

    @property
    def plain(self) -> bool:
        """Whether nothing is to be told of it but face, count, gap, seat and unseen names."""
        odds = self._odds
        usual = odds is NO_ODDS or isinstance(odds.blind, Unseen)
        usual = usual and odds.own is None and odds.suspects is None and odds.frozen is None
        well = self.owed is None and self._why is WELL and not self._gaps & ~_GAP
        return usual and well and self.face is not None

    def index_bytes(self) -> int:
        """About how many bytes it takes without its pack."""
        size = sys.getsizeof
        seen = self._facts
        facts = (self.key, *self.key, self.name, self.count, self.face, seen.base, seen.attrs)
        weight = size(self) + sum(size(fact) for fact in facts if fact is not None)
        if isinstance(self.blind, Unseen):
            weight += size(self.blind)
        for sparse in (self._odds.own, self._odds.suspects, self.blind, self.frozen):
            if isinstance(sparse, dict):
                few = list(islice(sparse, WEIGHED))
                weight += size(sparse) + sum(map(size, few)) * len(sparse) // max(1, len(few))
        few = list(islice(self.own.values(), WEIGHED))  # the others are taken to be like them
        marks = sum(size(mark) + size(mark.seen) for mark in few)
        return weight + (marks * len(self.own) // len(few) if few else 0)

    @property
    def disputed(self) -> bool:
        """Whether its own attributes are."""
        attrs = self._facts.attrs
        return attrs is not None and attrs.debt  # in little room it is not

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
