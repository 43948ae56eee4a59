"""What a scan cannot read whole: directories in motion, and those that are closed to it."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fustor_source_fs import FsConfig, FsSource

from fustor_core.claims import (
    Listing,
    split_names,
)
from fustor_core.contracts import Scope

ROW = 48


async def scan(root: Path, scope: Scope | None = None, **config: Any) -> list[Any]:
    source = FsSource(FsConfig(root=str(root), **config))
    return [claim async for claim in source.scan(scope or Scope())]


def rows(listing: Listing) -> dict[bytes, bytes]:
    names = split_names(listing.names)
    return {n: listing.rows[i * ROW : (i + 1) * ROW] for i, n in enumerate(names)}


def by_path(claims: list[Any]) -> dict[bytes, Listing]:
    return {claim.path: claim for claim in claims if isinstance(claim, Listing)}


async def test_a_directory_that_does_not_hold_still_is_told_incomplete(
    live: Any, root: Path
) -> None:
    fd = os.open(root, os.O_RDONLY)
    for i in range(3000):
        os.close(os.open(b"%d" % i, os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    async with live(root, scan=False) as it:
        with busy_writer(root):
            await it.until(lambda: it.cell(b"busy"))
            async with asyncio.timeout(20):
                complete = True
                while complete:  # the writer may be held up by others for that long
                    (listing,) = [c for c in await it.scan() if isinstance(c, Listing)]
                    complete = listing.complete
        assert (listing.complete, listing.reason, listing.silence) == (False, "not_yet", None)
        assert len(listing.rows) >= 3000 * ROW
        # the watcher lists it again by itself, once it can
        again = await it.until(lambda: [c for c in it.listings(b"/") if c.complete])
        assert len(again[-1].rows) in (3000 * ROW, 3001 * ROW)
        (root / "busy").unlink(missing_ok=True)
        await it.settled()
    os.close(fd)


@contextmanager
def busy_writer(folder: Path) -> Iterator[None]:
    """Another process that makes and removes one name, over and over."""
    code = "import os\nwhile True:\n os.close(os.open('busy', 64)); os.unlink('busy')"
    with subprocess.Popen([sys.executable, "-c", code], cwd=folder) as writer:
        try:
            yield
        finally:
            writer.kill()


def become_nobody() -> None:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)


def test_without_permission_a_directory_is_told_incomplete(shared: Path, in_child: Any) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs the right to become another user")
    (shared / "shut/below").mkdir(parents=True)
    (shared / "blind").mkdir()
    (shared / "blind" / "file").write_bytes(b"")
    (shared / "open").mkdir()
    os.chmod(shared / "shut", 0o700)
    os.chmod(shared / "blind", 0o744)

    async def work() -> str:
        source = FsSource(FsConfig(root=str(shared)))
        said: list[Any] = []
        async with source.watch():
            async for c in source.scan(Scope()):
                assert isinstance(c, Listing)
                said.append([c.path, c.complete, c.reason, c.errno, c.names, c.own is not None])
            said.append([source.coverage()["watched_dirs"], source.coverage()["uncovered"]])
        return repr(said)

    asyncio.run(work())  # here first: what is imported late may lie where that user cannot read
    assert in_child(become_nobody, lambda: asyncio.run(work())) == repr(
        [
            [b"/", True, "", 0, b"blind\0open\0shut", True],
            [b"/blind", False, "permission", errno.EACCES, b"", True],
            [b"/open", True, "", 0, b"", True],
            [b"/shut", False, "permission", errno.EACCES, b"", True],
            [3, []],
        ]
    )


def test_a_mode_that_lets_in_is_noticed(shared: Path, in_child: Any, live: Any) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs the right to become another user")
    (shared / "shut/below").mkdir(parents=True)
    os.chown(shared / "shut", 65534, 65534)
    os.chmod(shared / "shut", 0)

    async def work() -> str:
        async with live(shared, watch="auto") as it:
            os.chmod(shared / "shut", 0o755)
            await it.settled()
            return repr([c.path for c in it.claims if isinstance(c, Listing)])

    asyncio.run(scan(shared))  # as above
    said = in_child(become_nobody, lambda: asyncio.run(work()))
    assert said == repr([b"/shut", b"/shut/below"])


def test_a_root_without_permission_is_told_incomplete(shared: Path, in_child: Any) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs the right to become another user")
    os.chmod(shared, 0o700)
    asyncio.run(scan(shared))  # as above
    said = in_child(
        become_nobody,
        lambda: repr([(c.reason, c.dir.ino) for c in asyncio.run(scan(shared))]),
    )
    assert said == repr([("permission", shared.stat().st_ino)])
