"""The arbitrator for file trees: what a row means, and which files are suspect."""

from __future__ import annotations

import stat
from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict, Field

from fustor_core.arbitration import judge_claim, order
from fustor_core.claims import (
    CLOSED,
    MOVED,
    ROW_BYTES,
    WRITING,
    Cell,
    Claim,
    Origin,
    is_dir,
    split_names,
    unpack_row,
)
from fustor_core.contracts import Facts, Known, Verdict
from fustor_core.registers import Register
from fustor_core.units import Seconds

__all__ = ["FSArbitrator"]

_WORDS = ROW_BYTES // 8  # a row is six 8-byte words; mtime is word 1, ctime word 2
_MTIME, _CTIME = 1, 2
_LINKS, _EDGE_LINKS = 44, bytes(4)  # an edge has no links; a directory's own attributes have


class FSArbitrator:
    """Judges claims about file trees.

    A file is equal to another when every stored column is; a directory is its key. In a debt,
    realtime is shown before scan, present before absent, later ctime, later mtime. Suspect is what
    is being written, or what a scan found younger than `hot_file_threshold` by storage time; it is
    cleared by a close-write, or by a second equal look a threshold later.
    """

    class Config(BaseModel):
        """Options of the driver."""

        model_config = ConfigDict(extra="forbid", frozen=True)
        hot_file_threshold: Seconds = Field(
            default=30,
            ge=0,
            description="younger files (by storage time) are suspect until looked at again",
        )
        loose_age: Seconds = Field(
            default=3600, ge=0, description="when directories that are in no other are forgotten"
        )
        cache_bound: Seconds | str = Field(
            default="auto", description="attribute cache of the mount; auto reads it from the mount"
        )

    def __init__(self, config: Config) -> None:
        self._use(config)

    def _use(self, config: Config) -> None:
        self.config = config
        self._hot_ns = int(config.hot_file_threshold * 1e9)
        self._hot_us = self._hot_ns // 1000

    def adjust(self, config: Config) -> bool:
        """Take another threshold; what the core reads of the rest needs a new arbitrator."""
        threshold = {"hot_file_threshold": config.hot_file_threshold}
        if self.config.model_copy(update=threshold) != config:
            return False
        self._use(config)
        return True

    def judge(self, known: Known | None, claim: Claim, facts: Facts) -> Verdict:
        """What the claim does to its directory; see `fustor_core.arbitration`."""
        return judge_claim(known, claim, facts, self)

    def spares(self, facts: Facts) -> int:
        """Entries whose times are all before this, in ns, are not suspect in a listing."""
        return facts.storage_ns - self._hot_ns

    def equal(self, a: bytes | None, b: bytes | None) -> bool:
        """Whether two values are the same: all columns, but of an edge the key alone."""
        if a is None or b is None:
            return a is b
        if is_dir(a) and is_dir(b) and a[_LINKS:] == b[_LINKS:] == _EDGE_LINKS:
            return a[:8] == b[:8] and a[16:32] == b[16:32]
        return a == b

    def shown(self, k: Register, c: Register) -> Register:
        """Which of two disputed registers is shown until a look settles it."""
        return c if _rank(c) > _rank(k) else k

    def suspects_of_cell(
        self, known: Known | None, claim: Cell, old: Register | None, new: Register, facts: Facts
    ) -> dict[bytes, bool]:
        """Names that are suspect after a claim about one name → True, no longer → False."""
        name = claim.name
        since = known.suspects.get(name) if known else None
        if new is old and (since is None or order(old.seen, facts.seen) < 0):
            return {}
        value = new.value
        if value is None or not stat.S_ISREG(unpack_row(value).mode):
            return {name: False} if since is not None else {}
        if claim.origin is Origin.REALTIME:
            return self._realtime_suspect(claim, old, value, since, facts)
        if old is not None and self.equal(old.value, value):
            settled = since is not None and facts.seen.lo >= since + self._hot_us
            return {name: False} if settled else {}
        return {name: True} if self._hot(value, facts) else {}

    def _realtime_suspect(
        self, claim: Cell, old: Register | None, value: bytes, since: int | None, facts: Facts
    ) -> dict[bytes, bool]:
        name = claim.name
        if claim.flags & WRITING:
            return {name: True}
        if claim.flags & CLOSED:
            return {name: False} if since is not None else {}
        row = unpack_row(value)
        fresh = old is None or old.value is None or unpack_row(old.value).ino != row.ino
        if fresh and not claim.flags & MOVED and row.nlink == 1 and self._hot(value, facts):
            return {name: True}
        return {}

    def suspects_of_listing(
        self,
        known: Known | None,
        names: bytes,
        rows: bytes,
        changed: Iterable[bytes] | None,
        facts: Facts,
    ) -> dict[bytes, bool]:
        """The same for a whole listing; `changed` None means that it is the first one."""
        out: dict[bytes, bool] = {}
        held = known.suspects if known else {}
        fresh = None if changed is None else set(changed)
        for name, since in held.items():
            if fresh is not None and name not in fresh and facts.seen.lo >= since + self._hot_us:
                out[name] = False
        if not rows or fresh == set():
            return out
        limit = facts.storage_ns - self._hot_ns
        words = memoryview(rows).cast("q")
        if max(words[_MTIME::_WORDS]) < limit and max(words[_CTIME::_WORDS]) < limit:
            return out
        for i, name in enumerate(split_names(names)):
            row = rows[i * ROW_BYTES : (i + 1) * ROW_BYTES]
            if (fresh is None or name in fresh) and self._hot(row, facts):
                out[name] = True
        return out

    def _hot(self, row: bytes, facts: Facts) -> bool:
        parts = unpack_row(row)
        if not stat.S_ISREG(parts.mode):
            return False
        return max(parts.mtime_ns, parts.ctime_ns) > facts.storage_ns - self._hot_ns


def _rank(register: Register) -> tuple[bool, int, bool, int, int]:
    value = register.value
    ctime = mtime = 0
    if value is not None and not is_dir(value):
        row = unpack_row(value)
        ctime, mtime = row.ctime_ns, row.mtime_ns
    hi = register.seen.hi if register.rt else 0
    return (register.rt, hi, value is not None, ctime, mtime)
