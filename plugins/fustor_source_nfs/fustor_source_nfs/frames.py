"""What goes between the driver and the processes that look for it: length, then msgpack."""

from __future__ import annotations

import struct

import msgspec

from fustor_core.claims import Cell, Key, Listing, Origin, Root, Silence, Stamp

HEAD = struct.Struct("<I")


class Begin(msgspec.Struct, tag="begin", array_like=True, frozen=True, kw_only=True):
    """The first frame: what all that follow is about; see `NfsConfig`.

    Attributes:
        exclude: globs. exclude_paths: host paths. silly: whether silly renames are hidden.
        bound_us: of the caches, None = as the mount says.
        birth: kind of the births in keys, "" = as the root has it.
        proven: what the root was when it was first proven.
        ears: descriptor of an inotify instance of the driver's, which the process has too; or -1.
    """

    root: bytes
    exclude: list[str]
    exclude_paths: list[bytes]
    silly: bool
    cross: bool
    bound_us: int | None
    birth: str
    proven: Root | None
    ears: int = -1


class Read(msgspec.Struct, tag="read", array_like=True, frozen=True):
    """List the directory at a view path, watched before it is read where there are ears.

    Attributes:
        key: only if it is this one. fresh: past the caches of the mount, as far as that goes.
    """

    path: bytes
    origin: Origin
    key: Key | None = None
    fresh: bool = False


class Glance(msgspec.Struct, tag="glance", array_like=True, frozen=True):
    """Who is in the directory with this key, without a look at any file; it is watched, too.

    Attributes:
        key: only if it is this one; None = whichever stands there.
        folders: find the directories in it. every: all names.
    """

    path: bytes
    key: Key | None
    folders: bool = True
    every: bool = False


class Stats(msgspec.Struct, tag="stats", array_like=True, frozen=True):
    """Attributes of child directories of the directory with this key, without opening them."""

    path: bytes
    key: Key
    names: list[bytes]


class Touched(msgspec.Struct, array_like=True, frozen=True):
    """A name that the kernel spoke of; ``b""`` = the directory's own attributes.

    Attributes:
        since_us: nothing was heard of it before this raw instant. at: ordinal of the look.
        flags: WRITING or CLOSED.
        fresh: what this host did has brought its attributes up to date.
    """

    name: bytes
    since_us: int
    at: int
    flags: int = 0
    fresh: bool = True


class Touch(msgspec.Struct, tag="touch", array_like=True, frozen=True):
    """Look at names in the directory with this key, as they are after their events."""

    path: bytes
    key: Key
    names: list[Touched]


class Deaf(msgspec.Struct, tag="deaf", array_like=True, frozen=True):
    """Give watches back."""

    wds: list[int]


class Look(msgspec.Struct, tag="look", array_like=True, frozen=True):
    """Look at names, revalidating."""

    paths: list[bytes]
    origin: Origin


class Prove(msgspec.Struct, tag="prove", array_like=True, frozen=True):
    """Look at the root."""


class Births(msgspec.Struct, tag="births", array_like=True, frozen=True):
    """See that the root has births of a kind."""

    kind: str


Task = Read | Glance | Stats | Touch | Deaf | Look | Prove | Births


class Child(msgspec.Struct, array_like=True, frozen=True):
    """A child directory of one that was read; `left_out` is a reason or ""."""

    name: bytes
    key: Key
    left_out: str


class Glimpse(msgspec.Struct, array_like=True, frozen=True):
    """What the attributes of a child directory are."""

    name: bytes
    ino: int
    silence: Silence


class Found(msgspec.Struct, tag="found", array_like=True, frozen=True, kw_only=True):
    """The answer to a task.

    Attributes:
        kids: of the directory that was read. hidden: names of silly renames in it.
        bound_us: how old an answer of the caches may be.
        operations, took_us: what it has cost the storage, about.
        wd: of the watch on the directory. gone: another one or none stands there.
        code: errno of a look that failed, while others did not.
        key, stamp, silence, names, inos: of a glance; `names` as one blob, `inos` the sum of their
            inodes. glimpses: of its child directories.
    """

    claims: list[Cell | Listing | Root] = []
    kids: list[Child] = []
    hidden: list[bytes] = []
    bound_us: int = 0
    operations: int = 1
    took_us: int = 0
    wd: int = -1
    gone: bool = False
    code: int = 0
    key: Key | None = None
    stamp: Stamp | None = None
    silence: Silence | None = None
    names: bytes = b""
    inos: bytes = b""
    glimpses: list[Glimpse] = []


class Failed(msgspec.Struct, tag="failed", array_like=True, frozen=True):
    """The task could not be done.

    Attributes:
        kind: ``vanished``, ``refused`` or ``os``. reason: of a vanished root. code: an errno.
    """

    kind: str
    message: str
    remedy: str = ""
    reason: str = ""
    code: int = 0


class Alive(msgspec.Struct, tag="alive", array_like=True, frozen=True):
    """It goes on: the storage answers."""


Answer = Found | Failed | Alive

_encoder = msgspec.msgpack.Encoder()
ORDERS = msgspec.msgpack.Decoder(Begin | Task)
ANSWERS = msgspec.msgpack.Decoder(Found | Failed | Alive)


def frame(body: msgspec.Struct) -> bytes:
    """A frame, as it is sent."""
    data = _encoder.encode(body)
    return HEAD.pack(len(data)) + data
