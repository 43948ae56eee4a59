"""Full files as Parquet tables: the columns hold what stood in the lines, after a crash too."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fustor_sink_file import FileSink
from fustor_sink_file import options as options_file
from fustor_sink_file.book import Book
from pydantic import ValidationError

from fustor_core.claims import (
    PROTOCOL,
    Batch,
    Cell,
    Key,
    Listing,
    Origin,
    Owe,
    Root,
    Row,
    Same,
    Silence,
    Stamp,
    pack_rows,
)
from fustor_core.testing.promises import hello

from .folders import batch, lines, options, settled

TABLES = "pyarrow is not installed: pip install 'fustor-driver-sink-file[parquet]'"
parquet = pytest.importorskip("pyarrow.parquet", reason=TABLES)

LARGEST = (1 << 64) - 1
STAMP = Stamp(5, 9, 7, "l")
FILE = Row(size=(1 << 62) + 1, mtime_ns=-5, ctime_ns=1 << 60, ino=LARGEST, mode=0o100644, nlink=2)


def every_kind() -> Batch:
    """A claim of each kind, with numbers that only fit their own columns."""
    key, scan = Key(-(1 << 63), LARGEST, 3), Origin.AUDIT
    names, rows = pack_rows({b"a": FILE, b"\xff": FILE})
    return Batch(
        PROTOCOL,
        1,
        0,
        [
            Root(key=key, identity="disk", marker=b"m", stamp=STAMP, origin=scan),
            Cell(dir=key, name=b"x", value=FILE.pack(), stamp=STAMP, origin=scan, flags=5),
            Cell(dir=key, name=b"", value=FILE.pack(), stamp=STAMP, origin=scan, path=b"/d"),
            Cell(dir=key, name=b"\xfe", value=None, stamp=STAMP, origin=scan),
            Listing(dir=key, names=names, rows=rows, stamp=STAMP, origin=scan, weak=(b"a",)),
            Same(dir=key, silence=Silence(1, 2, 3, 4), stamp=STAMP, origin=scan),
            Owe(dir=key, deep=True, reason="overflow", errno=5, stamp=STAMP, origin=scan),
        ],
    )


def rows(folder: Path) -> list[dict[str, Any]]:
    """Every row of every table, without the columns that a line has not."""
    out = []
    for path in sorted(folder.glob("claims.*.parquet")):
        assert path.stat().st_mode & 0o777 == 0o600
        out += [_bare(row) for row in parquet.read_table(path).to_pylist()]
    return out


def _bare(value: Any) -> Any:
    """Without nulls: a line leaves out what it has not, a table cannot."""
    if isinstance(value, dict):
        return {name: _bare(one) for name, one in value.items() if one is not None}
    return [_bare(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize("compress", ["none", "gzip", "zstd"])
async def test_tables_hold_what_the_lines_held(folder: Path, compress: str) -> None:
    plain, table = (
        FileSink(options(folder / name, rotate_size=1, **more))
        for name, more in (("plain", {}), ("table", {"format": "parquet", "compress": compress}))
    )
    folder.mkdir()
    for sink in (plain, table):
        await sink.begin(hello())
        await sink.send(every_kind())
        await sink.send(batch(2))
        await settled(sink)
        await sink.end()
    told = lines(folder / "plain")[:-1]
    assert [line["kind"] for line in told] == [
        "root", "entry", "directory", "entry", "listing", "same", "owe",
    ]  # fmt: skip
    own = ("start", "wall_us")
    wanted = [{k: v for k, v in _bare(line).items() if k not in own} for line in told]
    assert [{k: v for k, v in row.items() if k not in own} for row in rows(folder / "table")] == (
        wanted
    )
    assert (folder / "table" / "claims.jsonl").exists(), "what is written now is lines"
    (stored,) = (folder / "table").glob("claims.*.parquet")
    codec = parquet.ParquetFile(stored).metadata.row_group(0).column(0).compression
    assert codec == {"none": "UNCOMPRESSED"}.get(compress, compress.upper())


async def test_a_listing_of_many_lines_is_many_rows(folder: Path) -> None:
    names, packed = pack_rows({b"%060d" % n: FILE for n in range(30_000)})
    listing = Listing(
        dir=Key(0, 1, 0), names=names, rows=packed, stamp=STAMP, origin=Origin.SNAPSHOT
    )
    sink = FileSink(options(folder, rotate_size=1, format="parquet"))
    await sink.begin(hello())
    await sink.send(Batch(PROTOCOL, 1, 0, [listing]))
    await sink.send(batch(2))
    await settled(sink)
    await sink.end()
    found = rows(folder)
    assert len(found) > 5
    assert [row["more"] for row in found] == [True] * (len(found) - 1) + [False]
    assert sum(len(row["entries"]) for row in found) == 30_000


def _line(number: int) -> bytes:
    return json.dumps({"kind": "entry", "path": f"/{number}", "seq": number}).encode() + b"\n"


def test_what_a_crash_left_of_a_table_is_made_anew(folder: Path) -> None:
    folder.mkdir()
    (folder / ".claims.000000001.jsonl.packing").write_bytes(b"PAR1 half")
    (folder / "claims.000000001.jsonl").write_bytes(_line(1))
    (folder / "claims.000000002.jsonl").write_bytes(_line(2))
    book = Book(options(folder, format="parquet"))
    book.open()
    book.tidy()
    book.close()
    assert [row["path"] for row in rows(folder)] == ["/1", "/2"]
    (folder / "claims.000000002.jsonl").write_bytes(_line(2))  # killed before it was removed
    book.open()
    book.tidy()
    book.close()
    assert sorted(path.name for path in folder.iterdir()) == [
        ".lock", "claims.000000001.parquet", "claims.000000002.parquet", "claims.jsonl",
    ]  # fmt: skip


def test_lines_of_others_stay_lines(folder: Path) -> None:
    folder.mkdir()
    strange = b'{"kind": 5}\nnot json\n'
    (folder / "claims.000000001.jsonl").write_bytes(strange)
    (folder / "claims.000000002.jsonl").write_bytes(_line(2))
    book = Book(options(folder, format="parquet"))
    book.open()
    for _ in range(2):
        book.tidy()
        assert not book.untidy
    book.close()
    assert (folder / "claims.000000001.jsonl").read_bytes() == strange
    assert [row["path"] for row in rows(folder)] == ["/2"]
    assert not list(folder.glob(".claims*"))


def test_pyarrow_is_imported_by_nobody_who_does_not_need_it() -> None:
    code = "import sys, fustor_sink_file; sys.exit('pyarrow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def test_without_pyarrow_the_configuration_says_what_is_missing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(options_file.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValidationError, match=r"fustor-driver-sink-file\[parquet\]"):
        options(folder, format="parquet")
    options(folder)
