"""Scanning real directories: what is listed, what is left out, what cannot be read."""

from __future__ import annotations

import os
import resource
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fustor_source_fs import FsConfig, FsSource
from fustor_source_fs.links import Links
from fustor_source_fs.walk import FDS_MAX, Order, Walk

from fustor_core.claims import (
    Cell,
    Listing,
    Origin,
    edge_key,
    split_names,
    unpack_row,
)
from fustor_core.contracts import Scope, boottime_us
from fustor_core.files.compiled import Compiled
from fustor_core.files.exclusion import Exclusion
from fustor_core.files.identity import Prober
from fustor_core.files.listing import Lister, row_of
from fustor_core.files.rooted import RootProof
from fustor_core.files.stats import Stats
from fustor_core.soundness import fault

ROW = 48


async def scan(root: Path, scope: Scope | None = None, **config: Any) -> list[Any]:
    source = FsSource(FsConfig(root=str(root), **config))
    return [claim async for claim in source.scan(scope or Scope())]


def rows(listing: Listing) -> dict[bytes, bytes]:
    names = split_names(listing.names)
    return {n: listing.rows[i * ROW : (i + 1) * ROW] for i, n in enumerate(names)}


def by_path(claims: list[Any]) -> dict[bytes, Listing]:
    return {claim.path: claim for claim in claims if isinstance(claim, Listing)}


async def test_every_field_of_every_kind_of_entry(
    root: Path, naive: Any, tree_of: Callable[[Path], Any]
) -> None:
    (root / "file").write_bytes(b"12345")
    os.utime(root / "file", ns=(1, -5_000_000_001))
    (root / "dir").mkdir(mode=0o751)
    (root / "link").symlink_to("dir")
    (root / "dangling").symlink_to("nowhere")
    os.mkfifo(root / "fifo")
    os.link(root / "file", root / "dir" / "hard")
    with socket.socket(socket.AF_UNIX) as sock:
        here = os.open(root, os.O_RDONLY)
        sock.bind(f"/proc/self/fd/{here}/socket")
        os.close(here)
    if os.geteuid() == 0:
        os.mknod(root / "device", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    fold = naive()
    claims = await scan(root)
    for claim in claims:
        fold.add(claim)
    assert fold.tree(claims[0].dir) == tree_of(root)
    assert [fault(claim) for claim in claims] == ["", ""]
    assert unpack_row(rows(claims[0])[b"link"]).mode & 0o170000 == stat.S_IFLNK


async def test_names_are_bytes(root: Path) -> None:
    names = [
        b"\xff\xfe",
        b"new\nline",
        b"x" * 255,
        b" ",
        "\u00e9".encode(),
        b"a\xffb",
        b"\xee\x80\x80",
    ]
    for name in names:
        fd = os.open(os.fsencode(root) + b"/" + name, os.O_CREAT | os.O_WRONLY)
        os.close(fd)
    (listing,) = await scan(root)
    assert split_names(listing.names) == sorted(names)


async def test_an_edge_holds_the_key_and_the_mode_and_nothing_else(root: Path) -> None:
    (root / "d").mkdir(mode=0o700)
    top, below = await scan(root)
    edge = rows(top)[b"d"]
    assert edge_key(edge) == below.dir
    row = unpack_row(edge)
    assert (row.mtime_ns, row.uid, row.gid, row.nlink) == (0, 0, 0, 0)
    assert row.mode == stat.S_IFDIR | 0o700
    assert below.via == (top.dir, b"d")
    assert below.own == row_of(os.stat(root / "d"))


async def test_the_stamp_is_of_the_look(root: Path) -> None:
    before = boottime_us()
    (listing,) = await scan(root)
    stamp = listing.stamp
    assert before <= stamp.f == stamp.at < stamp.t <= boottime_us()
    assert stamp.kind == "l"


async def test_a_listing_made_right_after_a_change_has_no_silence_key(root: Path) -> None:
    for n in range(200):  # on a busy machine the look may begin too late to be racy
        (root / f"now{n}").write_bytes(b"")
        (racy,) = await scan(root)
        if racy.silence is None:
            break
    else:
        pytest.fail("no listing was racy")
    ctime = root.stat().st_ctime_ns
    while True:  # the clock of the file system moves on by itself
        (calm,) = await scan(root)
        if calm.silence is not None:
            break
    st = root.stat()
    assert calm.silence == (ctime, st.st_mtime_ns, st.st_ino, st.st_nlink)


async def test_parents_come_before_their_children(root: Path) -> None:
    for path in ("a/b/c", "a/d", "e"):
        (root / path).mkdir(parents=True)
    paths = [claim.path for claim in await scan(root)]
    assert paths[0] == b"/"
    assert sorted(paths) == [b"/", b"/a", b"/a/b", b"/a/b/c", b"/a/d", b"/e"]
    assert all(p.rpartition(b"/")[0] in [b"", *paths[:i]] for i, p in enumerate(paths))


async def test_symbolic_links_are_never_followed(root: Path) -> None:
    outside = root.parent / "outside"
    outside.mkdir()
    (outside / "secret").mkdir()
    (root / "out").symlink_to(outside)
    (root / "loop").symlink_to(".")
    assert [claim.path for claim in await scan(root)] == [b"/"]
    (cell,) = await scan(root, Scope(path=b"/out/secret"))
    assert isinstance(cell, Cell)
    assert (cell.name, stat.S_ISLNK(unpack_row(cell.value or b"").mode)) == (b"out", True)


async def test_a_scope_below_the_root(root: Path) -> None:
    (root / "a/b/c").mkdir(parents=True)
    (root / "x").mkdir()
    claims = await scan(root, Scope(path=b"/a/b", origin=Origin.ON_DEMAND))
    assert [(c.path, c.origin) for c in claims] == [
        (b"/a/b", Origin.ON_DEMAND),
        (b"/a/b/c", Origin.ON_DEMAND),
    ]
    top = by_path(await scan(root))
    assert claims[0].dir == top[b"/a/b"].dir
    assert claims[0].via == (top[b"/a"].dir, b"b")


async def test_a_scope_that_is_not_recursive(root: Path) -> None:
    (root / "a/b").mkdir(parents=True)
    (listing,) = await scan(root, Scope(path=b"/a", recursive=False))
    assert (listing.path, listing.names) == (b"/a", b"b")


@pytest.mark.parametrize("path", [b"/gone", b"/gone/below", b"/file", b"/file/below"])
async def test_a_scope_that_is_no_directory_is_told_by_its_edge(root: Path, path: bytes) -> None:
    (root / "file").write_bytes(b"x")
    (cell,) = await scan(root, Scope(path=path))
    assert (cell.dir.ino, cell.name) == (root.stat().st_ino, path.split(b"/")[1])
    assert cell.stamp.kind == "s"
    expected = row_of(os.lstat(root / "file")) if b"file" in path else None
    assert cell.value == expected


async def test_what_is_left_out_by_name(root: Path) -> None:
    (root / "keep/cache/below").mkdir(parents=True)
    (root / "cache").mkdir()
    (root / "x.tmp").write_bytes(b"")
    (root / "keep" / "y.tmp").write_bytes(b"")
    listings = by_path(await scan(root, exclude=["cache", "*.tmp"]))
    assert sorted(listings) == [b"/", b"/cache", b"/keep", b"/keep/cache"]
    assert split_names(listings[b"/"].names) == [b"cache", b"keep"]
    assert split_names(listings[b"/keep"].names) == [b"cache"]
    for path in (b"/cache", b"/keep/cache"):
        one = listings[path]
        assert (one.complete, one.reason, one.rows, one.names) == (False, "excluded", b"", b"")
        assert edge_key(rows(listings[path.rpartition(b"/")[0] or b"/"])[b"cache"]) == one.dir


async def test_what_is_left_out_by_path(root: Path) -> None:
    for path in ("a/logs/old", "b/logs", "logs"):
        (root / path).mkdir(parents=True)
    state = root / "b" / "state"
    state.mkdir()
    claims = await scan(root, exclude=["a/logs"], exclude_paths=[str(state), "/elsewhere"])
    assert [c.path for c in claims if not c.complete] == [b"/a/logs", b"/b/state"]
    assert b"/a/logs/old" not in by_path(claims)
    (left_out,) = await scan(root, Scope(path=b"/a/logs/old"), exclude=["a/logs"])
    assert (left_out.path, left_out.reason) == (b"/a/logs", "excluded")


async def test_other_file_systems_are_left_out_unless_asked_for(root: Path) -> None:
    mount = root / "mnt"
    mount.mkdir()
    with mounted("-t", "tmpfs", "none", mount):
        (mount / "inner").mkdir()
        shut = by_path(await scan(root))
        assert sorted(shut) == [b"/", b"/mnt"]
        assert (shut[b"/mnt"].complete, shut[b"/mnt"].reason) == (False, "other_device")
        crossed = by_path(await scan(root, cross_filesystems=True))
        assert sorted(crossed) == [b"/", b"/mnt", b"/mnt/inner"]
        keys = [crossed[path].dir for path in (b"/", b"/mnt", b"/mnt/inner")]
        assert keys[0].dev == 0
        assert keys[1].dev == keys[2].dev > 0
        assert shut[b"/mnt"].dir == keys[1]
        assert edge_key(rows(crossed[b"/"])[b"mnt"]) == keys[1]


async def test_a_bind_mount_of_the_same_file_system_is_another_device(root: Path) -> None:
    (root / "real").mkdir()
    (root / "bound").mkdir()
    with mounted("--bind", root / "real", root / "bound"):
        listings = by_path(await scan(root))
        assert listings[b"/bound"].reason == "other_device"
        assert listings[b"/bound"].dir != listings[b"/real"].dir


async def test_one_inode_under_two_mounts_is_watched_once(live: Any, root: Path) -> None:
    (root / "a_real/below").mkdir(parents=True)
    (root / "bound").mkdir()
    with mounted("--bind", root / "a_real", root / "bound"):
        async with live(root, cross_filesystems=True) as it:
            said = it.source.coverage()
            assert said["watched_dirs"] == 3
            assert said["uncovered"] == [b"/bound"]
            (root / "bound/below/file").write_bytes(b"x")
            cell = await it.until(lambda: it.cell(b"file"))
            assert cell.path == b"/a_real/below"


def dig(root: Path, depth: int, name: bytes) -> None:
    """A chain of directories, each with another one beside the next."""
    fd = os.open(root, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=fd)
        os.mkdir(b"side", dir_fd=fd)  # visited on the way back, when the chain was closed
        below = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    """No more descriptors than a walk needs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 100, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("few_descriptors")
async def test_a_deep_chain_with_paths_longer_than_the_system_takes(root: Path) -> None:
    depth = 500
    dig(root, depth, b"n" * 60)
    before = len(os.listdir("/proc/self/fd"))
    assert depth > 2 * FDS_MAX
    listings = by_path(await scan(root))
    assert len(listings) == 1 + 2 * depth
    assert all(listing.complete for listing in listings.values())
    deepest = max(listings, key=len)
    assert len(deepest) > os.pathconf(root, "PC_PATH_MAX")
    assert len(os.listdir("/proc/self/fd")) == before
    below = await scan(root, Scope(path=deepest))
    assert [c.dir for c in below] == [listings[deepest].dir]


def test_a_chain_that_was_moved_away_meanwhile_is_not_walked_on(root: Path) -> None:
    depth = 2 * FDS_MAX
    dig(root, depth, b"n")
    proof, prober = RootProof(os.fsencode(root)), Prober()
    top = proof.open(prober)
    lister = Lister(
        prober, Exclusion(), proof=proof, cross=False, now_us=boottime_us, stopped=lambda: False
    )
    claims = Walk(lister, None, Links(), Order(Origin.SNAPSHOT)).root(top)
    deepest = b"/n" * depth
    assert any(claim.path == deepest for claim in claims)
    (root / "n/n").rename(root / "n/away")
    (root / "n/n/n/side").mkdir(parents=True)  # another one in its place
    told = {claim.path: claim for claim in claims if isinstance(claim, Listing)}
    os.close(top.fd)
    unread = [path for path, one in told.items() if not one.complete]
    assert told[b"/n/side"].complete
    assert b"/n/n/n/side" in unread
    assert {told[path].reason for path in unread} == {"not_yet"}
    assert told[deepest[:-2] + b"/side"].complete, "the last few are open still"


async def test_each_name_is_looked_at_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[bytes] = []
    rows = Stats.rows

    def recorded(self: Stats, fd: int, names: Sequence[bytes]) -> bytes | None:
        looked.extend(names)
        return rows(self, fd, names)

    for name in ("plain", "mixed/below", "left/out"):
        (root / name).mkdir(parents=True)
    for name in ("plain/f", "mixed/f", "left/f", "left/g.tmp"):
        (root / name).touch()
    monkeypatch.setattr(Stats, "rows", recorded)
    monkeypatch.setattr("fustor_core.files.listing.compiled", Compiled)  # none of its looks go here
    listings = await scan(root, exclude=["*.tmp"])
    assert [claim.complete for claim in listings] == [True] * 6
    names = [b"plain", b"mixed", b"left", b"below", b"out", b"f", b"f", b"f", b"g.tmp"]
    assert sorted(looked) == sorted(names)
    looked.clear()
    await scan(root)
    assert sorted(looked) == sorted(names)


async def test_a_large_directory_is_one_listing(root: Path) -> None:
    fd = os.open(root, os.O_RDONLY)
    count = 20_000
    for i in range(count):
        os.close(os.open(b"%d" % i, os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)
    (listing,) = await scan(root)
    assert len(listing.rows) == count * ROW
    assert listing.names.split(b"\0") == sorted(b"%d" % i for i in range(count))


@contextmanager
def mounted(*arguments: str | Path) -> Iterator[None]:
    """Something mounted at the last of the arguments of `mount`."""
    try:
        subprocess.run(["mount", *arguments], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as err:
        pytest.skip(f"nothing can be mounted here: {err}")
    try:
        yield
    finally:
        subprocess.run(["umount", arguments[-1]], check=True)
