"""How a pipe opens a session: the root is proven, keys are made as its view makes them."""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import suppress

from fustor_core.claims import Cell, Root
from fustor_core.contracts import Bearing, Grant, Hello
from fustor_core.errors import FustorError, PipeError
from fustor_core.link import Link
from fustor_core.lookout import Lookout
from fustor_core.phases import look_again, prove
from fustor_core.post import Post
from fustor_core.waiting import within

LOOK_LIMIT_S = 60.0  # for looking again at what was lost; then its directories are owed


async def open_session(
    link: Link,
    post: Post,
    lookout: Lookout,
    say: Callable[[Root], Hello],
    lost: list[Cell],
) -> None:
    """A new session: proof of the root first, then what was lost with the last one.

    Args:
        say: the first words, with the proof.
        lost: names to look at again; emptied when that was begun: what fails then is owed.

    Raises:
        OSError, FustorError: there is none; one that was granted is closed again.
    """
    outbox = post.outbox
    root = await prove(post)
    await link.open(say(root))
    try:
        if link.grant is not None:
            outbox.allow(link.grant.rows, link.grant.batch_bytes)
            if await _bears_anew(post, link.grant):
                lost.clear()
                root = await _begin_anew(post, lookout, owe=link.sessions > 1)
        outbox.epoch = link.epoch if link.leads else 0
        late = OSError(errno.ETIMEDOUT, f"the storage has not answered for {LOOK_LIMIT_S:g} s")
        cells = list(lost)
        lost.clear()
        await within(LOOK_LIMIT_S, lambda: look_again(post, cells), post.sleep, late)
    except (OSError, FustorError):
        with suppress(PipeError):  # the other end finds out by itself
            await link.close()
        raise
    outbox.tell_first(root)


async def _bears_anew(post: Post, grant: Grant) -> bool:
    return isinstance(post.source, Bearing) and await post.source.bear(grant.birth)


async def _begin_anew(post: Post, lookout: Lookout, *, owe: bool) -> Root:
    """All keys are void: the watch is entered anew, what is queued goes.

    Args:
        owe: something may have been promised with the old keys: everything is owed.
    """
    post.proof = None
    await lookout.renew()
    post.outbox.void()
    root = await prove(post)
    post.outbox.root = root.key
    if owe:
        post.outbox.owe_root("not_yet")
    return root
