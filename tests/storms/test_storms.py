"""Storms against a live program: afterwards the view equals the tree in every field."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .live import Program
from .oracle import differences, told, told_rollups
from .weather import Storm

pytestmark = pytest.mark.storms

SENTINEL_S = 5.0
HEARTBEAT_S = 2.0
SECOND_LOOK_S = 5.0
BACKOFF_S = 4.0
PARTS = 8
QUEUES = Path("/proc/sys/fs")
QUEUE_USUAL = "16384"
CONFIG = """\
version: 1
pipes:
  storm:
    source: {{driver: fs, root: "{root}", watch: {way}}}
    sink: {{driver: view, view: storm}}
    audit_interval_sec: 0
    sentinel_interval_sec: {sentinel}
    heartbeat_interval_sec: {heartbeat}
    error_retry_interval: 1
    max_backoff_seconds: {backoff}
views:
  storm:
    driver: file
    mass_delete_guard: {{second_look: {second_look}}}
    audit_interval_sec: 0
    sentinel_interval_sec: {sentinel}
"""
# What may still be owed after the last operation: a drained queue and its batch, then looks that
# only the sentinel makes: those of one round, and those that they lead to; a frozen removal waits
# for its second look, a pipe whose root is away for its next try.
BOUND_S = 10 + SECOND_LOOK_S + BACKOFF_S + 6 * (SENTINEL_S + HEARTBEAT_S)


class Place:
    """A tree, a place beside it that nobody watches, and a program that watches."""

    def __init__(self, folder: Path, seed: int, way: str) -> None:
        self.root, self.outside = folder / "tree", folder / "outside"
        self.root.mkdir()
        self.outside.mkdir()
        self.storm = Storm(self.root, self.outside, seed)
        self.storm.run(500)
        config = folder / "storm.yaml"
        text = CONFIG.format(
            root=self.root,
            way=way,
            sentinel=SENTINEL_S,
            heartbeat=HEARTBEAT_S,
            second_look=SECOND_LOOK_S,
            backoff=BACKOFF_S,
        )
        config.write_text(text)
        self.program = Program(folder / "home", "run", "-c", str(config), "--no-progress")

    def rage(self, operations: int) -> None:
        """Storm in parts; behind each one wait until all of it was looked at, not until it fits."""
        for part in range(PARTS):
            self.storm.run(operations // PARTS)
            cookie = self.root / f"cookie-{self.storm.done}-{part}"
            cookie.touch()
            deadline = time.monotonic() + BOUND_S
            while self.program.existence("storm", cookie.name) != "present":
                assert time.monotonic() < deadline, "the cookie is not seen"
            self.seen()

    def seen(self) -> None:
        """The storm may take names away from inodes of which the view knows the new ones."""
        with self.program.client() as client:

            def looked_at(path: bytes, inode: int) -> bool:
                named = {"path_b64": base64.b64encode(path).decode()}
                entry = client.get("/views/storm/stat", params=named).json()["entry"]
                return entry is not None and bool(entry["ino"] == inode)

            self.storm.seen(looked_at)

    def differences(self) -> list[str]:
        """How view and tree differ now, rollups included."""
        return self.program.differences("storm", self.root)

    def settles(self) -> None:
        """Within the bound the view equals the tree."""
        deadline = time.monotonic() + BOUND_S
        while found := self.differences():
            text = "\n".join(found)
            late = f"after {BOUND_S} s:\n{text}\n{self.program.tail()}"
            assert time.monotonic() < deadline, late


@pytest.fixture
def place(tmp_path: Path, seed: int, way: str) -> Iterator[Place]:
    place = Place(tmp_path, seed, way)
    try:
        yield place
    finally:
        place.storm.calm()
        place.program.stop()


@pytest.fixture
def short_queue(way: str) -> Iterator[int]:
    """The kernel's queue is short, so that it overflows."""
    queue = QUEUES / way / "max_queued_events"
    before = max(queue.read_text(), QUEUE_USUAL, key=int)  # a run that was killed leaves it short
    try:
        queue.write_text("256")
    except OSError as err:
        pytest.skip(f"the queue cannot be made short here: {err}")
    try:
        yield 256
    finally:
        queue.write_text(before)


def test_the_view_equals_the_tree_after_a_storm(place: Place, operations: int) -> None:
    place.program.start()
    place.rage(operations)
    place.storm.calm()
    place.settles()
    assert place.program.stop() == 0


def test_the_view_equals_the_tree_after_overflows(
    short_queue: int, place: Place, operations: int
) -> None:
    place.program.start()
    place.storm.run(operations)
    place.storm.calm()
    place.settles()


def test_the_view_equals_the_tree_after_kills(place: Place, operations: int) -> None:
    place.program.start()
    for _ in range(4):
        place.rage(operations // 5)
        place.program.kill()
        place.storm.run(operations // 100)
        place.program.start()
        place.seen()
    place.rage(operations // 5)
    place.storm.calm()
    place.settles()


def test_answers_stay_when_the_program_is_killed_and_the_tree_is_away(
    place: Place, operations: int
) -> None:
    """Every acknowledged entry is answered after kill -9 with the tree out of reach, as stale.

    Another directory stands at its path, as under a mount point whose disk is gone.
    """
    place.program.start()
    place.rage(operations // 10)
    place.storm.calm()
    place.settles()
    before, _ = place.program.entries("storm")
    place.program.kill()
    away = place.root.with_name("away")
    place.root.rename(away)
    place.root.mkdir()
    program = place.program
    program.start(scanned=False)
    after, quality = program.entries("storm")
    assert not differences(told(before), told(after))
    assert not differences(told_rollups(before), told_rollups(after))
    assert quality["stale"]
    place.root.rmdir()
    away.rename(place.root)
    place.settles()
    assert program.stop() == 0
