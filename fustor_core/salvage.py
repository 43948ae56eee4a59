"""What of a batch can be read when not all of it can: a claim that lacks fields costs itself alone.

The bad claim is named in the reply and stands in the batch as an `Owe` of its directory, so that
what is journalled can be read again.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from fustor_core.claims import (
    PROTOCOL,
    Batch,
    Claim,
    Key,
    Origin,
    Owe,
    Quarantined,
    Root,
    Stamp,
    decode_batch,
    encode_batch,
)
from fustor_core.errors import MalformedClaim

CLAIMS_MAX = 100_000  # of a batch that is read one by one
_LEAST, _MOST = -(1 << 63), (1 << 64) - 1  # whether it can be a key is for admission to say


class _Outline(msgspec.Struct, array_like=True):
    protocol: int
    seq: int
    epoch: int
    claims: Annotated[list[msgspec.Raw], msgspec.Meta(max_length=CLAIMS_MAX)]


_outline = msgspec.msgpack.Decoder(_Outline)
_claim = msgspec.msgpack.Decoder(Claim)
_any = msgspec.msgpack.Decoder()
_ERRORS = (msgspec.DecodeError, ValueError, OverflowError, RecursionError)


def readable(body: bytes, sent_us: int | None) -> tuple[Batch, bytes, tuple[Quarantined, ...]]:
    """The batch in a body, as far as it can be read.

    Args:
        sent_us: the agent's raw clock when it sent the body, None when it did not say.

    Returns:
        The batch; its body, another one when claims were replaced; the replaced claims.

    Raises:
        MalformedClaim: it is no batch at all, or a bad claim does not even name its directory.
    """
    try:
        return decode_batch(body), body, ()
    except MalformedClaim as error:
        batch, refused = _salvage(body, sent_us, error)
        return batch, encode_batch(batch), refused


def _salvage(
    body: bytes, sent_us: int | None, error: MalformedClaim
) -> tuple[Batch, tuple[Quarantined, ...]]:
    try:
        outline = _outline.decode(body)
    except _ERRORS:
        raise error from None
    if outline.protocol != PROTOCOL:
        raise error
    found: list[Claim | None] = []
    refused: list[Quarantined] = []
    places: dict[int, Key] = {}
    for index, raw in enumerate(outline.claims):
        try:
            found.append(_claim.decode(raw))
        except _ERRORS as fault:
            places[index], name = _place(raw, error)
            refused.append(Quarantined(index, f"the claim cannot be read: {fault}", name))
            found.append(None)
    now = max((c.stamp.t for c in found if c is not None and not isinstance(c, Root)), default=None)
    now = sent_us if sent_us is not None else now
    if now is None or not refused:
        raise error
    claims = [_owe(places[i], now) if c is None else c for i, c in enumerate(found)]
    return Batch(PROTOCOL, outline.seq, outline.epoch, claims), tuple(refused)


def _place(raw: msgspec.Raw, error: MalformedClaim) -> tuple[Key, bytes | None]:
    """The directory of a claim that cannot be read, and the name if it has one."""
    try:
        parts = _any.decode(raw)
    except _ERRORS:
        raise error from None
    if not isinstance(parts, list) or len(parts) < 2 or not _is_key(parts[1]):
        raise error
    named = parts[0] == "c" and len(parts) > 2 and isinstance(parts[2], bytes)
    return Key(*parts[1]), parts[2] if named else None


def _is_key(part: Any) -> bool:
    return (
        isinstance(part, list)
        and len(part) == 3
        and all(isinstance(n, int) and _LEAST <= n <= _MOST for n in part)
    )


def _owe(key: Key, now_us: int) -> Owe:
    stamp = Stamp(now_us, now_us, 0, "s")
    return Owe(dir=key, deep=False, reason="quarantine", stamp=stamp, origin=Origin.REALTIME)
