"""The driver: a directory tree that others change, looked at again and again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream

from fustor_core.claims import Cell, Origin, Root
from fustor_core.contracts import Scope
from fustor_core.errors import FustorError
from fustor_core.files.looking import inside
from fustor_source_nfs.config import NfsConfig
from fustor_source_nfs.frames import Births, Look
from fustor_source_nfs.ground import Claims, Ground, WatchError
from fustor_source_nfs.listening import Listening
from fustor_source_nfs.polling import Polling
from fustor_source_nfs.scanning import Scan, ScanClaim

Seen = Claims | OSError | FustorError


class NfsSource:
    """A directory tree on Linux that is polled; it need not lie on NFS.

    Attributes:
        scans_at_once: so many scans of any scopes may run beside polling and looks.
        polls: what is polled; a pipe that has always followed polls nothing.
        tiers: of audits, beside the full one. in_order: they can be gone on with.
    """

    Config = NfsConfig
    scans_at_once = 2
    in_order = True
    polls = "what was scanned"
    tiers = frozenset({"directories", "names"})

    def __init__(self, config: NfsConfig) -> None:
        self._config = config
        self._ground = Ground(config)
        self._watched = False
        self._listening: Listening | None = None

    def __repr__(self) -> str:
        return f"NfsSource({self._config.root!r}, {self._ground!r})"

    async def scan(self, scope: Scope) -> AsyncIterator[ScanClaim]:
        """Each directory of the scope once, parents first; names that vanished meanwhile as cells.

        A directory that hangs is told so, and left; when the root hangs, too, this ends.

        Raises:
            StorageHung: the root does not answer, or too many directories.
            RootVanished: the root is not there, or another one.
        """
        if inside(scope.path):
            async for claim in Scan(self._ground, scope).run():
                yield claim

    def watch(self) -> AbstractAsyncContextManager[AsyncIterator[Claims]]:
        """What polling finds, of directories that were scanned, and what this host writes.

        Raises:
            WatchError: it is watched already, or `watch: inotify` and there is none.
        """
        return self._watching()

    @asynccontextmanager
    async def _watching(self) -> AsyncIterator[AsyncIterator[Claims]]:
        if self._watched:
            raise WatchError(f"{self._config.root!r} is watched by this source already")
        ground = self._ground
        ground.watched()
        self._watched = True
        send, receive = anyio.create_memory_object_stream[Seen](0)

        async def told(run: Callable[[], Awaitable[None]]) -> None:
            try:
                await run()
            except (OSError, FustorError) as err:
                await send.send(err)

        try:
            async with anyio.create_task_group() as group:
                group.start_soon(told, Polling(ground, send.send).run)
                if ground.ears is not None:
                    self._listening = Listening(ground, ground.ears, send.send)
                    group.start_soon(self._listening.hark)
                    group.start_soon(told, self._listening.run)
                    group.start_soon(told, self._listening.arm)
                yield _taken(receive)
                group.cancel_scope.cancel()
        finally:
            self._watched, self._listening = False, None
            ground.unwatched()
            send.close()
            receive.close()

    async def cover(self, paths: Sequence[bytes]) -> None:
        """Hear what this host writes in directories that another host made, too."""
        if self._listening is not None:
            self._listening.cover([path for path in paths if inside(path)])

    async def look(
        self, paths: Sequence[bytes], origin: Origin = Origin.SENTINEL
    ) -> Sequence[Cell]:
        """Look at names, revalidating, claiming every edge on the way.

        Raises:
            StorageHung, RootVanished, OSError: nothing could be seen.
        """
        await self._ground.prove()
        found = await self._ground.ask(Look(list(filter(inside, paths)), origin))
        return [claim for claim in found.claims if isinstance(claim, Cell)]

    async def identity(self) -> Root:
        """Which storage stands at the root's path just now.

        Raises:
            StorageHung: it does not say.
        """
        return await self._ground.identity()

    async def bear(self, kind: str) -> bool:
        """Make keys with this kind of birth from now on, the one that the view has.

        Raises:
            Refused: the root's file system has no births of this kind.
        """
        ground = self._ground
        await ground.prove()
        if ground.root is not None and ground.root.birth == kind:
            ground.birth = kind
            return False
        await ground.ask(Births(kind))
        ground.birth = kind
        ground.forget()
        return True

    def coverage(self) -> dict[str, Any]:
        """How much is watched and polled, how soon a change is found, what is left out."""
        return self._ground.coverage(watched=self._watched)


async def _taken(receive: MemoryObjectReceiveStream[Seen]) -> AsyncIterator[Claims]:
    async for seen in receive:
        if not isinstance(seen, list):
            raise seen
        yield seen
