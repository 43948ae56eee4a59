"""One claim of many calm directories does what as many claims of one do, whatever is known."""

from __future__ import annotations

from typing import Any

from fustor_arbitrator_fs import FSArbitrator
from fustor_view_file import FileView
from hypothesis import given, settings
from hypothesis import strategies as st

from fustor_core.claims import (
    KEY,
    SILENCE,
    Batch,
    Calm,
    Claim,
    Key,
    Listing,
    Origin,
    Root,
    Row,
    Silence,
    Stamp,
    edge_row,
    pack_rows,
)
from fustor_core.contracts import Moment
from fustor_core.fold import Fold
from fustor_core.frames import BatchHead, pack_stamps

ROOT = Key(0, 1, 1)
KEYS = [Key(0, 10 + i, 5) for i in range(6)]
SILENCES = st.none() | st.builds(
    Silence, st.integers(1, 2), st.integers(1, 2), st.just(9), st.integers(2, 3)
)
KNOWN = st.dictionaries(st.sampled_from(KEYS), SILENCES, max_size=5)
PAIRS = st.lists(
    st.tuples(
        st.sampled_from([*KEYS, Key(0, 99, 99)]),
        st.builds(Silence, st.integers(1, 2), st.integers(1, 2), st.just(9), st.integers(2, 3)),
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda pair: pair[0],
)


def listing(key: Key, rows: dict[bytes, Row | bytes], silence: Silence | None) -> Listing:
    names, blob = pack_rows(rows)
    stamp = Stamp(1, 2, 1, "l")
    return Listing(
        dir=key, names=names, rows=blob, stamp=stamp, origin=Origin.SNAPSHOT, silence=silence
    )


class World:
    """A view in memory, with time in the hand."""

    def __init__(self, known: dict[Key, Silence | None]) -> None:
        self.view = FileView(FileView.Config())
        self.fold = Fold(self.view, FSArbitrator(FSArbitrator.Config()))
        self.now, self.seq = 0, 0
        edges: dict[bytes, Row | bytes] = {b"d%d" % key.ino: edge_row(key) for key in KEYS}
        self.take(
            Root(key=ROOT, identity="x", stamp=Stamp(1, 1, 0, "s")),
            listing(ROOT, edges, None),
            *(listing(key, {b"f": Row(size=1)}, silence) for key, silence in known.items()),
        )

    def take(self, *claims: Claim) -> Any:
        """Fold a batch; what it owes."""
        self.now += 1000
        self.seq += 1
        stamps = pack_stamps([(self.now - 10, self.now)] * len(claims))
        head = BatchHead("s", "a", 1, self.now, self.now * 1000, [], stamps)
        moment = Moment(self.now, self.now * 1000, 0, None, True, 0)
        *_, done = self.fold.batch(head, Batch(1, self.seq, 1, list(claims)), moment)
        return {(one.key, one.path, one.deep) for one in done.owed}

    def state(self) -> dict[Key, Any]:
        """All that is known of each directory."""
        found = {}
        for key in [ROOT, *KEYS, Key(0, 99, 99)]:
            one: Any = self.view.known(key)
            if one is not None:
                owed = one.owed, one.deep, one.reason
                found[key] = one.base, one.silent, one.blobs(), dict(one.own), owed, [*one.count]
        return found


@settings(max_examples=200, deadline=None)
@given(known=KNOWN, pairs=PAIRS)
def test_many_at_once_are_as_many_alone(
    known: dict[Key, Silence | None], pairs: list[tuple[Key, Silence]]
) -> None:
    calm = Calm(
        keys=b"".join(KEY.pack(*key) for key, _ in pairs),
        silences=b"".join(SILENCE.pack(*silence) for _, silence in pairs),
        stamp=Stamp(900, 950, 900, "l"),
        origin=Origin.AUDIT,
    )
    together, apart = World(known), World(known)
    assert together.take(calm) == apart.take(*calm.same())
    assert together.state() == apart.state()
    before = together.state()
    right = {key for key, silence in pairs if known.get(key) == silence}
    fresh = World(known).state()
    assert all(before[key] == fresh[key] for key in right), "no stamp moves"
