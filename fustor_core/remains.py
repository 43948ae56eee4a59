"""What a pipe could not send before it stopped, from one process to the next."""

from __future__ import annotations

from collections.abc import Sequence

from fustor_core.claims import Cell
from fustor_core.owing import owe
from fustor_core.post import Post
from fustor_core.spool import NOTHING, Spool
from fustor_core.trouble import Trouble


class Remains:
    """What is left of a pipe's last life, until it is told, and of this one at its end.

    Args:
        post, trouble: of the pipe. spool: where it is kept; None: nowhere.
    """

    def __init__(self, post: Post, trouble: Trouble, spool: Spool | None) -> None:
        self._post, self._trouble, self._spool = post, trouble, spool or Spool(None)
        self._left = NOTHING

    def __repr__(self) -> str:
        return f"<Remains {self._left} in {self._spool!r}>"

    def take_up(self) -> None:
        """The pipe starts."""
        try:
            self._left = self._spool.begin()
        except OSError as error:
            self._trouble.note(f"the spool cannot be written: {error}")

    def tell(self) -> None:
        """A follower, in its first session: say what is owed. The root is known."""
        left, self._left = self._left, NOTHING
        if left.everything:
            self._post.outbox.owe_root("not_yet")
        now = self._post.now_us()
        self._post.outbox.tell(
            [owe(one.key, one.path, "not_yet", now, deep=one.deep) for one in left.owed]
        )

    def forget(self) -> None:
        """A whole snapshot is acknowledged: it has looked at all of it."""
        self._left = NOTHING

    def leave(self, lost: Sequence[Cell]) -> None:
        """The pipe has stopped; what could not be sent is owed by the next start.

        Args:
            lost: names that were still to be looked at again.
        """
        self._post.outbox.owe(lost, "not_yet")
        try:
            self._spool.end(self._post.outbox.left(), self._left)
        except OSError as error:
            self._trouble.note(f"the spool cannot be written: {error}")
