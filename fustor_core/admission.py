"""What of a batch can be taken, and when its looks were in fusion time. Pure.

Stamps are mapped once, on arrival. A claim that cannot be taken is quarantined and named in the
reply; the rest of its batch counts.
"""

from __future__ import annotations

from dataclasses import dataclass

from fustor_core.claims import Batch, Claim, Listing, Origin, Quarantined, Root, fault, sorted_fault
from fustor_core.clock import OffsetBounds


@dataclass(slots=True)
class Admission:
    """The outcome for one batch.

    Attributes:
        stamps: (lo, hi) of each claim in fusion µs. refused: the quarantined claims.
        root_proven: whether the session's root stands proven after this batch.
        alarm: what a person should hear about the root, "" for nothing.
    """

    stamps: list[tuple[int, int]]
    refused: list[Quarantined]
    root_proven: bool
    alarm: str = ""


def admit(
    batch: Batch, bounds: OffsetBounds, now_us: int, *, identity: str, root_proven: bool
) -> Admission:
    """Map all stamps and say which claims cannot be taken.

    Args:
        bounds: of the session's line. now_us: fusion time of the arrival.
        identity: the view's root as first proven, "" before. root_proven: by this session, so far.
    """
    out = Admission([], [], root_proven)
    for i, claim in enumerate(batch.claims):
        lo, hi = bounds.map(claim.stamp.f, claim.stamp.t, now_us)
        out.stamps.append((min(lo, hi), hi))
        if isinstance(claim, Root):
            identity = identity or (claim.identity if claim.present else "")
            out.root_proven = claim.present and claim.identity == identity
            if not out.root_proven:
                out.alarm = (
                    f"the root is not the one that was watched ({_seen(claim)}): nothing is "
                    "taken from it; if it is right, give it a view of its own (`--name`)"
                )
            continue
        why = fault(claim) or _unproven(claim, out.root_proven) or _unsorted(claim)
        if why:
            out.refused.append(Quarantined(i, why, getattr(claim, "name", None)))
    return out


def _seen(claim: Root) -> str:
    return claim.reason or (f"found {claim.identity}" if claim.present else "nothing is there")


def _unproven(claim: Claim, proven: bool) -> str:
    return "unproven_root" if claim.origin is not Origin.REALTIME and not proven else ""


def _unsorted(claim: Claim) -> str:
    return sorted_fault(claim.names) if isinstance(claim, Listing) and claim.names else ""
