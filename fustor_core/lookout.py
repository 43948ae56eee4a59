"""A pipe's watch and its eye on the root: armed before any scan, armed again when they fail."""

from __future__ import annotations

import errno
from collections.abc import Callable

import anyio

from fustor_core.contracts import Polling, Rest, Watching
from fustor_core.errors import FustorError
from fustor_core.phases import arm, attend, goes_on, message, prove, stand
from fustor_core.post import Post

SourceError = OSError | FustorError
MARGIN_S = 5.0  # for which the age of a scan may have been on its way
OVERFLOW = "overflow"  # evidence was lost: what happened meanwhile is not known
_NO_ROOT = (errno.ENODEV, errno.ESTALE)  # as `prove` says it


class Lookout:
    """What a pipe sees without scanning. It carries no state bit and needs no session.

    Args:
        post: of the pipe.
        failed: told when the watch or the root is lost; `rearm` is called when it is worth a try.
        armed: told when the watch is entered.

    Attributes:
        is_armed: the watch is entered, or the source has none.
        breaks: how often the watch was lost: what was scanned before has to be scanned again.
    """

    def __init__(
        self, post: Post, *, failed: Callable[[SourceError], None], armed: Callable[[], None]
    ) -> None:
        self.is_armed = False
        self.breaks = 0
        self._post = post
        self._failed = failed
        self._armed = armed
        self._again, self._settled = anyio.Event(), anyio.Event()
        self._standing: anyio.CancelScope | None = None
        self._walked: int | None = None  # after so many breaks
        self._walked_us = 0
        self._begun: tuple[str | None, int] | None = None
        self._stale = False  # the root was lost: the watch may stand on something else
        self._why = OVERFLOW  # the reason for which everything is owed after a break

    def __repr__(self) -> str:
        return f"<Lookout {'armed' if self.is_armed else 'not armed'}, {self.breaks} breaks>"

    def rearm(self) -> None:
        """Try again."""
        self._again.set()
        self._again = anyio.Event()
        if self._stale and self._standing is not None:
            self.is_armed = False
            self._standing.cancel()
        self._stale = False

    async def renew(self) -> None:
        """Enter the watch anew and wait for it; what was scanned has to be scanned again.

        Raises:
            OSError: it cannot be had; who keeps it has reported why.
        """
        self.breaks += 1
        self._why = OVERFLOW
        if self._standing is None:
            return
        self.is_armed = False
        self._settled = anyio.Event()
        self._standing.cancel()
        await self._settled.wait()
        if not self.is_armed:
            raise OSError(errno.EIO, "the watch could not be entered anew")

    async def widen(self) -> None:
        """Watch the whole tree, once for each time that the watch is entered.

        Raises:
            OSError, FustorError: the walk was not whole.
        """
        source = self._post.source
        arms = isinstance(source, Watching) and not isinstance(source, Polling)
        if arms and self._walked != self.breaks:
            breaks = self.breaks
            await arm(self._post)
            self.walked(breaks)

    def walked(self, breaks: int) -> None:
        """All directories are watched, since the watch was lost for so many times."""
        if self._walked != breaks:
            self._walked, self._walked_us = breaks, self._post.now_us()

    def behind(self, rest: Rest | None, session_id: str | None) -> bytes:
        """Where a whole scan goes on that was broken off, if this pipe may; b"" = it begins anew.

        It may when this very process has begun it, watching as it went; or when it has watched
        everything since before that began: then nothing that was looked at can have changed unseen
        but what audits are for.

        Args:
            rest: of the scan. session_id: in which the pipe leads now.
        """
        begun, self._begun = self._begun, (session_id, self.breaks)
        source, now_us = self._post.source, self._post.now_us()
        if rest is None or not goes_on(source):
            return b""
        began_us = now_us - (rest.age_s + MARGIN_S) * 1e6
        watched = self._walked == self.breaks and self._walked_us < began_us
        mine = begun == (rest.session, self.breaks)
        return rest.after if mine or watched or not isinstance(source, Watching) else b""

    async def watch(self) -> None:
        """Keep the watch; returns at once for a source that has none."""
        if not isinstance(self._post.source, Watching):
            self._enter()
            return
        while True:
            error = await self._stand()
            if error is None:
                continue
            self.is_armed = False
            self.breaks += 1
            self._settled.set()
            self._why = _reason(error)
            self._post.outbox.owe_root(self._why)
            await self._tell_root()
            again = self._again
            self._failed(error)
            await again.wait()

    async def _stand(self) -> SourceError | None:
        """One watch, from its arming to what has ended it; None when `rearm` has."""
        source = self._post.source
        assert isinstance(source, Watching)
        error: SourceError | None = OSError("the watch has ended by itself")
        with anyio.CancelScope() as self._standing:
            try:
                async with source.watch() as seen:
                    await stand(self._post)
                    if self.breaks:
                        self._post.outbox.owe_root(self._why)
                    self._enter()
                    await message(self._post, seen)
            except* (OSError, FustorError) as errors:
                error = _first(errors)
        if self._standing.cancelled_caught:
            error = None
        self._standing = None
        return error

    def _enter(self) -> None:
        self.is_armed = True
        self._settled.set()
        self._armed()

    async def _tell_root(self) -> None:
        """If the root is gone, fusion should hear of it before the pipe stops sending."""
        try:
            await prove(self._post)
        except (OSError, FustorError):
            pass  # `attend` comes to the same end, and reports it

    async def attend(self) -> None:
        """Keep an eye on the root; returns at once for a source whose root has no identity."""
        while True:
            try:
                await attend(self._post)
                return
            except (OSError, FustorError) as error:
                self.breaks += 1
                self._stale, self._why = True, _reason(error)
                again = self._again
                self._failed(error)
            await again.wait()


def _reason(error: SourceError) -> str:
    """The reason (interfaces.md §1) that an error of a source gives, if it gives one."""
    if isinstance(error, OSError):
        return "vanished_root" if error.errno in _NO_ROOT else OVERFLOW
    return str(getattr(error, "reason", "")) or OVERFLOW


def _first(errors: BaseExceptionGroup[OSError | FustorError]) -> SourceError:
    found: BaseException = errors
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    assert isinstance(found, OSError | FustorError)
    return found
