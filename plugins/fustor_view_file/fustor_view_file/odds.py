"""What only few directories have: it stands apart, so that all others have one word for it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from fustor_core.claims import Origin, Silence
from fustor_core.registers import Register, Seen


class Mark(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What an own cell keeps: the value lies in the pack, or nowhere for a tombstone."""

    seen: Seen
    debt: bool
    rt: bool
    origin: Origin


class Facts(msgspec.Struct, frozen=True, eq=False, gc=False):
    """Stamp, own attributes and membership key where no face holds them."""

    base: Seen | None = None
    attrs: Register | None = None
    silent: Silence | None = None


class Odds(msgspec.Struct, frozen=True, eq=False, gc=False):
    """What few directories have, by name; see `Directory`."""

    own: dict[bytes, Mark] | None = None
    suspects: dict[bytes, int] | None = None
    blind: Mapping[bytes, int] | None = None
    frozen: dict[bytes, int] | None = None


NO_FACTS, NO_ODDS = Facts(), Odds()
"""Those of nearly all directories."""
WELL = (False, "", 0)
WHYS = {why: why for why in (WELL, (False, "not_yet", 0), (True, "not_yet", 0))}
"""Why a listing is owed, as it is mostly: deep, reason, errno."""
