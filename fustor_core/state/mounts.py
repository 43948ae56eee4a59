"""Which file system a path lies on, and whether it comes over a network."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

MOUNTINFO = Path("/proc/self/mountinfo")
# flock, fsync and inotify mean something else on these, or nothing.
NETWORK_TYPES = frozenset(
    """nfs nfs4 cifs smb2 smb3 smbfs ncpfs 9p ceph lustre gpfs glusterfs afs kafs auristorfs coda
    beegfs orangefs pvfs2 panfs acfs davfs vboxsf""".split()
)
NETWORK_FUSE = frozenset(
    """fuse.sshfs fuse.ceph fuse.ceph-fuse fuse.glusterfs fuse.s3fs fuse.rclone fuse.gcsfuse
    fuse.juicefs fuse.davfs fuse.davfs2 fuse.curlftpfs fuse.mfs fuse.moosefs fuse.seaweedfs
    fuse.nfs fuse.smbnetfs fuse.goofys fuse.blobfuse fuse.blobfuse2 fuse.mount-s3 fuse.cvmfs2
    fuse.cernvm-fs fuse.quobyte fuse.weed""".split()
)


class Mount(NamedTuple):
    """One line of mountinfo: `type` as ``nfs4`` or ``fuse.sshfs``, names unescaped."""

    point: str
    type: str
    source: str

    @property
    def network(self) -> bool:
        """Whether other machines can change it, or reach it by another road."""
        return self.type in NETWORK_TYPES or self.type in NETWORK_FUSE


def parse_mountinfo(text: str) -> dict[int, Mount]:
    """Mounts by mount id; lines that are no mountinfo are left out."""
    mounts = {}
    for line in text.splitlines():
        left, separator, right = line.partition(" - ")
        before, after = left.split(" "), right.split(" ")
        if separator and len(before) >= 6 and len(after) >= 2 and before[0].isdigit():
            mounts[int(before[0])] = Mount(_plain(before[4]), after[0], _plain(after[1]))
    return mounts


def _plain(field: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)


def mount_of(path: Path, mountinfo: Path = MOUNTINFO) -> Mount | None:
    """The mount that `path`, or its nearest ancestor that exists, lies on.

    Asked of the kernel by mount id: a mount hidden by a later one, or a bind mount, is told right.

    Args:
        path: absolute.
        mountinfo: where the table of mounts is.

    Returns:
        None where the kernel does not tell.

    Raises:
        OSError: the path cannot be looked at.
    """
    fd = _open_nearest(path)
    try:
        facts = Path(f"/proc/self/fdinfo/{fd}").read_text()
        text = mountinfo.read_text(errors="surrogateescape")
    except FileNotFoundError:
        return None
    finally:
        os.close(fd)
    number = re.search(r"^mnt_id:\s*(\d+)$", facts, re.MULTILINE)
    return parse_mountinfo(text).get(int(number[1])) if number else None


def _open_nearest(path: Path) -> int:
    place = path
    while True:
        try:
            return os.open(place, os.O_PATH | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            if place == place.parent:
                raise
            place = place.parent
