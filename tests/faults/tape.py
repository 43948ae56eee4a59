"""What a program did to files, system call by system call, as strace has seen it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CALLS = (
    *("openat", "write", "pwrite64", "writev", "pwritev", "lseek", "ftruncate", "fallocate"),
    *("fsync", "fdatasync", "rename", "renameat", "renameat2", "unlink", "unlinkat", "mkdir"),
    *("mkdirat", "rmdir", "link", "linkat", "symlink", "symlinkat", "copy_file_range", "sendfile"),
)
WORDS = ("-y", "-xx", "-ttt", "-s", "100000000", "--seccomp-bpf", "-e", f"trace={','.join(CALLS)}")
"""For strace: whole data, and the path of each descriptor, all in hex."""
_LINE = re.compile(r"^(\d+) +(\d+\.\d+) (?:<\.\.\. (\w+) resumed>|(\w+)\()(.*)$")
_REST = " <unfinished ...>"
_RESULT = re.compile(r"^(.*)\) += (-?\d+)(?:<[^>]*>)?(?: .*)?$")
_HEX = re.compile(r"\\x([0-9a-f]{2})")


@dataclass(frozen=True)
class Call:
    """One that succeeded, or was under way when the program died.

    Attributes:
        begun, ended: places on the tape. at: wall clock when it began, in seconds.
        arguments: as strace shows them. result: what it returned; None: it never did.
    """

    name: str
    begun: int
    ended: int
    at: float
    arguments: tuple[str, ...]
    result: int | None

    def path(self, number: int) -> Path:
        """Of a descriptor, or an argument that is one, seen from the one before it."""
        said = self.arguments[number]
        if not said.startswith('"'):
            return Path(os.fsdecode(_bytes(said.partition("<")[2])))
        beside = self.arguments[number - 1] if number and self.name.endswith("at") else ""
        return Path(os.fsdecode(_bytes(beside.partition("<")[2])), os.fsdecode(self.data(number)))

    def data(self, number: int) -> bytes:
        """A string."""
        return _bytes(self.arguments[number].strip('"'))

    def number(self, number: int) -> int:
        """A number."""
        return int(self.arguments[number], 0)


def calls(tape: Path) -> Iterator[Call]:
    """All that did something, in the order in which they began."""
    begun: dict[str, tuple[int, str, float, str]] = {}
    found: list[Call] = []
    place = 0
    for place, line in enumerate(tape.read_text("ascii", "replace").splitlines()):
        parts = _LINE.match(line)
        if parts is None:
            continue
        thread, at, resumed, name, said = parts.groups()
        if resumed:
            first, name, began, head = begun.pop(thread)
            said = head + said
        else:
            first, began = place, float(at)
        if said.endswith(_REST):
            begun[thread] = (first, name, began, said.removesuffix(_REST))
        elif (whole := _RESULT.match(said)) and int(whole[2]) >= 0:
            found.append(Call(name, first, place, began, _split(whole[1]), int(whole[2])))
    for first, name, began, said in begun.values():
        found.append(Call(name, first, place + 1, began, _split(said.rstrip(", ")), None))
    return iter(sorted(found, key=lambda call: call.begun))


def _split(said: str) -> tuple[str, ...]:
    """Arguments; strings are hex, so that no comma stands in one."""
    return tuple(part.strip() for part in said.split(", "))


def _bytes(said: str) -> bytes:
    return bytes.fromhex("".join(_HEX.findall(said)))
