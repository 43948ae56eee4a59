"""The sink keeps its promises on a real disk: what was acknowledged is there, whatever happened."""

from __future__ import annotations

import base64
import gzip
import json
import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fustor_sink_file import FileSink
from fustor_sink_file.book import Book
from pydantic import ValidationError

from fustor_core.contracts import Introduced, Sessioned
from fustor_core.errors import Refused, Unreachable
from fustor_core.testing import sink_kit
from fustor_core.testing.promises import hello

from .folders import batch, full, lines, options, settled, text, told_names

LIMIT_S = 30.0


# -- what is written


def test_it_keeps_every_promise_of_a_sink(folder: Path) -> None:
    sink_kit(FileSink, options(folder))


async def test_lines_say_who_and_are_private(folder: Path) -> None:
    sink = FileSink(options(folder))
    assert isinstance(sink, Introduced)
    assert not isinstance(sink, Sessioned)
    await sink.begin(hello("p", "a"))
    await sink.send(batch(1, b"x", b"y"))
    await sink.end()
    first, second = lines(folder)
    assert (first["path"], second["path"], first["agent"], first["pipe"]) == ("/x", "/y", "a", "p")
    assert (first["seq"], second["index"]) == (1, 1)
    assert abs(first["wall_us"] / 1e6 - (folder / "claims.jsonl").stat().st_mtime) < 5
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "claims.jsonl").stat().st_mode & 0o777 == 0o600


async def test_a_repeat_is_written_once_and_a_new_start_is_another(folder: Path) -> None:
    sink = FileSink(options(folder))
    await sink.begin(hello())
    for _ in range(3):
        assert (await sink.send(batch(1))).acked == 1
    await sink.end()
    await sink.begin(hello())
    await sink.send(batch(1))
    await sink.end()
    assert [line["seq"] for line in lines(folder)] == [1, 1]
    assert len({line["start"] for line in lines(folder)}) == 2


# -- full files


async def test_full_files_have_numbers_and_nothing_is_lost(folder: Path) -> None:
    sink = FileSink(options(folder, rotate_size=2000))
    await sink.begin(hello())
    for seq in range(1, 31):
        await sink.send(batch(seq))
    await sink.end()
    assert full(folder)[:2] == ["claims.000000001.jsonl", "claims.000000002.jsonl"]
    assert all((folder / name).stat().st_size <= 2000 for name in full(folder))
    assert told_names(folder) == [f"/n{seq}" for seq in range(1, 31)]


async def test_one_batch_that_is_larger_than_a_file_is_not_cut(folder: Path) -> None:
    sink = FileSink(options(folder, rotate_size=1000))
    await sink.begin(hello())
    await sink.send(batch(1, *[b"m%d" % n for n in range(20)]))
    await sink.send(batch(2))
    await sink.end()
    assert len(text(folder / full(folder)[0]).splitlines()) == 20


async def test_a_file_grows_old_also_over_a_restart(folder: Path) -> None:
    sink = FileSink(options(folder, rotate_age="1h"))
    await sink.begin(hello())
    await sink.send(batch(1))
    await sink.send(batch(2))
    await sink.end()
    assert full(folder) == []
    current = folder / "claims.jsonl"
    old = lines(folder)
    old[0]["wall_us"] -= 3601 * 10**6
    current.write_text("".join(json.dumps(line) + "\n" for line in old))
    await sink.begin(hello())
    await sink.send(batch(1))
    await sink.send(batch(2))
    await sink.end()
    assert full(folder) == ["claims.000000001.jsonl"]
    assert len(current.read_bytes().splitlines()) == 2


@pytest.mark.parametrize(("compress", "suffix"), [("gzip", ".gz"), ("zstd", ".zst")])
async def test_full_files_are_packed(folder: Path, compress: str, suffix: str) -> None:
    sink = FileSink(options(folder, rotate_size=2000, compress=compress))
    await sink.begin(hello())
    for seq in range(1, 31):
        await sink.send(batch(seq))
    await settled(sink)
    await sink.end()
    assert len(full(folder)) >= 3
    assert all(name.endswith(suffix) for name in full(folder))
    assert all((folder / name).stat().st_mode & 0o777 == 0o600 for name in full(folder))
    assert told_names(folder) == [f"/n{seq}" for seq in range(1, 31)]


@pytest.mark.parametrize("more", [{"keep_files": 2}, {"keep_size": 4500}])
async def test_old_files_are_dropped(folder: Path, more: dict[str, Any]) -> None:
    sink = FileSink(options(folder, rotate_size=2000, **more))
    await sink.begin(hello())
    for seq in range(1, 31):
        await sink.send(batch(seq))
    await settled(sink)
    await sink.end()
    assert len(full(folder)) == 2
    kept = told_names(folder)
    assert kept == [f"/n{seq}" for seq in range(31 - len(kept), 31)], "the newest, without a gap"


def test_what_a_crash_left_of_packing_is_put_right(folder: Path) -> None:
    folder.mkdir()
    (folder / ".claims.000000003.jsonl.packing").write_bytes(b"half")
    (folder / "claims.000000002.jsonl").write_bytes(b'{"path":"/b"}\n')
    (folder / "claims.000000002.jsonl.gz").write_bytes(gzip.compress(b'{"path":"/b"}\n'))
    (folder / "claims.000000001.jsonl").write_bytes(b'{"path":"/a"}\n')
    (folder / "claims.of-mine.jsonl").write_bytes(b"not ours")
    book = Book(options(folder, compress="gzip", rotate_size=1))
    book.open()
    book.append(1, b'{"path":"/c"}\n')
    book.append(2, b'{"path":"/d"}\n')
    book.tidy()
    book.close()
    assert sorted(os.listdir(folder)) == [
        ".lock",
        *[f"claims.00000000{n}.jsonl.gz" for n in (1, 2, 3)],
        "claims.jsonl",
        "claims.of-mine.jsonl",
    ]
    (folder / "claims.of-mine.jsonl").unlink()
    assert told_names(folder) == ["/a", "/b", "/c", "/d"]


def test_a_file_that_stands_there_twice_is_kept_once(folder: Path) -> None:
    folder.mkdir()
    (folder / "claims.000000002.jsonl").write_bytes(b"{}\n")
    (folder / "claims.000000002.jsonl.zst").write_bytes(b"packed")
    book = Book(options(folder, compress="none"))
    book.open()
    book.tidy()
    book.close()
    assert full(folder) == ["claims.000000002.jsonl.zst"]


# -- others


async def test_a_folder_belongs_to_one_pipe(folder: Path) -> None:
    first, second = FileSink(options(folder)), FileSink(options(folder))
    await first.begin(hello())
    with pytest.raises(Unreachable, match="another pipe writes to"):
        await second.begin(hello())
    await first.end()
    await second.begin(hello())
    await second.send(batch(1))
    await second.end()


async def test_a_file_that_was_taken_away_or_cut_is_begun_anew(folder: Path) -> None:
    sink = FileSink(options(folder))
    current = folder / "claims.jsonl"
    await sink.begin(hello())
    await sink.send(batch(1))
    current.rename(folder / "elsewhere")
    await sink.send(batch(2))
    assert told_names(folder) == ["/n2"]
    os.truncate(current, current.stat().st_size - 3)
    await sink.send(batch(3))
    assert told_names(folder) == ["/n3"]
    (folder / "same-size").write_bytes(current.read_bytes())
    (folder / "same-size").rename(current)
    await sink.send(batch(4))
    assert told_names(folder) == ["/n3", "/n4"]
    await sink.end()


async def test_a_folder_that_cannot_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for place in (tmp_path / "no" / "such", tmp_path / "file"):
        sink = FileSink(options(place))
        with pytest.raises(Unreachable, match=r"cannot be written: .*; does its parent exist"):
            await sink.begin(hello())
        with pytest.raises(Unreachable, match="is not open"):
            await sink.send(batch(1))
        await sink.end()


@pytest.mark.parametrize("odd", ["folder", "fifo", "link"])
async def test_what_is_no_file_is_not_written(folder: Path, odd: str) -> None:
    folder.mkdir()
    place, target = folder / "claims.jsonl", folder / "target"
    target.write_bytes(b"precious")
    make: dict[str, Any] = {
        "folder": place.mkdir,
        "fifo": lambda: os.mkfifo(place),
        "link": lambda: place.symlink_to(target),
    }
    make[odd]()
    sink = FileSink(options(folder))
    with pytest.raises((Refused, Unreachable), match=r"claims\.jsonl"):
        await sink.begin(hello())
    await sink.end()
    assert target.read_bytes() == b"precious"


async def test_the_watched_tree_is_no_place_for_it(tmp_path: Path) -> None:
    root = base64.b64encode(os.fsencode(tmp_path)).decode()
    said = replace(hello(), source={"driver": "fs", "root_b64": root})
    for place in (tmp_path, tmp_path / "out"):
        with pytest.raises(Refused, match="lies in the tree that is watched"):
            await FileSink(options(place)).begin(said)
    sink = FileSink(options(tmp_path / "out", inside_root=True))
    await sink.begin(said)
    await sink.end()


async def test_a_write_that_hangs_is_left_behind_and_not_doubled(folder: Path) -> None:
    go_on, entered = threading.Event(), threading.Event()

    class Slow(Book):
        def append(self, number: int, data: bytes) -> None:
            entered.set()
            go_on.wait(LIMIT_S)
            super().append(number, data)

    import anyio

    sink = FileSink(options(folder))
    sink._book = Slow(sink.config)
    await sink.begin(hello())
    async with anyio.create_task_group() as group:
        group.start_soon(sink.send, batch(1))
        await anyio.to_thread.run_sync(entered.wait, LIMIT_S)
        group.cancel_scope.cancel()
    with pytest.raises(Unreachable, match="the last write still waits"):
        await sink.send(batch(1))
    go_on.set()
    assert sink._work is not None
    await sink._work.result()
    assert (await sink.send(batch(1))).acked == 1
    await sink.end()
    assert told_names(folder) == ["/n1"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"folder": "relative"},
        {"rotate_size": 0},
        {"compress": "bzip2"},
        {"keep_files": -1},
        {"rotate_age": "soon"},
        {"odd": 1},
    ],
)
def test_options_that_make_no_sense(folder: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        options(folder, **wrong) if "folder" not in wrong else options(Path(wrong["folder"]))
