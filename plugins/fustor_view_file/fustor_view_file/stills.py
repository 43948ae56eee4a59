"""Runs of unchanged listings: what is as the view has it gets another stamp, and nothing else.

A directory's face ends with what a run says of it: whether there is a silence key, its own
attributes, the digest of its entries. So one comparison tells that nothing has changed. Its record
in the cold store stays as it is; the run itself is kept there (`Look`).
"""

from __future__ import annotations

from fustor_core.arbitration import order
from fustor_core.claims import KEY, STILL_BYTES, Origin, Still
from fustor_core.registers import Seen
from fustor_view_file.faces import FACE_BYTES, STAMP_BYTES, base_in, stamp_of
from fustor_view_file.records import Look
from fustor_view_file.tree import Tree


def take(tree: Tree, claim: Still, at: int, end: int, seen: Seen) -> int:
    """Note the looks from `at` on, before `end`, up to the first that is more than another stamp.

    Returns:
        The place of that one, or `end`.
    """
    stamp = stamp_of(seen)
    if stamp is None or claim.origin is Origin.REALTIME:  # that would say who saw the attributes
        return at
    keys, sums = claim.keys[at * KEY.size : end * KEY.size], claim.sums
    contested = {place[0] for places in tree.contested().values() for place in places}
    known, origin, earlier = tree.dirs, claim.origin, b""
    begin, next_at = at, at * STILL_BYTES
    for key in KEY.iter_unpack(keys):
        directory = known.get(key)  # type: ignore[call-overload]
        if directory is None or directory.owed is not None or directory.left_out:
            break
        face = directory.face
        if face is None or directory.own or directory.suspects or key in contested:
            break
        if face[:STAMP_BYTES] != earlier:
            base = base_in(face)
            if base.lo > seen.lo or order(base, seen) <= 0:
                break
            earlier = face[:STAMP_BYTES]
        tail = sums[next_at : next_at + STILL_BYTES]
        if len(face) == FACE_BYTES:
            digest = directory.glance().digest()
            if directory.face is not face:  # its entries were damaged
                break
            face = directory.face = face + digest
        if face[STAMP_BYTES:] != tail:
            break
        directory.face, directory.origin = stamp + tail, origin
        at, next_at = at + 1, next_at + STILL_BYTES
    if at > begin:
        size = (at - begin) * KEY.size
        tree.looks.append(
            Look(stamp, origin, keys[:size], sums[begin * STILL_BYTES : at * STILL_BYTES])
        )
    return at
