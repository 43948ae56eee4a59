"""What mount options mean for the age of answers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fustor_core.files.mounting import Caching, Mounted, caching, mounted_at


@pytest.mark.parametrize(
    ("kind", "options", "bound_s", "revalidates"),
    [
        ("ext4", "rw,discard", 0, True),
        ("tmpfs", "", 0, True),
        ("nfs4", "rw,vers=4.2,rsize=1048576,hard,addr=10.0.0.1", 60, True),
        ("nfs", "rw,acregmin=1,acregmax=3,acdirmin=1,acdirmax=5,hard", 5, True),
        ("nfs", "rw,acregmax=3,hard", 60, True),
        ("nfs", "rw,acdirmax=600", 600, True),
        ("nfs4", "rw,actimeo=7", 7, True),
        ("nfs4", "rw,sync,noac,acregmax=0", 0, True),
        ("nfs4", "rw,lookupcache=none", 60, True),
        ("nfs4", "rw,acregmax=3,acdirmax=3,acregmin=9", 9, True),
        ("nfs4", "rw,nocto,acregmax=3,acdirmax=3", 3, False),
        ("nfs4", "rw,acregmax=many,acdirmax=3", 60, True),
        ("fuse.sshfs", "rw,user_id=0", 60, True),
        ("cifs", "rw,actimeo=1", 60, True),
    ],
)
def test_options(kind: str, options: str, bound_s: int, revalidates: bool) -> None:
    found = caching(Mounted("server:/export", kind, options))
    assert found == Caching(bound_s * 1_000_000, revalidates)


def test_the_mount_of_a_directory_is_found(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        found = mounted_at(fd)
    finally:
        os.close(fd)
    assert found.kind
    assert mounted_at(fd) == Mounted()
