"""The sink writes whole lines to real pipes and files, and waits for nobody."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from fustor_sink_echo import EchoSink
from pydantic import ValidationError

from fustor_core.claims import PROTOCOL, Batch, Origin
from fustor_core.contracts import Introduced, Sessioned
from fustor_core.errors import Refused, Unreachable
from fustor_core.testing import sink_kit
from fustor_core.testing.promises import cell, hello, listing

LIMIT_S = 20.0


def sink(to: str | int = "stdout") -> EchoSink:
    return EchoSink(EchoSink.Config.model_validate({"to": to}))


def batch(seq: int, *names: bytes) -> Batch:
    return Batch(PROTOCOL, seq, 0, [cell(name) for name in names or (b"n%d" % seq,)])


class Ends:
    """Both ends of a pipe that the program was started with."""

    def __init__(self) -> None:
        self.out, self.fd = os.pipe()
        os.set_inheritable(self.fd, True)

    def read(self, size: int = 1 << 20) -> bytes:
        return os.read(self.out, size)

    def ready(self) -> bool:
        return bool(select.select([self.out], [], [], LIMIT_S)[0])

    def close_reading(self) -> None:
        os.close(self.out)
        self.out = -1

    def close_writing(self) -> None:
        os.close(self.fd)
        self.fd = -1

    def close(self) -> None:
        # once only: a number that was given back may be another's by now
        if self.out >= 0:
            self.close_reading()
        if self.fd >= 0:
            self.close_writing()


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = Ends()
    yield made
    made.close()


def test_it_keeps_every_promise_of_a_sink(ends: Ends) -> None:
    sink_kit(EchoSink, sink(ends.fd).config)
    assert all(json.loads(line)["kind"] == "entry" for line in ends.read().splitlines())


@pytest.mark.parametrize("to", ["stdout", "stderr"])
async def test_lines_come_out_where_they_should(capfd: Any, to: str) -> None:
    made = sink(to)
    assert isinstance(made, Introduced)
    assert not isinstance(made, Sessioned)
    await made.begin(hello("p", "a"))
    await made.send(batch(1, b"x", b"y"))
    await made.end()
    shown = capfd.readouterr()
    text, other = (shown.out, shown.err) if to == "stdout" else (shown.err, shown.out)
    first, second = [json.loads(line) for line in text.splitlines()]
    assert first["event"] == "claim"
    assert (first["path"], second["path"], first["pipe"], first["seq"]) == ("/x", "/y", "p", 1)
    assert other == ""


async def test_a_large_listing_comes_in_pieces_that_a_pipe_does_not_tear() -> None:
    out, fd = os.pipe2(os.O_DIRECT)  # each read gives what one write has put in
    os.set_inheritable(fd, True)
    made = sink(fd)
    await made.begin(hello())
    sizes = {f"file-{number:05d}": number for number in range(2000)}
    pieces: list[bytes] = []

    async def read() -> None:
        while not pieces or b'"/last"' not in pieces[-1]:
            await anyio.wait_readable(out)
            pieces.append(os.read(out, 1 << 20))

    with anyio.fail_after(LIMIT_S):
        async with anyio.create_task_group() as group:
            group.start_soon(read)
            claims = [listing(Origin.SNAPSHOT, **sizes), *[cell(b"x")] * 50, cell(b"last")]
            await made.send(Batch(PROTOCOL, 1, 0, claims))
    os.close(out)
    os.close(fd)
    assert all(piece.endswith(b"\n") for piece in pieces)
    assert max(map(len, pieces)) <= select.PIPE_BUF
    lines = b"".join(pieces).splitlines()
    assert len(pieces) < len(lines), "small lines go together"
    entries = [entry for line in lines for entry in json.loads(line).get("entries", ())]
    assert {entry["name"]: entry["size"] for entry in entries} == sizes


async def test_who_reads_slowly_is_waited_for_and_nobody_else_waits(ends: Ends) -> None:
    made = sink(ends.fd)
    await made.begin(hello())
    large = batch(1, *[b"%d" % number for number in range(1000)])
    async with anyio.create_task_group() as group:
        group.start_soon(made.send, large)
        with anyio.fail_after(LIMIT_S):
            await anyio.wait_readable(ends.out)  # the loop runs while the pipe is full
        group.cancel_scope.cancel()
    with pytest.raises(Unreachable, match="nobody reads"):
        await made.send(large)
    reader = threading.Thread(target=drain, args=(ends.out,), daemon=True)
    reader.start()
    assert made._work is not None
    with anyio.fail_after(LIMIT_S):
        await made._work.result()
        assert (await made.send(batch(2))).acked == 2
    ends.close_writing()
    reader.join(LIMIT_S)
    await made.end()


def drain(fd: int) -> None:
    while os.read(fd, 1 << 16):
        pass


async def test_a_descriptor_that_does_not_wait_is_waited_for(ends: Ends) -> None:
    flags = fcntl.fcntl(ends.fd, fcntl.F_GETFL)
    fcntl.fcntl(ends.fd, fcntl.F_SETFL, flags | os.O_NONBLOCK)
    made = sink(ends.fd)
    await made.begin(hello())
    reader = threading.Thread(target=drain, args=(ends.out,), daemon=True)
    async with anyio.create_task_group() as group:
        group.start_soon(made.send, batch(1, *[b"%d" % number for number in range(2000)]))
        await anyio.wait_readable(ends.out)
        reader.start()
    assert (await made.send(batch(2))).acked == 2
    ends.close_writing()
    reader.join(LIMIT_S)


async def test_a_reader_that_is_gone_is_for_a_person(ends: Ends) -> None:
    made = sink(ends.fd)
    await made.begin(hello())
    ends.close_reading()
    with pytest.raises(Refused, match=r"Broken pipe; who read it is gone"):
        await made.send(batch(1))


async def test_files_of_the_program_are_not_written_to(tmp_path: Path) -> None:
    with (tmp_path / "precious").open("wb") as own:
        with pytest.raises(Refused, match=r"is a file of the program itself; start .* with: \d+>"):
            await sink(own.fileno()).begin(hello())
        with pytest.raises(Refused, match=r"Bad file descriptor; start the program with: 987>FILE"):
            await sink(987).begin(hello())
    made = sink()
    with pytest.raises(Unreachable):
        await made.send(batch(1))


async def test_a_file_in_the_watched_tree_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    root.mkdir()
    said = replace(
        hello(),
        source={"driver": "fs", "root_b64": base64.b64encode(os.fsencode(root)).decode()},
    )
    for folder, refused in ((root, True), (tmp_path, False)):
        with tempfile.NamedTemporaryFile(dir=folder) as file:
            os.set_inheritable(file.fileno(), True)
            if refused:
                with pytest.raises(Refused, match="in the tree that is watched"):
                    await sink(file.fileno()).begin(said)
            else:
                await sink(file.fileno()).begin(said)


HANGING = """
import anyio, sys
from fustor_sink_echo import EchoSink
from fustor_core.claims import PROTOCOL, Batch
from fustor_core.testing.promises import cell, hello

async def main():
    sink = EchoSink(EchoSink.Config())
    await sink.begin(hello())
    batch = Batch(PROTOCOL, 1, 0, [cell(b"%d" % n) for n in range(5000)])
    with anyio.move_on_after(0.3):
        await sink.send(batch)
    await sink.end()
    print("ended", file=sys.stderr)

anyio.run(main)
"""


def test_a_program_whose_stdout_nobody_reads_ends_all_the_same() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HANGING], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        assert process.stderr is not None
        assert process.stderr.readline() == b"ended\n"
        assert process.wait(LIMIT_S) == 0
        assert process.stderr.read() == b""
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("wrong", [0, -1, "somewhere", None, 1.5])
def test_options_that_make_no_sense(wrong: Any) -> None:
    with pytest.raises(ValidationError):
        EchoSink.Config.model_validate({"to": wrong})
