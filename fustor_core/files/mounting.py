"""What a mount says of itself: where it comes from, and for how long its answers may be old."""

from __future__ import annotations

from typing import NamedTuple

NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "ceph", "lustre", "gpfs", "9p", "afs", "beegfs"}
)
UNKNOWN_BOUND_US = 60_000_000
_FILES_US = _DIRECTORIES_US = 60_000_000  # acregmax and acdirmax of nfs(5) when nothing is said
_SECOND_US = 1_000_000


class Mounted(NamedTuple):
    """One mount: source, type, and the options of its file system."""

    source: str = ""
    kind: str = ""
    options: str = ""

    @property
    def remote(self) -> bool:
        """Others may change it without this kernel's knowledge."""
        return self.kind in NETWORK or self.kind.startswith("fuse")


class Caching(NamedTuple):
    """How old the answers of a mount may be.

    Attributes:
        bound_us: of anything that was not revalidated; 0: nothing is remembered.
        revalidates: opening a file or a directory asks the server again.
    """

    bound_us: int
    revalidates: bool = True


def mounted_at(fd: int) -> Mounted:
    """The mount that an open descriptor lies on; empty words when it cannot be found out."""
    try:
        with open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as file:
            lines = dict(line.split(":", 1) for line in file if ":" in line)
        wanted = lines["mnt_id"].strip()
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                if line.split(" ", 1)[0] == wanted:
                    kind, source, options = line.rpartition(" - ")[2].rstrip("\n").split(" ", 2)
                    return Mounted(source, kind, options)
    except (OSError, KeyError, ValueError):
        pass
    return Mounted()


def caching(mount: Mounted) -> Caching:
    """What the options of a mount mean for the age of its answers (nfs(5)).

    The kernel shows only options that differ from their defaults. `lookupcache` can only make
    names younger than attributes, so it changes no bound.
    """
    if not mount.remote:
        return Caching(0)
    if not mount.kind.startswith("nfs"):
        return Caching(UNKNOWN_BOUND_US)
    words = mount.options.split(",")
    said = dict(word.split("=", 1) for word in words if "=" in word)
    revalidates = "nocto" not in words
    if "noac" in words:
        return Caching(0, revalidates)
    files, folders = _FILES_US, _DIRECTORIES_US
    if "actimeo" in said:
        files = folders = _seconds_us(said["actimeo"])
    files = _seconds_us(said["acregmax"]) if "acregmax" in said else files
    folders = _seconds_us(said["acdirmax"]) if "acdirmax" in said else folders
    # A least age above the greatest is what counts.
    least = [_seconds_us(said[word]) for word in ("acregmin", "acdirmin") if word in said]
    return Caching(max(files, folders, *least), revalidates)


def _seconds_us(text: str) -> int:
    try:
        return max(0, int(text)) * _SECOND_US
    except ValueError:
        return UNKNOWN_BOUND_US
