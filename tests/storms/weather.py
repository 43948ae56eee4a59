"""Seeded storms of file operations on a real tree: what people and programs do, mixed and fast.

The same seed makes the same operations as long as the tree is the storm's alone.
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import shutil
import socket
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

ODD_NAMES = (
    b"\xff\xfe raw",
    b"new\nline",
    b"tab\there",
    b"n" * 255,
    b"\xc3\xa9\xc3\xa8",
    b"e\xcc\x81",
    b" lead",
    b"-rf",
    b"*",
    b"back\\slash",
    b"'quote\"",
    b".hidden",
    b"\xf0\x9f\x8c\xaa",
    b"CASE",
    b"case",
)
DIRECTORIES_MOST = 400
DEPTH_MOST = 12


class Storm:
    """Operations below `root`; `outside` is a place on the same file system that nobody watches.

    Args:
        seed: decides everything.
    """

    def __init__(self, root: Path, outside: Path, seed: int) -> None:
        self.root = os.fsencode(root)
        self.outside = os.fsencode(outside)
        self.draw = random.Random(seed)
        self.done = 0
        self._number = 0
        self._directories: list[bytes] = [self.root]
        self._files: list[bytes] = []
        self._parked: list[bytes] = []
        self._handles: list[int] = []
        self._linked: dict[int, bytes] = {}  # inodes of young hard links, and their new names
        self._deeds: list[Callable[[], None]] = []
        for weight, deed in (
            (18, self.create),
            (14, self.append),
            (6, self.truncate),
            (10, self.rename_file),
            (5, self.rename_directory),
            (4, self.move_out),
            (4, self.move_in),
            (12, self.delete),
            (2, self.delete_tree),
            (4, self.turn_into_another_type),
            (5, self.hard_link),
            (5, self.symbolic_link),
            (6, self.make_chain),
            (4, self.copy_preserving),
            (1, self.unpack_archive),
            (6, self.save_by_rename),
            (3, self.rotate_logs),
            (4, self.change_mode),
            (4, self.set_times),
            (2, self.special_file),
            (3, self.keep_open),
            (1, self.touch_directory),
        ):
            self._deeds += [deed] * weight

    def run(self, operations: int) -> None:
        """Do so many operations; what the tree refuses (full names, vanished files) counts too."""
        end = self.done + operations
        while self.done < end:
            with contextlib.suppress(OSError):
                self.draw.choice(self._deeds)()
            self.done += 1
            if self.done % 500 == 0:
                self._look_around()

    def calm(self) -> None:
        """Close what is still open for writing: the storm is over."""
        for handle in self._handles:
            with contextlib.suppress(OSError):  # of a mount that is gone
                os.close(handle)
        self._handles.clear()

    def seen(self, looked_at: Callable[[bytes, int], bool]) -> None:
        """Hard links that somebody has looked at are not young any more.

        Args:
            looked_at: whether an inode was seen at a path below the root, which begins with a
                slash. A directory that is owed a listing may be looked at much later than others.
        """
        start = len(self.root)
        self._linked = {
            inode: path
            for inode, path in self._linked.items()
            if not looked_at(path[start:], inode)
        }

    # ---- choosing

    def _look_around(self) -> None:
        """Learn the tree anew: renames and removals made parts of the lists wrong."""
        directories, files = [self.root], []
        for top, below, names in os.walk(self.root):
            directories += [os.path.join(top, d) for d in below]
            files += [os.path.join(top, n) for n in names]
        self._directories, self._files = directories, files

    def _directory(self) -> bytes:
        return self.draw.choice(self._directories)

    def _file(self) -> bytes:
        if not self._files:
            self.create()
        return self.draw.choice(self._files)

    def _doomed(self, path: bytes) -> bytes:
        """A path that is about to lose a name, unless that is a young hard link.

        inotify does not say which inode a new name belongs to. A link that is gone again before
        anybody could look leaves no trace but the ctime of the other names, which only an audit
        finds (docs/concepts.md); all other fates of links are fair.
        """
        young = self._linked
        walk = os.walk(path) if os.path.isdir(path) and not os.path.islink(path) else ()
        below = (os.path.join(top, name) for top, _, names in walk for name in names)
        if any(os.lstat(one).st_ino in young for one in (path, *below)):
            raise FileExistsError("a young hard link")
        return path

    def _free(self, path: bytes) -> bytes:
        """A path to rename or link to."""
        return self._doomed(path) if os.path.lexists(path) else path

    def _fresh(self) -> bytes:
        """A path that does not exist, or sometimes one that does."""
        self._number += 1
        if self.draw.random() < 0.08:
            name = self.draw.choice(ODD_NAMES)
        elif self.draw.random() < 0.3:
            name = b"f%d" % self.draw.randrange(40)  # names come back: re-creation
        else:
            name = b"file-%06d.dat" % self._number
        return os.path.join(self._directory(), name)

    def _new_directory(self, path: bytes) -> None:
        os.mkdir(path)
        self._directories.append(path)

    # ---- deeds

    def create(self) -> None:
        path = self._fresh()
        with open(path, "wb", opener=_never_waiting) as out:
            out.write(self.draw.randbytes(self.draw.choice((0, 1, 100, 5000))))
        self._files.append(path)

    def append(self) -> None:
        path = self._file()
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return
        with open(path, "ab", opener=_never_waiting) as out:
            out.write(b"x" * self.draw.randrange(1, 2000))

    def truncate(self) -> None:
        path = self._file()
        if stat.S_ISREG(os.lstat(path).st_mode):
            os.truncate(path, self.draw.randrange(0, 300))

    def rename_file(self) -> None:
        old, new = self._doomed(self._file()), self._free(self._fresh())
        os.rename(old, new)
        self._files.append(new)

    def rename_directory(self) -> None:
        old = self._directory()
        if old == self.root:
            return
        if os.path.islink(old):  # it leads to one; it can have hard links, and replace a file
            self._doomed(old)
        new = self._free(self._fresh())
        os.rename(old, new)
        self._directories.append(new)

    def move_out(self) -> None:
        what = self._directory() if self.draw.random() < 0.4 else self._file()
        if what == self.root:
            return
        self._number += 1
        there = os.path.join(self.outside, b"parked-%06d" % self._number)
        os.rename(self._doomed(what), there)
        self._parked.append(there)

    def move_in(self) -> None:
        if not self._parked:
            return
        there = self._parked.pop(self.draw.randrange(len(self._parked)))
        new = self._fresh()
        if os.path.isdir(there) and self.draw.random() < 0.5:
            with contextlib.suppress(OSError):  # it changed while nobody watched
                Path(os.fsdecode(there), "while-away").write_bytes(b"away")
        os.rename(there, self._free(new))
        (self._directories if os.path.isdir(new) else self._files).append(new)

    def delete(self) -> None:
        os.unlink(self._doomed(self._file()))

    def delete_tree(self) -> None:
        path = self._directory()
        if path != self.root:
            shutil.rmtree(self._doomed(path), ignore_errors=True)

    def turn_into_another_type(self) -> None:
        path = self._doomed(self._file())
        os.unlink(path)
        if self.draw.random() < 0.5:
            self._new_directory(path)
            Path(os.fsdecode(path), "inside").write_bytes(b"1")
        else:
            os.symlink(b"nowhere", path)

    def hard_link(self) -> None:
        new = self._fresh()
        os.link(self._file(), new, follow_symlinks=False)
        self._linked[os.lstat(new).st_ino] = new
        self._files.append(new)

    def symbolic_link(self) -> None:
        """Never one that leads out: deeds through it would happen where nobody watches."""
        new = self._fresh()
        os.symlink(self.draw.choice((self.root, b".", b"dangling", b"x" * 300)), new)
        self._files.append(new)

    def make_chain(self) -> None:
        """``mkdir -p`` with a file at once, faster than anyone can watch."""
        at = self._directory()
        if len(self._directories) > DIRECTORIES_MOST or at.count(b"/") > DEPTH_MOST + 8:
            self.delete_tree()
            return
        for _ in range(self.draw.randrange(1, 5)):
            self._number += 1
            at = os.path.join(at, b"d%05d" % self._number)
            self._new_directory(at)
        path = os.path.join(at, b"at-once")
        with open(path, "wb", opener=_never_waiting) as out:
            out.write(b"here")
        self._files.append(path)

    def copy_preserving(self) -> None:
        """``cp -p``: an old mtime on a new name."""
        source = self._file()
        if stat.S_ISREG(os.lstat(source).st_mode):
            new = self._fresh()
            if os.path.lexists(new):
                return  # it could be a fifo
            shutil.copy2(source, new)
            self._files.append(new)

    def unpack_archive(self) -> None:
        """``tar -x``: many old files in one go."""
        packed = io.BytesIO()
        self._number += 1
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for i in range(self.draw.randrange(5, 40)):
                info = tarfile.TarInfo(f"tar-{self._number}/sub-{i % 3}/member-{i}")
                info.size, info.mtime = 7, 1_000_000_000 + i
                archive.addfile(info, io.BytesIO(b"archive"))
        packed.seek(0)
        with tarfile.open(fileobj=packed) as archive:
            archive.extractall(os.fsdecode(self._directory()), filter="tar")

    def save_by_rename(self) -> None:
        """How editors save: a temporary file takes the place of the old one."""
        target = self._doomed(self._file())
        if not stat.S_ISREG(os.lstat(target).st_mode):
            return
        temporary = target[:200] + b"~tmp"
        with open(temporary, "wb", opener=_never_waiting) as out:
            out.write(b"saved" * self.draw.randrange(1, 100))
        os.rename(temporary, target)

    def rotate_logs(self) -> None:
        folder = self._directory()
        log = os.path.join(folder, b"app.log")
        for number in (2, 1):
            with contextlib.suppress(FileNotFoundError):
                os.rename(
                    self._doomed(log + b".%d" % number), self._free(log + b".%d" % (number + 1))
                )
        with contextlib.suppress(FileNotFoundError):
            os.rename(self._doomed(log), self._free(log + b".1"))
        with open(log, "wb", opener=_never_waiting) as out:
            out.write(b"begin\n")

    def change_mode(self) -> None:
        path = self._file() if self.draw.random() < 0.7 else self._directory()
        if not stat.S_ISLNK(os.lstat(path).st_mode) and path != self.root:
            os.chmod(path, self.draw.choice((0o600, 0o644, 0o755, 0o700)))

    def set_times(self) -> None:
        path = self._file()
        when = self.draw.choice((0, 1, 86_400, 1_500_000_000, 4_000_000_000))
        os.utime(path, (when, when), follow_symlinks=False)

    def special_file(self) -> None:
        path = self._fresh()
        if self.draw.random() < 0.7:
            os.mkfifo(path)
        else:
            with socket.socket(socket.AF_UNIX) as bound, contextlib.suppress(OSError):
                bound.bind(path)
        self._files.append(path)

    def keep_open(self) -> None:
        """A writer that takes its time."""
        if len(self._handles) > 8:
            os.close(self._handles.pop(0))
        path = self._file()
        if stat.S_ISREG(os.lstat(path).st_mode):
            handle = _never_waiting(os.fsdecode(path), os.O_WRONLY | os.O_APPEND)
            self._handles.append(handle)
            os.write(handle, b"slow")

    def touch_directory(self) -> None:
        os.utime(self._directory(), (1_400_000_000, 1_400_000_000))


def _never_waiting(path: str, flags: int) -> int:
    """Open a path; a fifo that nobody reads refuses instead of waiting."""
    return os.open(path, flags | os.O_NONBLOCK, 0o644)
