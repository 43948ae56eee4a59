"""One client of a pretended NFS server, as a process of its own: `python -m`, see nfs_pair.py.

The server's tree is a directory of this host. What the client has asked it remembers for a while,
as the kernel's NFS client does: attributes by file handle; names, absent ones included, and
listings by directory, for as long as the directory's remembered attributes show no change. Opening
revalidates. A handle whose file is gone is stale.

It is told what to do by JSON lines on its standard input, and answers each with a line.
"""

from __future__ import annotations

import errno
import json
import os
import resource
import select
import stat
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fustor_core.testing.fuse import (
    Mount,
    Op,
    Request,
    attr_reply,
    dirents,
    entry_reply,
    forgets,
    unmount,
)
from fustor_core.testing.nfs_memory import Memory, Node, below, proc

_DIRECT_IO = 1
_OPEN = struct.Struct("<QIi")
_SETATTR = struct.Struct("<IIQQQqqqIIIIIIII")
_MODE, _UID, _GID, _SIZE, _ATIME, _MTIME, _ATIME_NOW, _MTIME_NOW = 1, 2, 4, 8, 16, 32, 128, 256
_EXEMPT = {Op.INIT, Op.FORGET, Op.BATCH_FORGET, Op.INTERRUPT, Op.DESTROY, Op.RELEASE, Op.RELEASEDIR}
_NAMED = {Op.LOOKUP: 0, Op.MKDIR: 8, Op.MKNOD: 16, Op.CREATE: 16, Op.UNLINK: 0, Op.RMDIR: 0,
          Op.RENAME: 8, Op.LINK: 8, Op.SYMLINK: 0}  # fmt: skip


class Client:
    """The file system that one client shows.

    Args:
        tree: the server's directory. mount: where it is shown. cache_s: how long it remembers.
    """

    def __init__(self, tree: Path, mount: Mount, cache_s: float) -> None:
        self.mount = mount
        self.fails: list[bytes] = []
        self.error = errno.EIO
        self.breaks: list[bytes] = []
        self.ahead_ns = 0
        self.hangs: list[bytes] = []
        self.killable = True
        self.held: dict[int, Request] = {}
        self.memory = Memory(tree, cache_s)
        self._open: dict[int, tuple[Node, int]] = {}
        self._listings: dict[int, tuple[Node, list[tuple[bytes, int, int]]]] = {}
        self._count = 0
        self._acts: dict[int, Callable[[Request], bytes]] = {
            Op.LOOKUP: self._lookup,
            Op.GETATTR: lambda r: attr_reply(self.memory.attr(self._node(r)), self.ahead_ns),
            Op.SETATTR: self._setattr,
            Op.READLINK: lambda r: os.readlink(b"", dir_fd=self._node(r).fd),
            Op.SYMLINK: self._symlink,
            Op.MKNOD: self._mknod,
            Op.MKDIR: self._mkdir,
            Op.UNLINK: self._unlink,
            Op.RMDIR: self._rmdir,
            Op.RENAME: self._rename,
            Op.LINK: self._link,
            Op.OPEN: self._open_file,
            Op.CREATE: self._create,
            Op.READ: self._read,
            Op.WRITE: self._write,
            Op.STATFS: self._statfs,
            Op.RELEASE: self._release,
            Op.OPENDIR: self._open_dir,
            Op.READDIR: self._read_dir,
            Op.RELEASEDIR: self._release_dir,
            **dict.fromkeys((Op.FLUSH, Op.FSYNC, Op.FSYNCDIR), lambda r: b""),
        }

    def take(self, request: Request) -> None:
        """Answer one question, now, later, or never."""
        if request.op == Op.INIT:
            self.mount.reply_init(request.unique)
        elif request.op in (Op.FORGET, Op.BATCH_FORGET):
            for node, count in forgets(request):
                self.memory.forget(node, count)
        elif request.op == Op.INTERRUPT:
            self._interrupted(struct.unpack_from("<Q", request.body)[0])
        elif request.op not in _EXEMPT and self._matches(request, self.hangs):
            self.held[request.unique] = request
        else:
            self._answer(request)

    def release(self) -> None:
        """Nothing hangs any more; what was held is answered."""
        self.hangs = []
        held, self.held = self.held, {}
        for request in held.values():
            self._answer(request)

    def _answer(self, request: Request) -> None:
        act = self._acts.get(request.op)
        try:
            if act is None:
                raise OSError(errno.ENOSYS, "not here")
            if request.op not in _EXEMPT and self._matches(request, self.fails):
                raise OSError(self.error, "as told")
            body = act(request)
        except OSError as err:
            self.mount.reply(request.unique, code=err.errno or errno.EIO)
        else:
            self.mount.reply(request.unique, body)

    def _interrupted(self, unique: int) -> None:
        if self.killable and self.held.pop(unique, None) is not None:
            self.mount.reply(unique, code=errno.EINTR)

    def _matches(self, request: Request, paths: list[bytes]) -> bool:
        node = self.memory.nodes.get(request.node)
        if not paths or node is None:
            return False
        path = node.path
        if request.op in _NAMED:
            name = request.body[_NAMED[Op(request.op)] :].split(b"\0", 1)[0]
            path = below(path, name)
        return any(path == one or path.startswith(one.rstrip(b"/") + b"/") for one in paths)

    # ---- names that are asked for

    def _node(self, request: Request) -> Node:
        node = self.memory.nodes.get(request.node)
        if node is None:
            raise OSError(errno.ESTALE, "unknown handle")
        return node

    def _entry(self, node: Node) -> bytes:
        node.lookups += 1
        return entry_reply(node.id, node.generation, self.memory.attr(node), self.ahead_ns)

    def _lookup(self, request: Request) -> bytes:
        folder, name = self._node(request), request.body[:-1]
        names = self.memory.names(folder)
        if name in names:
            known = names[name]
            if known is None:
                raise OSError(errno.ENOENT, "remembered")
            try:
                return self._entry(self.memory.nodes[known])
            except (OSError, KeyError):
                names.pop(name, None)
        try:
            return self._entry(self.memory.seat(folder, name))
        except FileNotFoundError:
            self.memory.names(folder, fresh=True)[name] = None
            raise

    # ---- files

    def _open_file(self, request: Request) -> bytes:
        node = self._node(request)
        self.memory.attr(node, fresh=True)
        (flags,) = struct.unpack_from("<I", request.body)
        flags &= ~(os.O_NOFOLLOW | os.O_CREAT | os.O_EXCL | os.O_DIRECT | os.O_APPEND)
        return self._opened(node, os.open(proc(node.fd), flags | os.O_CLOEXEC))

    def _opened(self, node: Node, fd: int) -> bytes:
        self._count += 1
        self._open[self._count] = node, fd
        node.opens += 1
        return _OPEN.pack(self._count, _DIRECT_IO, 0)

    def _create(self, request: Request) -> bytes:
        folder = self._node(request)
        flags, mode = struct.unpack_from("<II", request.body)
        name = request.body[16:-1]
        with self.memory.writing(folder):
            flags = (flags | os.O_CREAT | os.O_CLOEXEC) & ~(os.O_APPEND | os.O_DIRECT)
            fd = os.open(name, flags, mode & 0o7777, dir_fd=folder.fd)
            os.fchown(fd, request.uid, request.gid)
        node = self.memory.seat(folder, name)
        return self._entry(node) + self._opened(node, fd)

    def _read(self, request: Request) -> bytes:
        fh, offset, size = struct.unpack_from("<QQI", request.body)
        return os.pread(self._open[fh][1], size, offset)

    def _write(self, request: Request) -> bytes:
        fh, offset, size = struct.unpack_from("<QQI", request.body)
        node, fd = self._open[fh]
        wrote = os.pwrite(fd, request.body[40 : 40 + size], offset)
        self.memory.attr(node, fresh=True)
        return struct.pack("<II", wrote, 0)

    def _release(self, request: Request) -> bytes:
        node, fd = self._open.pop(struct.unpack_from("<Q", request.body)[0])
        os.close(fd)
        node.opens -= 1
        if not node.opens and node.silly is not None:
            folder, name = self.memory.nodes[node.silly[0]], node.silly[1]
            node.silly = None
            with self.memory.writing(folder) as names:
                os.unlink(name, dir_fd=folder.fd)
                names.pop(name, None)
        return b""

    def _setattr(self, request: Request) -> bytes:
        node, path = self._node(request), proc(self._node(request).fd)
        said = _SETATTR.unpack_from(request.body)
        valid, size, mode, uid, gid = said[0], said[3], said[11], said[13], said[14]
        if valid & _MODE:
            os.chmod(path, stat.S_IMODE(mode))
        if valid & (_UID | _GID):
            os.chown(path, uid if valid & _UID else -1, gid if valid & _GID else -1)
        if valid & _SIZE:
            os.truncate(path, size)
        if valid & (_ATIME | _MTIME):
            old, now = os.fstat(node.fd), time.time_ns()
            atime = said[5] * 1_000_000_000 + said[8] if valid & _ATIME else old.st_atime_ns
            mtime = said[6] * 1_000_000_000 + said[9] if valid & _MTIME else old.st_mtime_ns
            times = (
                now if valid & _ATIME_NOW else atime,
                now if valid & _MTIME_NOW else mtime,
            )
            os.utime(path, ns=times)
        return attr_reply(self.memory.attr(node, fresh=True), self.ahead_ns)

    def _statfs(self, request: Request) -> bytes:
        said = os.statvfs(proc(self._node(request).fd))
        return struct.pack(
            "<QQQQQIII28x", said.f_blocks, said.f_bfree, said.f_bavail, said.f_files, said.f_ffree,
            said.f_bsize, said.f_namemax, said.f_frsize,
        )  # fmt: skip

    # ---- names

    def _symlink(self, request: Request) -> bytes:
        folder = self._node(request)
        name, target = request.body[:-1].split(b"\0")
        with self.memory.writing(folder):
            os.symlink(target, name, dir_fd=folder.fd)
        return self._entry(self.memory.seat(folder, name))

    def _mknod(self, request: Request) -> bytes:
        folder, name = self._node(request), request.body[16:-1]
        mode, device = struct.unpack_from("<II", request.body)
        with self.memory.writing(folder):
            os.mknod(name, mode, device, dir_fd=folder.fd)
        return self._entry(self.memory.seat(folder, name))

    def _mkdir(self, request: Request) -> bytes:
        folder, name = self._node(request), request.body[8:-1]
        with self.memory.writing(folder):
            os.mkdir(name, struct.unpack_from("<I", request.body)[0], dir_fd=folder.fd)
        return self._entry(self.memory.seat(folder, name))

    def _unlink(self, request: Request) -> bytes:
        folder, name = self._node(request), request.body[:-1]
        with self.memory.writing(folder) as names:
            if not self._hidden(folder, name):
                os.unlink(name, dir_fd=folder.fd)
            names[name] = None
        return b""

    def _rmdir(self, request: Request) -> bytes:
        folder, name = self._node(request), request.body[:-1]
        with self.memory.writing(folder) as names:
            os.rmdir(name, dir_fd=folder.fd)
            names[name] = None
        return b""

    def _hidden(self, folder: Node, name: bytes) -> bool:
        """Silly rename: a name that is open here goes on below another until it is closed."""
        try:
            node = self.memory.nodes.get(os.lstat(name, dir_fd=folder.fd).st_ino)
        except FileNotFoundError:
            return False
        if node is None or not node.opens or not stat.S_ISREG(os.fstat(node.fd).st_mode):
            return False
        self._count += 1
        silly = b".nfs%016x%08x" % (node.id, self._count)
        os.rename(name, silly, src_dir_fd=folder.fd, dst_dir_fd=folder.fd)
        node.silly = (folder.id, silly)
        return True

    def _rename(self, request: Request) -> bytes:
        (target_id,) = struct.unpack_from("<Q", request.body)
        folder, target = self._node(request), self.memory.nodes[target_id]
        old, new = request.body[8:-1].split(b"\0")
        with self.memory.writing(folder) as names, self.memory.writing(target):
            self._hidden(target, new)
            os.rename(old, new, src_dir_fd=folder.fd, dst_dir_fd=target.fd)
            names[old] = None
        self.memory.seat(target, new)
        return b""

    def _link(self, request: Request) -> bytes:
        (node_id,) = struct.unpack_from("<Q", request.body)
        folder, name = self._node(request), request.body[8:-1]
        with self.memory.writing(folder):
            source = proc(self.memory.nodes[node_id].fd)
            os.link(source, name, dst_dir_fd=folder.fd, follow_symlinks=True)
        return self._entry(self.memory.seat(folder, name))

    # ---- directories

    def _open_dir(self, request: Request) -> bytes:
        folder = self._node(request)
        self.memory.names(folder, fresh=True)
        if folder.listing is None:
            with os.scandir(proc(folder.fd)) as entries:
                found = [(os.fsencode(e.name), e.inode(), _kind(e)) for e in entries]
            self.memory.names(folder, fresh=True)
            folder.listing = [(b".", folder.id, 4), (b"..", folder.id, 4), *found]
        self._count += 1
        self._listings[self._count] = folder, folder.listing
        return _OPEN.pack(self._count, 0, 0)

    def _read_dir(self, request: Request) -> bytes:
        fh, offset, size = struct.unpack_from("<QQI", request.body)
        folder, listing = self._listings[fh]
        if folder.path in self.breaks:
            half = len(listing) // 2
            if offset >= half:
                raise OSError(errno.EIO, "as told")
            listing = listing[:half]
        return dirents(listing, offset, size)

    def _release_dir(self, request: Request) -> bytes:
        self._listings.pop(struct.unpack_from("<Q", request.body)[0], None)
        return b""


def _kind(entry: os.DirEntry[str]) -> int:
    if entry.is_symlink():
        return stat.S_IFLNK >> 12
    return (stat.S_IFDIR if entry.is_dir(follow_symlinks=False) else stat.S_IFREG) >> 12


def obey(client: Client, order: dict[str, Any]) -> None:
    """What the test wants."""
    client.fails = [os.fsencode(path) for path in order.get("fails", ())]
    client.error = order.get("error", errno.EIO)
    client.breaks = [os.fsencode(path) for path in order.get("breaks", ())]
    client.memory.cache_s = order.get("cache_s", client.memory.cache_s)
    client.ahead_ns = round(order.get("ahead_s", client.ahead_ns / 1e9) * 1e9)
    client.killable = order.get("killable", True)
    hangs = [os.fsencode(path) for path in order.get("hangs", ())]
    if not hangs:
        client.release()
    client.hangs = hangs


def main() -> None:
    """Serve until the input ends or the mount is gone: tree, mount point, seconds."""
    at = Path(sys.argv[2])
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.umask(0)
    try:
        mount = Mount(at, f"nfs_pair:{sys.argv[1]}")
    except OSError as err:
        print(json.dumps(f"no FUSE mount at {at}: {err.strerror}"), flush=True)
        return
    client = Client(Path(sys.argv[1]), mount, float(sys.argv[3]))
    print(json.dumps(""), flush=True)
    poll = select.poll()
    poll.register(mount.fd, select.POLLIN)
    poll.register(0, select.POLLIN)
    while True:
        ready = [fd for fd, _ in poll.poll()]
        if 0 in ready:
            line = os.read(0, 1 << 16)
            if not line:
                break
            for part in line.splitlines():
                obey(client, json.loads(part))
                print(json.dumps(""), flush=True)
        if mount.fd in ready:
            request = mount.receive()
            if request is None:
                break
            client.take(request)
    unmount(at)


if __name__ == "__main__":
    main()
