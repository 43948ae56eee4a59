"""After a lost session: what was sent and not acknowledged is looked at again."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from fustor_core.claims import CLOSED, MOVED, WRITING, Cell, Origin, Owe, Row
from fustor_core.phases import look_again

from .desk import Desk, Plain

pytestmark = pytest.mark.anyio


@pytest.fixture
def desk() -> Desk:
    return Desk()


def lost(desk: Desk, path: str, **fields: Any) -> Cell:
    """The claim about a name that was sent and not acknowledged."""
    folder, name, walked = desk.source._parent(path)
    return Cell(
        dir=folder.key("btime"),
        name=name,
        value=Row(size=999).pack(),
        stamp=desk.source._cell(folder, name, walked, "e", Origin.REALTIME).stamp,
        path=walked,
        **{"origin": Origin.REALTIME, **fields},
    )


async def test_what_was_lost_is_looked_at_freshly(desk: Desk) -> None:
    old = [
        lost(desk, "b/c", flags=WRITING),
        lost(desk, "a", flags=MOVED | CLOSED),
        lost(desk, "b/d/e", origin=Origin.SENTINEL),
    ]
    desk.clock.tick(1000)
    await desk.during(lambda: look_again(desk.post, old))
    found = {c.name: c for c in desk.sent if isinstance(c, Cell)}
    assert set(found) == {b"a", b"b", b"c", b"d", b"e"}
    assert (found[b"c"].origin, found[b"c"].flags) == (Origin.REALTIME, WRITING)
    assert (found[b"a"].origin, found[b"a"].flags) == (Origin.REALTIME, CLOSED)
    assert found[b"e"].origin is Origin.ON_DEMAND, "a look is fenced, evidence is not"
    assert {found[b"b"].origin, found[b"d"].origin} == {Origin.ON_DEMAND}
    assert all(c.stamp.f == desk.clock.now_us() for c in found.values())
    assert Row(size=999).pack() not in {c.value for c in found.values()}


async def test_a_name_that_is_gone_is_absent(desk: Desk) -> None:
    old = lost(desk, "b/c")
    desk.source.remove("b/c")
    await desk.during(lambda: look_again(desk.post, [old]))
    (cell,) = [c for c in desk.sent if isinstance(c, Cell) and c.name == b"c"]
    assert cell.value is None


async def test_what_cannot_be_looked_at_is_owed(desk: Desk) -> None:
    inside = lost(desk, "b/c")
    own = msgspec.structs.replace(lost(desk, "b/d/e"), name=b"")
    desk.source.move("b", "elsewhere")
    await desk.during(lambda: look_again(desk.post, [inside, own]))
    owed = {c.path: c.deep for c in desk.sent if isinstance(c, Owe)}
    assert owed == {b"/b": True, b"/b/d": False}


async def test_own_attributes_are_looked_at_by_the_path_of_their_directory(desk: Desk) -> None:
    old = msgspec.structs.replace(lost(desk, "b/c"), name=b"")
    fresh = msgspec.structs.replace(old, value=Row(size=7).pack())
    asked: list[bytes] = []

    async def look(paths: Sequence[bytes]) -> list[Cell]:
        asked.extend(paths)
        return [fresh]

    desk.source.look = look
    await desk.during(lambda: look_again(desk.post, [old]))
    assert asked == [b"/b"]
    assert [(c.name, c.value) for c in desk.sent if isinstance(c, Cell)] == [(b"", fresh.value)]
    assert not [c for c in desk.sent if isinstance(c, Owe)]


async def test_a_source_that_cannot_look_leaves_everything_owed() -> None:
    cell = lost(Desk(), "b/c")
    desk = Desk(Plain(Plain.Config()))
    await desk.during(lambda: look_again(desk.post, [cell]))
    assert [(type(c), c.path) for c in desk.sent] == [(Owe, b"/b")]


async def test_a_look_that_fails_leaves_the_rest_owed(desk: Desk) -> None:
    cell = lost(desk, "b/c")

    async def broken(paths: object) -> list[Cell]:
        raise OSError(errno.EIO, "input/output error")

    desk.source.look = broken
    with pytest.raises(OSError, match="input/output"):
        await desk.during(lambda: look_again(desk.post, [cell]))
    assert [(type(c), c.path) for c in desk.sent] == [(Owe, b"/b")]
