"""Packs as they lie in the cold store."""

from __future__ import annotations

import pytest
import zstandard
from fustor_view_file.pack import SPLIT_ROWS
from fustor_view_file.sealed import Damaged, pack_record, read_pack, seal
from hypothesis import given
from hypothesis import strategies as st

from fustor_core.claims import ROW_BYTES, pack_rows

COMPRESS = zstandard.ZstdCompressor(level=1)
rows = st.binary(min_size=ROW_BYTES, max_size=ROW_BYTES)
names = st.binary(min_size=1, max_size=9).filter(lambda name: not {0, 47} & set(name))


@given(st.dictionaries(names, rows, max_size=40))
def test_what_is_sealed_is_read_back(entries: dict[bytes, bytes]) -> None:
    blobs = pack_rows(entries)
    assert read_pack(pack_record(*blobs, COMPRESS)).blobs() == blobs


def test_a_pack_of_many_parts() -> None:
    blobs = pack_rows({b"%05d" % i: b"%048d" % i for i in range(3 * SPLIT_ROWS)})
    again = read_pack(pack_record(*blobs, COMPRESS))
    assert again.blobs() == blobs
    assert len(again.parts) > 1


def test_rows_that_were_not_turned() -> None:
    """So they lay in the first states."""
    names, rows = pack_rows({b"a": b"1" * ROW_BYTES, b"b": bytes(range(ROW_BYTES))})
    content = len(names).to_bytes(4, "little") + names + rows
    assert read_pack(seal(COMPRESS.compress(content))).blobs() == (names, rows)


@pytest.mark.parametrize("harm", [b"", b"\0\0\0\0", b"\0" * 30])
def test_what_is_no_record_is_damaged(harm: bytes) -> None:
    with pytest.raises(Damaged):
        read_pack(harm)
    with pytest.raises(Damaged):
        read_pack(seal(harm))
    with pytest.raises(Damaged, match="middle"):
        read_pack(seal(COMPRESS.compress((1 | 1 << 31).to_bytes(4, "little") + b"a" + harm + b"x")))
