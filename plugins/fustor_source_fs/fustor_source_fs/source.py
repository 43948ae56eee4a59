"""The driver: a directory tree of this host, scanned and watched."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from functools import partial
from typing import Any

import anyio
from anyio import to_thread
from pydantic import Field

from fustor_core.apart import Apart, apart
from fustor_core.claims import Cell, Origin, Root
from fustor_core.contracts import Scope, boottime_us
from fustor_core.files.exclusion import Exclusion, view_paths
from fustor_core.files.identity import Prober, refuse_birth
from fustor_core.files.inotify import watch_limit
from fustor_core.files.listing import Lister
from fustor_core.files.looking import inside, look
from fustor_core.files.options import TreeOptions
from fustor_core.files.rooted import RootProof
from fustor_source_fs.agenda import WatchClaim
from fustor_source_fs.book import Book
from fustor_source_fs.channel import Channel
from fustor_source_fs.ears import Watch, WatchError, ears
from fustor_source_fs.priority import NICE_MOST, Disk, Priority
from fustor_source_fs.scan import Scan
from fustor_source_fs.walk import WalkClaim
from fustor_source_fs.watch import OUT_CLAIMS_MAX, Watcher

LEFT_OUT_MAX = 1000
HUNG_MAX = 4  # scans that were left and hang in the kernel; more are not begun
HANGS_US = 1_000_000  # a look at the root that takes longer is waited for, not made twice


class FsConfig(TreeOptions):
    """Settings of the source `fs`."""

    watch: Watch = Field(
        default="auto",
        description="`fanotify`: one mark of the root's file system, for which the process needs "
        "CAP_SYS_ADMIN, no watch for each directory; `inotify`: a watch for each directory. "
        "Either fails where it cannot be had. `auto`: the first of them that can be had, else "
        "scans alone; `off`: scans alone.",
    )
    scan_nice: int = Field(
        default=0,
        ge=0,
        le=NICE_MOST,
        description="Steps by which a scan's thread is nicer than the process, as nice(1) counts "
        "them. Where the processors are busy everything in the process waits for a thread that "
        "stands behind: then `audit.rate` is the better way.",
    )
    scan_ionice: Disk | None = Field(
        default=None,
        description="Class of a scan's reads for the disk's scheduler: `best-effort`, at its "
        "lowest level, or `idle`, when nobody else wants the disk. null: as the process.",
    )


class FsSource:
    """A directory tree on Linux; has all optional powers of a source.

    Every path that it is asked for is walked name by name from the proven root, no symbolic link
    followed; one with ``..`` in it is none of its paths, and nothing is done.

    Attributes:
        scans_at_once: so many scans of any scopes may run beside the watcher and looks.
        tiers: of audits, beside the full one. in_order: they can be gone on with.
    """

    Config = FsConfig
    scans_at_once = 4
    in_order = True
    tiers = frozenset({"directories", "names"})

    def __init__(self, config: FsConfig) -> None:
        self._config = config
        root = os.fsencode(config.root)
        self._proof = RootProof(root)
        paths = view_paths(root, [os.fsencode(path) for path in config.exclude_paths])
        self._exclusion = Exclusion(config.exclude, paths)
        self._watcher: Watcher | None = None
        self._left_out: dict[bytes, str] = {}
        self._birth = ""  # as told; "" = as the root has it
        self._probe: tuple[RootProof, Apart[Root]] | None = None
        self._hung: list[Scan] = []
        self._book: Book | None = None  # of the last whole scan

    async def scan(self, scope: Scope) -> AsyncIterator[WalkClaim]:
        """As `chunks`, one by one."""
        async with aclosing(self.chunks(scope)) as chunks:
            async for chunk in chunks:
                for claim in chunk:
                    yield claim

    async def chunks(self, scope: Scope) -> AsyncGenerator[list[WalkClaim], None]:
        """Each directory of the scope once, parents first; names that vanished meanwhile as cells.

        Raises:
            RootVanished: the root is not proven, before or after: the scan was not whole.
            OSError: too many scans before it hang still, the storage does not answer.
        """
        self._hung = [scan for scan in self._hung if scan.alive]
        if len(self._hung) >= HUNG_MAX:
            raise OSError(errno.EIO, f"{len(self._hung)} scans hang, the storage does not answer")
        if not inside(scope.path):
            return
        if scope.path == b"/" and scope.recursive and not scope.after:
            self._left_out.clear()
        scan = Scan(
            scope,
            self._proof,
            self._lister,
            self._watcher,
            self._note_left_out,
            self._book,
            Priority(self._config.scan_nice, self._config.scan_ionice),
        )
        scan.start()
        try:
            while (chunk := await scan.chunks.get()) is not None:
                yield chunk
            if scope.path == b"/" and scope.recursive and scope.recall is not None:
                self._book = scan.book or (self._book if scope.after else None)
        finally:
            scan.stop()
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(scan.join)
            if scan.alive:
                self._hung.append(scan)

    def watch(self) -> AbstractAsyncContextManager[AsyncIterator[list[WatchClaim]]]:
        """See changes happen; the root is armed on entering, other directories as they are listed.

        Raises:
            WatchError: the way of watching that is configured cannot be had, or it is watched
                already.
        """
        return self._watching()

    @asynccontextmanager
    async def _watching(self) -> AsyncIterator[AsyncIterator[list[WatchClaim]]]:
        if self._watcher is not None:
            raise WatchError(f"{self._config.root!r} is watched by this source already")
        # What stands there now is proven anew: whether it is the right storage, fusion decides.
        self._proof = RootProof(self._proof.path, self._birth)
        out: Channel[list[WatchClaim]] = Channel(OUT_CLAIMS_MAX)
        heard = await apart(partial(ears, self._config.watch, self._proof.path))
        if heard is None:
            yield _taken(out)
            return
        lister = self._lister(boottime_us, lambda: out.closed)
        watcher = Watcher(heard, self._proof, lister, out, self._note_left_out)
        try:
            await apart(watcher.start)
            self._watcher = watcher
            yield _taken(out)
        finally:
            self._watcher = None
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(watcher.close)

    async def cover(self, paths: Sequence[bytes]) -> None:
        """Watch and list directories that another host made; their listings come out of `watch`."""
        if self._watcher is not None:
            for path in filter(inside, paths):
                self._watcher.cover(path)

    async def look(
        self, paths: Sequence[bytes], origin: Origin = Origin.SENTINEL
    ) -> Sequence[Cell]:
        """Look at names, claiming every edge on the way; the first mismatch ends a walk.

        Raises:
            RootVanished: the root is not proven.
        """
        lister = self._lister(boottime_us, lambda: False)
        below = list(filter(inside, paths))
        return await apart(partial(look, self._proof, lister, below, origin))

    async def identity(self) -> Root:
        """Which storage stands at the root's path just now.

        A look that hangs is waited for by all who ask meanwhile: there is one such thread.
        """
        proof, probe = self._probe or (None, None)
        hangs = probe is not None and not probe.over and boottime_us() - probe.since_us > HANGS_US
        if probe is None or proof is not self._proof or not hangs:
            proof = self._proof
            probe = Apart(partial(proof.claim, Prober()))
            self._probe = proof, probe
        return await probe.result()

    async def bear(self, kind: str) -> bool:
        """Make keys with this kind of birth from now on, the one that the view has.

        Raises:
            Refused: the root's file system has no births of this kind.
        """
        if kind == self._proof.birth:
            self._birth = kind
            return False
        await apart(partial(refuse_birth, self._proof.path, kind))
        self._birth, self._proof = kind, RootProof(self._proof.path, kind)
        return True

    def coverage(self) -> dict[str, Any]:
        """How well the tree is watched, and what is left out by choice."""
        watcher = self._watcher
        if watcher is not None:
            said = watcher.coverage()
        else:
            said = {"watched_dirs": 0, "watch_limit": watch_limit(), "uncovered": [b"/"]}
            off = self._config.watch == "off"
            said |= {"watched_by": "", "watched_why": "`watch: off` is set" if off else ""}
        return {**said, "excluded": sorted(self._left_out)}

    def _lister(self, now_us: Callable[[], int], stopped: Callable[[], bool]) -> Lister:
        return Lister(
            Prober(),
            self._exclusion,
            proof=self._proof,
            cross=self._config.cross_filesystems,
            now_us=now_us,
            stopped=stopped,
        )

    def _note_left_out(self, path: bytes, reason: str) -> None:
        if len(self._left_out) < LEFT_OUT_MAX:
            self._left_out[path] = reason

    def __repr__(self) -> str:
        return f"FsSource({self._config.root!r}, {self._watcher!r})"


async def _taken(out: Channel[list[WatchClaim]]) -> AsyncIterator[list[WatchClaim]]:
    while (claims := await out.get()) is not None:
        yield claims
