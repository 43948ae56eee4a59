"""The writers of `fustor bench events`: every file, on time, and no bursts."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from fustor_core.bench import events

LIMIT_S = 30.0


def written(folder: Path, rate: int, files: int, writers: int = 1) -> list[tuple[str, int, int]]:
    """What writers in threads of their own tell, by time."""
    for number in range(events.FOLDERS):
        (folder / f"d{number:03d}").mkdir(exist_ok=True)
    outs = [folder / f"closes-{n}" for n in range(writers)]
    threads = [
        threading.Thread(
            target=events.write, args=(folder, rate, files / rate, writers, n, out), daemon=True
        )
        for n, out in enumerate(outs)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT_S)
        assert not thread.is_alive(), "a writer goes on for ever"
    told = [json.loads(line) for out in outs for line in out.open("rb")]
    return sorted(told, key=lambda one: one[2])


@pytest.mark.parametrize(("rate", "files", "writers"), [(50, 8, 1), (100, 10, 1), (900, 30, 4)])
def test_every_file_is_written_at_any_rate(
    tmp_path: Path, rate: int, files: int, writers: int
) -> None:
    told = written(tmp_path, rate, files, writers)
    assert len({path for path, _, _ in told}) == files
    assert all((tmp_path / path[1:]).stat().st_size == size for path, size, _ in told)


def test_who_was_held_up_makes_no_burst(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file takes as long as three may: what is late is not made up for at the end."""
    rate, files = 1000, 60
    usual, slow_until = os.open, files // 2

    def slow(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if flags & os.O_CREAT and int(path.rpartition("_")[2][:6]) < slow_until:
            held_up.wait(3 / rate)
        return usual(path, flags, mode, dir_fd=dir_fd)

    held_up = threading.Event()
    monkeypatch.setattr(os, "open", slow)
    told = written(tmp_path, rate, files)
    monkeypatch.undo()
    after = [at_ns for _, _, at_ns in told[slow_until:]]
    allowed = events.BEHIND_S * rate + 1
    assert (after[-1] - after[0]) / 1e9 >= (len(after) - 1 - allowed) / rate
