"""Lines of claims as a Parquet file: one row a line, the fields as columns of their types.

The only file that knows pyarrow, an extra of this package; imported when a full file is packed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
from pyarrow import json as arrow_json
from pyarrow import parquet

BLOCK_BYTES = 4 << 20
CODECS = {"none": "NONE", "gzip": "GZIP", "zstd": "ZSTD"}

_TEXT, _WHOLE, _TRUTH = pa.string(), pa.int64(), pa.bool_()
_KEY = pa.struct([("dev", _WHOLE), ("ino", pa.uint64()), ("birth", _WHOLE)])
_COLUMNS = [
    ("type", _TEXT),
    ("size", _WHOLE),
    ("mtime_ns", _WHOLE),
    ("ctime_ns", _WHOLE),
    ("ino", pa.uint64()),
    *((name, pa.uint32()) for name in ("mode", "uid", "gid", "nlink")),
]
_ENTRY = pa.struct([("name", _TEXT), ("name_b64", _TEXT), ("weak", _TRUTH), *_COLUMNS])
SCHEMA = pa.schema(
    [
        ("kind", _TEXT),
        ("path", _TEXT),
        ("path_b64", _TEXT),
        ("dir", _KEY),
        ("row", pa.struct(_COLUMNS)),
        ("flags", pa.list_(_TEXT)),
        ("entries", pa.list_(_ENTRY)),
        ("part", _WHOLE),
        ("more", _TRUTH),
        ("complete", _TRUTH),
        ("own", pa.struct(_COLUMNS[1:])),
        ("silence", pa.list_(_WHOLE)),
        ("unchanged", _TEXT),
        ("deep", _TRUTH),
        ("reason", _TEXT),
        ("errno", _WHOLE),
        ("present", _TRUTH),
        ("identity", _TEXT),
        ("birth", _TEXT),
        ("marker_b64", _TEXT),
        ("origin", _TEXT),
        ("look", _TEXT),
        ("interval", pa.list_(_WHOLE)),
        ("order", _WHOLE),
        ("wall_us", _WHOLE),
        ("agent", _TEXT),
        ("pipe", _TEXT),
        ("start", _TEXT),
        ("seq", _WHOLE),
        ("index", _WHOLE),
    ]
)


class Strange(Exception):
    """Lines that are no claims of ours: they have no columns."""


def write_table(plain: Path, target: BinaryIO, compress: str) -> None:
    """Write the lines of a file as a table.

    Args:
        plain: lines of JSON. target: open for writing; not closed. compress: a key of `CODECS`.

    Raises:
        Strange: there are other lines in it. OSError: it cannot be read or written.
    """
    with plain.open("rb") as lines:
        longest = max(map(len, lines), default=0)
    reading = arrow_json.ReadOptions(use_threads=False, block_size=max(BLOCK_BYTES, longest + 1))
    parsing = arrow_json.ParseOptions(explicit_schema=SCHEMA, unexpected_field_behavior="error")
    codec = CODECS[compress]
    try:
        with (
            arrow_json.open_json(plain, read_options=reading, parse_options=parsing) as batches,
            parquet.ParquetWriter(target, SCHEMA, compression=codec) as writer,
        ):
            batch: Any
            for batch in batches:
                writer.write_batch(batch)
    except pa.ArrowInvalid as error:
        raise Strange(f"{plain}: {error}") from error
