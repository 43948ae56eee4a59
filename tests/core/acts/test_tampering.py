"""Whoever changes, removes, swaps or cuts records is found out, and the first of them is named."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fustor_core.acts import Book, verify
from fustor_core.acts.book import of_program
from fustor_core.acts.chain import TEXT_MAX, bounded, opened, sealed
from fustor_core.acts.chain import Link as Start
from fustor_core.acts.reading import FOLDER, files_in

RECORDS = 12
FEW = settings(max_examples=25)  # each example writes a log, with all its fsyncs
texts = st.text(max_size=20)


def written(folder: Path) -> list[tuple[Path, list[bytes]]]:
    """A log over several files: each with its lines."""
    book = Book(folder, rotate_bytes=700)
    book.open()
    for number in range(RECORDS):
        book.note(of_program("act", number=number))
        book.write()
    book.close()
    files = files_in(folder / FOLDER)
    return [(path, path.read_bytes().splitlines(keepends=True)) for path in files]


def put_back(files: list[tuple[Path, list[bytes]]], lines: list[bytes]) -> None:
    """Other lines in the same files, as many as each had; what is left over into the last."""
    rest = list(lines)
    for path, had in files[:-1]:
        path.write_bytes(b"".join(rest[: len(had)]))
        del rest[: len(had)]
    files[-1][0].write_bytes(b"".join(rest))


def test_nobody_has_touched_it(tmp_path: Path) -> None:
    files = written(tmp_path)
    assert len(files) > 2
    assert verify(tmp_path / FOLDER).fault is None


@given(at=st.integers(0, RECORDS - 1), where=st.integers(0), bit=st.integers(0, 7))
@FEW
def test_a_changed_bit_is_named(at: int, where: int, bit: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        files = written(Path(folder))
        lines = [line for _, had in files for line in had]
        broken = bytearray(lines[at])
        broken[where % len(broken)] ^= 1 << bit
        lines[at] = bytes(broken)
        put_back(files, lines)
        fault = verify(Path(folder) / FOLDER).fault
        assert fault is not None
        assert fault.seq == at + 1, fault


@given(data=st.data())
@FEW
def test_removed_records_are_named(data: st.DataObject) -> None:
    first = data.draw(st.integers(0, RECORDS - 1))
    last = data.draw(st.integers(first, RECORDS - 1))
    with tempfile.TemporaryDirectory() as folder:
        files = written(Path(folder))
        lines = [line for _, had in files for line in had]
        put_back(files, lines[:first] + lines[last + 1 :])
        fault = verify(Path(folder) / FOLDER).fault
        assert fault is not None
        assert fault.seq == first + 1, fault
        assert fault.kind == ("cut" if last == RECORDS - 1 else "removed")


@given(data=st.data())
@FEW
def test_swapped_records_are_named(data: st.DataObject) -> None:
    one = data.draw(st.integers(1, RECORDS - 2))
    other = data.draw(st.integers(one + 1, RECORDS - 1))
    with tempfile.TemporaryDirectory() as folder:
        files = written(Path(folder))
        lines = [line for _, had in files for line in had]
        lines[one], lines[other] = lines[other], lines[one]
        put_back(files, lines)
        fault = verify(Path(folder) / FOLDER).fault
        assert fault is not None
        assert (fault.seq, fault.kind) == (one + 1, "swapped")


@given(at=st.integers(0, RECORDS - 1), cut=st.integers(1, 300))
@FEW
def test_a_log_cut_anywhere_is_named(at: int, cut: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        files = written(Path(folder))
        lines = [line for _, had in files for line in had]
        assume(cut < len(lines[at]))
        put_back(files, [*lines[:at], lines[at][:-cut]])
        fault = verify(Path(folder) / FOLDER).fault
        assert fault is not None
        assert (fault.seq, fault.kind) == (at + 1, "cut")


@given(at=st.integers(0, RECORDS - 2), number=st.integers(100))
@FEW
def test_a_record_that_was_sealed_anew_is_named(at: int, number: int) -> None:
    """Whoever knows how hashes are made still has to change all that follows."""
    with tempfile.TemporaryDirectory() as folder:
        files = written(Path(folder))
        lines = [line for _, had in files for line in had]
        record = json.loads(lines[at])
        before = Start(record.pop("seq") - 1, record.pop("prev"))
        del record["hash"]
        record["object"] = {"number": number}
        lines[at], _ = sealed(record, before)
        put_back(files, lines)
        fault = verify(Path(folder) / FOLDER).fault
        assert fault is not None
        assert (fault.seq, fault.kind) == (at + 1, "changed")


@given(text=texts, seq=st.integers(0, 10**17))
def test_no_text_ends_a_line_or_reaches_a_terminal(text: str, seq: int) -> None:
    line, link = sealed({"act": bounded(text)}, Start(seq))
    assert line.count(b"\n") == 1
    assert all(0x20 <= byte < 0x7F for byte in line[:-1])
    record = opened(line[:-1])
    assert record is not None
    assert record["act"] == bounded(text)
    assert link == Start(seq + 1, record["hash"])


def test_a_line_is_checked_with_a_hash_program_alone() -> None:
    line, link = sealed({"act": "a"}, Start())
    body = line[:-1].decode().replace(f',"hash":"{link.hash}"', "")
    assert hashlib.sha256(body.encode()).hexdigest() == link.hash


@given(value=st.recursive(texts | st.binary() | st.integers(), st.lists, max_leaves=9))
def test_what_is_written_is_bounded(value: object) -> None:
    json.dumps(bounded(value))
    assert len(bounded("x" * 10_000)) == TEXT_MAX
    assert len(bounded(list(range(10_000)))) == TEXT_MAX
