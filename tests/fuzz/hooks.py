"""What schemathesis has to know of this API: batches, and streams that never end."""

from __future__ import annotations

from typing import Any

import schemathesis
from hypothesis import strategies as st

from fustor_core.claims import (
    KEY,
    MEDIA_TYPE,
    PROTOCOL,
    SILENCE,
    STILL_BYTES,
    Batch,
    Calm,
    Cell,
    Key,
    Listing,
    Origin,
    Owe,
    Root,
    Row,
    Same,
    Silence,
    Stamp,
    Still,
    encode_batch,
    pack_rows,
)

NUMBERS = st.integers(-(1 << 63), (1 << 63) - 1)
SMALL = st.integers(0, 3)
BYTES = st.binary(max_size=64)
NAMES = st.sampled_from([b"a", b"b", b"", b".", b"x/y", b"\xff"]) | BYTES
KEYS = st.builds(Key, SMALL, SMALL, SMALL) | st.builds(Key, NUMBERS, NUMBERS, NUMBERS)
STAMPS = st.builds(Stamp, NUMBERS, NUMBERS, NUMBERS, st.sampled_from("ewlksx"))
ORIGINS = st.sampled_from(Origin)
TEXT = st.text(max_size=8)
ROWS = st.builds(lambda n: Row(size=n).pack(), SMALL) | st.binary(min_size=48, max_size=48) | BYTES
SILENCES = st.builds(Silence, NUMBERS, NUMBERS, NUMBERS, NUMBERS)
COMMON = {"dir": KEYS, "stamp": STAMPS, "origin": ORIGINS, "path": BYTES}


@st.composite
def _listings(draw: st.DrawFn) -> Listing:
    """Some fit together, some do not."""
    names, rows = pack_rows(draw(st.dictionaries(NAMES, ROWS, max_size=4)))
    more = {"names": st.just(names) | BYTES, "rows": st.just(rows) | BYTES}
    more |= {"digest": st.none() | BYTES, "silence": st.none() | SILENCES}
    more |= {"own": st.none() | ROWS, "complete": st.booleans()}
    return draw(st.builds(Listing, **COMMON, **more))


@st.composite
def _calm(draw: st.DrawFn) -> Calm:
    """Some are pairs, some are not."""
    pairs = draw(st.lists(st.tuples(SMALL, SMALL), max_size=4))
    keys = b"".join(KEY.pack(0, ino, 0) for ino, _ in pairs)
    silences = b"".join(SILENCE.pack(t, t, ino, 2) for ino, t in pairs)
    more = {"keys": st.just(keys) | BYTES, "silences": st.just(silences) | BYTES}
    more |= {name: COMMON[name] for name in ("stamp", "origin", "path")}
    return draw(st.builds(Calm, **more))


@st.composite
def _still(draw: st.DrawFn) -> Still:
    """Some have a sum for each directory, some have not."""
    keys = b"".join(KEY.pack(0, ino, 0) for ino in draw(st.lists(SMALL, max_size=4)))
    sums = draw(st.sampled_from([b"\0", b"\1", b"\2"])) * STILL_BYTES * (len(keys) // KEY.size)
    more = {"keys": st.just(keys) | BYTES, "sums": st.just(sums) | BYTES}
    more |= {name: COMMON[name] for name in ("stamp", "origin", "path")}
    return draw(st.builds(Still, **more))


CLAIMS = st.one_of(
    st.builds(Cell, **COMMON, name=NAMES, value=st.none() | ROWS),
    _listings(),
    st.builds(Same, **COMMON, silence=SILENCES),
    _calm(),
    _still(),
    st.builds(Owe, **COMMON, deep=st.booleans(), reason=TEXT, errno=st.integers(0, 200)),
    st.builds(Root, key=KEYS, identity=TEXT, stamp=STAMPS, origin=ORIGINS, present=st.booleans()),
)
BATCHES = st.builds(
    lambda *fields: encode_batch(Batch(*fields)),
    st.sampled_from([PROTOCOL, 0, 7]),
    st.integers(0, 3) | NUMBERS,
    SMALL | NUMBERS,
    st.lists(CLAIMS, max_size=4),
)
schemathesis.openapi.media_type(MEDIA_TYPE, BATCHES | BYTES)


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """No stream of changes is followed: it ends when its client does.

    An object that is sent for another parameter may be taken apart into parameters of its own. What
    is asked instead is refused, as what was meant to be refused must be.
    """
    given = dict(case.query or {})
    follow = str(given.pop("follow", None) or "").lower()
    if "follow" in repr(given) or follow in ("true", "1", "yes", "on", "t", "y"):
        case.query = {"limit": "none"}
