"""What an arbitrator promises: it judges claims, purely."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import msgspec
from pydantic import BaseModel

from fustor_core.claims import (
    Claim,
    Key,
    Origin,
    Silence,
)
from fustor_core.registers import Register, Seen


class Facts(msgspec.Struct, frozen=True, gc=False):
    """All that a judgement may know beside the claim and what is known.

    Attributes:
        seen: the claim's stamp, mapped to fusion time on arrival.
        arrival_us: fusion time of the arrival.
        storage_ns: the logical clock's watermark, ns since 1970.
        exact: directory keys of this view cannot be reused.
    """

    seen: Seen
    arrival_us: int
    storage_ns: int
    exact: bool = True


class Known(Protocol):
    """One directory as the arbitrator sees it; never changed by it."""

    @property
    def key(self) -> Key: ...

    @property
    def base(self) -> Seen | None: ...  # stamp of the last accepted listing; None = never listed

    @property
    def own(self) -> Mapping[bytes, Any]: ...  # names whose register overrides the base

    @property
    def attrs(self) -> Register | None: ...  # the directory's own attributes, register (key, b"")

    @property
    def silent(self) -> Silence | None: ...

    def get(self, name: bytes) -> Register | None: ...  # None = unknown

    def names(self) -> list[bytes]: ...  # present names, byte-sorted

    def holds(self, names: bytes, rows: bytes) -> bool: ...  # these very blobs, one comparison

    def blobs(self) -> tuple[bytes, bytes]: ...  # names and rows of what is present

    def digest(self) -> bytes: ...  # BLAKE2b-128 of the names and rows blobs

    @property
    def suspects(self) -> Mapping[bytes, int]: ...  # name → fusion µs since when it is suspect


class Write(msgspec.Struct, frozen=True, gc=False):
    """A register that changed: its value, its stamp, or both."""

    name: bytes
    old: Register | None
    new: Register
    moved: bool = False


class Pack(msgspec.Struct, frozen=True, gc=False):
    """A whole listing that becomes the base: blobs as claimed, before `Verdict.writes`."""

    names: bytes
    rows: bytes


class Verdict(msgspec.Struct, gc=False):
    """What one claim does to one directory. A value: applying it is the view's job.

    Attributes:
        rule: the rule that decided: ``first newer older same overlap silent owe incomplete``, or
            fusion's own ``root`` and ``quarantine``.
        pack: the new base when it differs from the stored one (see `own`), else None.
        base: the new stamp of the base, None when it does not move.
        own: with a `pack` or a moved base: the registers that go on overriding it, all of them.
            Their values replace those in the pack.
        writes: registers whose value changed, and every edge whose stamp changed.
        attrs: new register of the directory's own attributes, None when it does not change.
        silent: the directory's silence key after this claim; `keep_silent` leaves it as it is.
        settles: stamp of the listing that may close what is owed here; of rule ``root``: a whole
            scan is over.
        owe: (stamp, deep, reason, errno) to open, or None.
        suspects: names that are suspect now → True, or no longer → False.
        scan: the evidence is of scan class (blind spots, guard).
    """

    key: Key
    path: bytes
    rule: str
    seen: Seen
    origin: Origin
    pack: Pack | None = None
    base: Seen | None = None
    own: dict[bytes, Register] | None = None
    writes: list[Write] = []
    attrs: Register | None = None
    silent: Silence | None = None
    keep_silent: bool = True
    settles: Seen | None = None
    owe: tuple[Seen, bool, str, int] | None = None
    via: tuple[Key, bytes] | None = None
    suspects: dict[bytes, bool] = {}
    scan: bool = False


@runtime_checkable
class Arbitrator(Protocol):
    """Says what a claim does to what is known. Pure: no I/O, no clock, same input same verdict.

    Called once a claim, for one directory. Order, debts and what is owed are core's
    (`fustor_core.arbitration`); the driver says what a value is, when two are equal, which one is
    shown in a debt, and what is suspect.
    """

    @property
    def Config(self) -> type[BaseModel]: ...  # noqa: N802 - the name is the contract

    def __init__(self, config: Any) -> None: ...

    def judge(self, known: Known | None, claim: Claim, facts: Facts) -> Verdict: ...


@runtime_checkable
class Sparing(Protocol):
    """An arbitrator that need not be asked about listings of which there is nothing to decide.

    That a whole listing which looked later than the one before finds the same entries moves stamps
    and nothing else, where nothing overrides the one before and nothing is suspect.
    """

    def spares(self, facts: Facts) -> int: ...  # times of entries before this, in ns, are no news
