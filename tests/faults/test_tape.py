"""Disks that are made from what strace has seen."""

from __future__ import annotations

import random
from pathlib import Path

from .power import FATES, Disk
from .tape import calls

SEEDS = 40


def hexed(text: str) -> str:
    """As strace shows strings and paths with `-xx`."""
    return "".join(f"\\x{byte:02x}" for byte in text.encode())


def taped(folder: Path, root: Path, *lines: str) -> Path:
    """A tape; `<p>` in a line is the path p below the root, `"t"` a text."""
    tape = folder / "tape"
    out = []
    for number, line in enumerate(lines):
        parts = line.split("|")
        shown = [
            f'"{hexed(part[1:])}"'
            if part.startswith("~")
            else f'"{hexed(str(root / part[1:]))}"'
            if part.startswith("@")
            else f"<{hexed(str(root / part[1:]))}>"
            if part.startswith("^")
            else part
            for part in parts
        ]
        out.append(f"7 {1000 + number}.5 {''.join(shown)}")
    tape.write_text("\n".join(out) + "\n")
    return tape


def images(folder: Path, tape: Path, root: Path, upto: int) -> dict[str, set[str]]:
    """Path → contents that a cut before that place on the tape can leave; `-` for no such file."""
    found: dict[str, set[str]] = {}
    names: set[str] = set()
    shots: list[dict[str, str]] = []
    for seed in range(SEEDS):
        disk = Disk(root)
        for call in calls(tape):
            if call.ended < upto or (call.begun < upto and "sync" not in call.name):
                disk.does(call)
        at = folder / f"image-{upto}-{seed}"
        disk.image(at, FATES[seed % len(FATES)], random.Random(seed))
        shots.append({p.name: p.read_text() for p in at.rglob("*") if p.is_file()})
        names |= shots[-1].keys()
    for name in names:
        found[name] = {shot.get(name, "-") for shot in shots}
    return found


def test_what_was_synced_is_there_and_the_rest_in_any_part(tmp_path: Path) -> None:
    root = tmp_path / "home"
    root.mkdir()
    (root / "old").write_text("old")
    tape = taped(
        tmp_path,
        root,
        "openat(AT_FDCWD|^|, |@new|, O_RDWR+O_CREAT, 0600) = 3|^new",
        "write(3|^new|, |~first|, 5) = 5",
        "fsync(3|^new|) = 0",
        "openat(AT_FDCWD|^|, |@|, O_RDONLY) = 4|^",
        "fsync(4|^|) = 0",
        "pwrite64(3|^new|, |~FIRST|, 5, 0) = 5",
        "rename(|@old|, |@older|) = 0",
        "fsync(4|^|) = 0",
    )
    assert images(tmp_path, tape, root, 3)["new"] == {"-", "first"}
    assert images(tmp_path, tape, root, 5) == {"old": {"old"}, "new": {"first"}}
    cut = images(tmp_path, tape, root, 7)
    assert cut["new"] == {"first", "FIRST"}
    assert cut["old"] == cut["older"] == {"-", "old"}
    assert images(tmp_path, tape, root, 8) == {"older": {"old"}, "new": {"first", "FIRST"}}


def test_a_call_that_is_cut_in_two_counts_when_it_has_ended(tmp_path: Path) -> None:
    root = tmp_path / "home"
    root.mkdir()
    (root / "file").write_text("old")
    tape = taped(
        tmp_path,
        root,
        "openat(AT_FDCWD|^|, |@file|, O_RDWR) = 3|^file",
        "pwrite64(3|^file|, |~new|, 3, 0) = 3",
        "fdatasync(3|^file| <unfinished ...>",
        "<... fdatasync resumed>) = 0",
    )
    assert images(tmp_path, tape, root, 3)["file"] == {"old", "new"}
    assert images(tmp_path, tape, root, 4)["file"] == {"new"}


def test_what_is_larger_than_a_sector_is_torn(tmp_path: Path) -> None:
    root = tmp_path / "home"
    root.mkdir()
    (root / "file").write_text("-" * 1536)
    tape = taped(
        tmp_path,
        root,
        "openat(AT_FDCWD|^|, |@file|, O_RDWR) = 3|^file",
        f"pwrite64(3|^file|, |~{'x' * 1536}|, 1536, 0) = 1536",
    )
    left = images(tmp_path, tape, root, 2)["file"]
    assert {"-" * 1536, "x" * 1536} < left
    assert all(set(text[at : at + 512]) in ({"-"}, {"x"}) for text in left for at in (0, 512, 1024))
