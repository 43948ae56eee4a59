"""What tests of this sink share: batches to send, and what then stands in its folder."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import zstandard
from fustor_sink_file import FileSink

from fustor_core.claims import PROTOCOL, Batch
from fustor_core.testing.promises import cell


def options(folder: Path, **more: Any) -> Any:
    return FileSink.Config.model_validate({"folder": str(folder), **more})


def batch(seq: int, *names: bytes) -> Batch:
    return Batch(PROTOCOL, seq, 0, [cell(name) for name in names or (b"n%d" % seq,)])


def full(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("claims.*.jsonl*"))


def text(path: Path) -> bytes:
    data = path.read_bytes()
    if path.suffix == ".gz":
        return gzip.decompress(data)
    if path.suffix == ".zst":
        return zstandard.ZstdDecompressor().decompressobj().decompress(data)
    return data


def lines(folder: Path) -> list[dict[str, Any]]:
    """Every line, oldest first."""
    paths = [folder / name for name in full(folder)] + [folder / "claims.jsonl"]
    return [json.loads(line) for path in paths for line in text(path).splitlines()]


def told_names(folder: Path) -> list[str]:
    return [line["path"] for line in lines(folder)]


async def settled(sink: FileSink) -> None:
    """Full files are packed and dropped."""
    while sink._book.untidy or sink._tidying:
        sink._tidy()
        assert sink._tidying is not None
        await sink._tidying.result()
        await sink._tidied()
