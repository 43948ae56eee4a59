"""Names and rows of a directory, of any bytes, in their order: as a look at each one says."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from fustor_core.files import names as names_of
from fustor_core.files.listing import row_of
from fustor_core.files.names import entries, in_order
from fustor_core.files.stats import MOST, Stats

# Where texts and their bytes might be in another order: surrogates are what is no UTF-8 as text.
ODD = [b"\xff", b"\x80z", b"\xed\xb2\x80", b"\xc3", b"a\xffb", *(
    chr(point).encode() for point in (0x7F, 0xE9, 0x7FF, 0x800, 0xD7FF, 0xE000, 0xFFFF, 0x10000)
)]  # fmt: skip


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_names_of_any_bytes_come_in_the_order_of_their_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    monkeypatch.setattr(names_of, "_IN_ORDER", encoding)
    dice = random.Random(7)
    for number in range(40):
        folder = os.fsencode(tmp_path / str(number))
        os.mkdir(folder)
        plain = [b"f%d" % dice.randrange(99) for _ in range(dice.randrange(20))]
        odd = [dice.choice(ODD) + dice.choice(ODD) for _ in range(number % 8)]
        for name in {*plain, *odd}:
            os.close(os.open(folder + b"/" + name, os.O_CREAT))
        fd = os.open(folder, os.O_RDONLY)
        try:
            wanted = sorted({*plain, *odd})
            assert in_order(fd) == (wanted, b"\0".join(wanted))
            assert sorted(entries(fd)) == wanted
        finally:
            os.close(fd)


def test_rows_of_many_are_what_a_look_at_each_says(tmp_path: Path) -> None:
    dice = random.Random(7)
    names = sorted(b"%06d" % i for i in range(MOST))
    for number, name in enumerate(names):
        path = os.fsencode(tmp_path) + b"/" + name
        if number % 50 == 0:
            os.mkdir(path)
            continue
        os.close(os.open(path, os.O_CREAT))
        os.truncate(path, dice.randrange(1 << 40))
        os.utime(path, ns=(0, dice.randrange(1 << 60)))
        os.chmod(path, dice.randrange(0o1000))
        if os.geteuid() == 0:
            os.chown(path, dice.randrange(1 << 31), dice.randrange(1 << 31))
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        stats = Stats()
        for some in (names, names[:7], names[-1:]):
            seen = stats.rows(fd, some)
            assert seen == b"".join(row_of(os.lstat(name, dir_fd=fd)) for name in some)
        assert stats.rows(fd, [*names[:3], b"gone"]) is None
        stats.rows(fd, names)
        folders = names[::50]
        sights = stats.sights(names, bytes(name in folders for name in names))
        for name in folders:
            st = os.lstat(name, dir_fd=fd)
            sight = sights.pop(name)
            said = (sight.ino, sight.mode, sight.ctime_ns, sight.dev)
            assert said == (st.st_ino, st.st_mode, st.st_ctime_ns, st.st_dev)
        assert not sights
    finally:
        os.close(fd)
