"""What was acknowledged is there, whatever happened: kill -9, a full disk, a torn line."""

from __future__ import annotations

import resource
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fustor_sink_file import FileSink
from fustor_sink_file.book import Book

from fustor_core.errors import DiskFull, Unreachable
from fustor_core.testing.promises import hello

from .folders import batch, full, options, settled, told_names

LIMIT_S = 30.0


WRITER = """
import anyio, sys
from fustor_sink_file import FileSink
from fustor_core.claims import PROTOCOL, Batch
from fustor_core.testing.promises import cell, hello

async def main():
    sink = FileSink(FileSink.Config(folder=sys.argv[1], rotate_size=200_000, compress="zstd"))
    await sink.begin(hello())
    seq = 0
    while True:
        seq += 1
        await sink.send(Batch(PROTOCOL, seq, 0, [cell(b"%d-%d" % (seq, n)) for n in range(200)]))
        print(seq, flush=True)

anyio.run(main)
"""


def killed_writer(folder: Path, acks: int) -> int:
    """The number of the last batch that a writer says is acknowledged before it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        for _ in range(acks):
            assert select.select([process.stdout], [], [], LIMIT_S)[0]
            assert process.stdout.readline()
    finally:
        process.kill()
        rest = process.communicate(timeout=LIMIT_S)[0]
    return acks + len(rest.splitlines())


@pytest.mark.parametrize("acks", [1, 7, 20])
async def test_after_kill_9_everything_acknowledged_is_there(folder: Path, acks: int) -> None:
    last = killed_writer(folder, acks)
    with (folder / "claims.jsonl").open("ab") as file:
        file.write(b'{"kind":"entry","path":"/torn')
    sink = FileSink(options(folder, compress="zstd"))
    await sink.begin(hello())
    await sink.send(batch(1, b"after"))
    await settled(sink)
    await sink.end()
    found = told_names(folder)
    wanted = [f"/{seq}-{n}" for seq in range(1, last + 1) for n in range(200)]
    assert found[: len(wanted)] == wanted
    assert found[-1] == "/after"
    assert "/torn" not in found


@pytest.mark.parametrize("rest", [b"", b"{", b'{"a":1}', b"x" * 200_000])
def test_only_a_torn_line_is_cut(folder: Path, rest: bytes) -> None:
    folder.mkdir()
    whole = b'{"path":"/a"}\n{"path":"/b"}\n'
    for before in (b"", whole):
        (folder / "claims.jsonl").write_bytes(before + rest)
        book = Book(options(folder))
        book.open()
        book.append(1, b'{"path":"/c"}\n')
        book.close()
        assert (folder / "claims.jsonl").read_bytes() == before + b'{"path":"/c"}\n'


@contextmanager
def small_files() -> Iterator[None]:
    """No file may grow beyond this, as on a disk that is full; nor may what pytest writes to."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_write_that_fails_half_way_leaves_nothing_of_it(folder: Path) -> None:
    sink = FileSink(options(folder))
    with small_files():
        await sink.begin(hello())
        await sink.send(batch(1))
        for _ in range(2):
            with pytest.raises(Unreachable, match=r"cannot be written: File too large"):
                await sink.send(batch(2, *[b"m%d" % n for n in range(50)]))
            assert told_names(folder) == ["/n1"]
        await sink.send(batch(2))
        await sink.end()
    assert told_names(folder) == ["/n1", "/n2"]


async def test_a_full_disk_is_said_and_healed(folder: Path) -> None:
    class Full(Book):
        def append(self, number: int, data: bytes) -> None:
            raise OSError(28, "No space left on device")

    sink = FileSink(options(folder))
    await sink.begin(hello())
    good, sink._book = sink._book, Full(sink.config)
    with pytest.raises(DiskFull, match=r"No space left.*`keep_files`"):
        await sink.send(batch(1))
    sink._book = good
    assert (await sink.send(batch(1))).acked == 1
    await sink.end()


async def test_a_file_that_cannot_be_packed_is_said_and_tried_again(folder: Path) -> None:
    sink = FileSink(options(folder, rotate_size=1, compress="gzip"))
    await sink.begin(hello())
    await sink.send(batch(1))
    await settled(sink)
    obstacle = folder / "claims.000000001.jsonl.gz"
    obstacle.mkdir()
    await sink.send(batch(2))
    assert sink._tidying is not None, "it does not wait for the next batch"
    with pytest.raises(IsADirectoryError):
        await sink._tidying.result()
    with pytest.raises(Unreachable, match=r"cannot be written: Is a directory"):
        await sink.send(batch(3))
    obstacle.rmdir()
    await sink.send(batch(3))
    await settled(sink)
    await sink.end()
    assert [name[-3:] for name in full(folder)] == [".gz", ".gz"]
    assert told_names(folder) == ["/n1", "/n2", "/n3"]
