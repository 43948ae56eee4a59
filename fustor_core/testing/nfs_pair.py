"""Two clients of one pretended NFS server, made of FUSE mounts.

    with nfs_pair(tmp_path, cache_s=3.0) as pair:
        (pair.two.at / "new").write_text("written blindly")
        # pair.one.at shows it when what it remembers is 3 s old; inotify there never tells

Both show the directory `pair.server`, with its inode numbers. What one writes, the other sees when
its caches of attributes, names, absent names and listings have expired; opening a file or directory
revalidates it. Files that are removed while open are renamed to `.nfs…`; handles of files that were
removed from elsewhere are stale.
"""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fustor_core.testing.fuse import DEVICE, unmount

END_S = 5.0


class NoPair(Exception):
    """There can be no such mounts here; the text says why, for a test that is skipped."""


class NfsClient:
    """One mount point.

    Args:
        server: the tree that it shows. at: where. cache_s: how long it remembers, in seconds.
        wait: until it is mounted; else `wait` has to be called.

    Raises:
        NoPair: it cannot be mounted.

    Attributes:
        process: serves the mount; kill it for a mount that answers nothing but ENOTCONN.
    """

    def __init__(self, server: Path, at: Path, cache_s: float, *, wait: bool = True) -> None:
        self.at = at
        self.cache_s = cache_s
        at.mkdir(parents=True, exist_ok=True)
        self._begin(server)
        if wait:
            self.wait()

    def __repr__(self) -> str:
        return f"<NfsClient {self.at} cache_s={self.cache_s}>"

    def mount(self, server: Path) -> None:
        """Show this tree; after `vanish`.

        Raises:
            NoPair: it cannot be mounted.
        """
        self._begin(server)
        self.wait()

    def wait(self) -> None:
        """Return when it is mounted.

        Raises:
            NoPair: it cannot be.
        """
        why = self._answer()
        if why:
            self.close()
            raise NoPair(why)

    def _begin(self, server: Path) -> None:
        if not os.path.exists(DEVICE):
            raise NoPair(f"{DEVICE} is missing")
        words = [sys.executable, "-m", "fustor_core.testing.nfs_client"]
        self.process = subprocess.Popen(
            [*words, str(server), str(self.at), str(self.cache_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # who interrupts the tests leaves it to unmount
        )

    def fails(self, *paths: str, error: int = errno.EIO) -> None:
        """An errno for these view paths and all below, until something else is said."""
        self._say(fails=paths, error=error)

    def breaks(self, *paths: str) -> None:
        """EIO half way through listings of these directories, until something else is said."""
        self._say(breaks=paths)

    def hangs(self, *paths: str, killable: bool = True) -> None:
        """No answers about these view paths and all below, until something else is said.

        Args:
            killable: who waits can be killed; else nothing ends it, as with old kernels.
        """
        self._say(hangs=paths, killable=killable)

    def works(self) -> None:
        """No faults any more; what hung is answered."""
        self._say()

    def remembers(self, cache_s: float) -> None:
        """Remember for so many seconds from now on."""
        self.cache_s = cache_s
        self._say(cache_s=cache_s)

    def ahead(self, seconds: float) -> None:
        """The server's clock is so far ahead of this host's from now on, all its times with it."""
        self._say(ahead_s=seconds)

    def vanish(self) -> None:
        """Not mounted any more: an empty directory stands there."""
        unmount(self.at)
        self.close()

    def close(self) -> None:
        """Unmount, and end the process; what still hangs there is told ENOTCONN."""
        unmount(self.at)
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()
        try:
            self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(END_S)

    def _say(self, **order: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        self._answer()

    def _answer(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return str(json.loads(line)) if line else "the mount's process has ended"


class NfsPair:
    """A server's tree, and two clients of it that know nothing of each other.

    Args:
        folder: of its own. cache_s: how long both remember, in seconds.

    Raises:
        NoPair: there can be no such mounts here.
    """

    def __init__(self, folder: Path, cache_s: float = 3.0) -> None:
        self.server = folder / "server"
        self.server.mkdir(exist_ok=True)
        self.one = NfsClient(self.server, folder / "one", cache_s, wait=False)
        self.two = NfsClient(self.server, folder / "two", cache_s, wait=False)
        try:
            self.one.wait()
            self.two.wait()
        except NoPair:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"<NfsPair of {self.server}>"

    def close(self) -> None:
        """Unmount both."""
        self.one.close()
        self.two.close()


@contextmanager
def nfs_pair(folder: Path, cache_s: float = 3.0) -> Iterator[NfsPair]:
    """A pair that is ended with the block.

    Raises:
        NoPair: there can be no such mounts here.
    """
    pair = NfsPair(folder, cache_s)
    try:
        yield pair
    finally:
        pair.close()
