"""A fusion server that is killed again and again, and what its clients know of it."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.hosts.world import END_S, LOOK_S, START_S, VIEW, Host, free_port

from .pushing import Pusher
from .tracing import KINDS, Boundary, Traced
from .warm import WarmHost

CONFIG = """\
version: 1
views: {{{view}: {{driver: file}}}}
receivers: {{main: {{driver: http, listen: ["unix", "127.0.0.1:{port}"]}}}}
"""
CHECKPOINT_S = 2.5  # a server that has something to keep has kept it by then
KILLED = -9
MORE = 4
CHECKED = 3  # one run in so many begins with a look at the whole view
REACHED = 0.9  # of the calls that a run made when nobody killed it


@dataclass(frozen=True)
class Mode:
    """How a run goes, and its share of all kills.

    Attributes:
        batches: of each client. early: boundaries count from the first call of the process, not
            from when it listens. rest: a checkpoint is waited for. stops: it is ended cleanly.
    """

    name: str
    share: float
    batches: int
    early: bool = False
    rest: bool = False
    stops: bool = False


MODES = (
    Mode("pushed", 0.9, 60),
    Mode("started", 0.03, 3, early=True),
    Mode("stopped", 0.05, 6, stops=True),
    Mode("checkpoint", 0.02, 6, rest=True),
)


class Campaign:
    """One server on one home, and its clients; a context manager.

    Attributes:
        killed: how often at a boundary. missed: how often a run ended before it.
        verified: how often the view was held against what was acknowledged. lost: what it lacked.
        points: where it was killed, by mode and system call.
    """

    def __init__(self, folder: Path, clients: int = 2) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        config = folder / "fusion.yaml"
        config.write_text(CONFIG.format(view=VIEW, port=self.port))
        self.host = WarmHost(folder / "home", "fusion", "-c", str(config))
        self.traced = Traced(self.host, folder / "trace")
        self.killed: Counter[str] = Counter()
        self.missed = self.verified = self.runs = self.lost = 0
        self.points: dict[str, set[int]] = defaultdict(set)
        self.host.begin()
        key = str(self.host.told("key", "create", "--scope", "push")["key"])
        self.clients = [Pusher(self.port, key, f"c{number}") for number in range(clients)]
        self.clients[0].lists_root = True
        for client in self.clients:
            client.push(1)
        self.check()
        assert self.host.stop() == 0, self.host.tail()

    def __enter__(self) -> Campaign:
        return self

    def __exit__(self, *exc: object) -> None:
        for client in self.clients:
            client.close()
        self.traced.end()
        self.host.close()

    # ---- runs

    def counts(self, mode: Mode) -> Counter[str]:
        """What such a run does, when nobody kills it."""
        assert not self._run(mode), self.host.tail()
        if self.traced.runs:
            assert self.traced.stop() == 0, self.host.tail()
        return self.traced.counts()

    def kill_at(self, mode: Mode, boundary: Boundary) -> None:
        """One run that is killed there; the next one finds what it left."""
        killed = self._run(mode, *boundary.words)
        if not killed and self.traced.runs:
            code = self.traced.stop()
            assert code in (0, KILLED), f"it ended with {code}: {self.host.tail()}"
            killed = code == KILLED  # on its way down
        self.killed[mode.name] += killed
        if killed:
            self.points[f"{mode.name} {boundary.kind}"].add(boundary.nth)
        self.missed += not killed

    def _run(self, mode: Mode, *words: str) -> bool:
        """Whether it was killed."""
        if mode.early:
            self.traced.launch(*words)
        else:
            self.host.launch()
        self.runs += 1
        if self._listens():
            if not self.runs % CHECKED:
                self.check()
            if not mode.early:
                self.traced.attach(*words)
            self._push(mode, int(bool(words)) * MORE)
        if self.traced.runs and not mode.stops and not self._dying():
            return False
        code = self.traced.stop() if mode.stops and self.traced.runs else self.traced.wait()
        assert code in (0, KILLED), f"it ended with {code}: {self.host.tail()}"
        return code == KILLED

    def _dying(self) -> bool:
        """Its clients were cut off: it is on its way down."""
        return not self._accepts()

    def _listens(self) -> bool:
        assert self.host.process is not None
        begun = time.monotonic()
        while self.host.process.poll() is None:
            if self._accepts():
                return True
            assert time.monotonic() - begun < START_S, self.host.tail()
            time.sleep(LOOK_S / 5)  # between two looks at another process
        return False

    def _accepts(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=END_S):
                return True
        except OSError:
            return False

    def _push(self, mode: Mode, more: int) -> None:
        """Push what belongs to the mode, and `more` times as much while it is not killed."""
        self._at_once(mode.batches)
        if mode.rest:
            begun = time.monotonic()
            while self.traced.runs and time.monotonic() - begun < CHECKPOINT_S:
                time.sleep(LOOK_S)  # until it has made a checkpoint, or died of it
        while more and not mode.stops and self.traced.runs and not self._dying():
            self._at_once(mode.batches)
            more -= 1

    def _at_once(self, batches: int) -> None:
        failed: list[AssertionError] = []

        def push(client: Pusher) -> None:
            try:
                client.push(batches)
            except AssertionError as why:
                failed.append(why)

        threads = [threading.Thread(target=push, args=(client,)) for client in self.clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failed, failed[0]

    def fails(self, mode: Mode, *words: str) -> int | None:
        """One run under strace with these words; its exit code, None when it was stopped after it.

        What its clients are refused is no fault.
        """
        if mode.early:
            self.traced.launch(*words)
        else:
            self.host.launch()
        if self._listens():
            if not mode.early:
                self.traced.attach(*words)
            self._push(mode, 0)
        if self.traced.runs and not self._dying():
            assert self.traced.stop() == 0, self.host.tail()
            return None
        return self.traced.wait()

    # ---- what must be there

    def check(self) -> None:
        """The view has all that was acknowledged; nothing is said when the server dies of it."""
        try:
            view = self.view()
        except (OSError, httpx.HTTPError, IndexError, ValueError):
            if self._dying():
                return
            raise
        known = {path for c in self.clients for path in [*c.sure, *self._under_way(c)]}
        strange = {path for path in view if not _folder(path)} - known
        found = [f"{sorted(strange)[:5]}: nobody pushed that"] if strange else []
        lost = [fault for client in self.clients for fault in client.faults(view)]
        self.lost += len(lost)
        found += lost
        assert not found, "\n".join([*found[:10], self.host.tail()])
        self.verified += 1

    @staticmethod
    def _under_way(client: Pusher) -> dict[str, Any]:
        return client.under_way.changes if client.under_way else {}

    def view(self) -> dict[str, int]:
        """Path → size of every file, as the server tells it."""
        entries, _ = self.host.entries(VIEW)
        return {e["path"]: e["size"] for e in entries if e["type"] == "file"}

    def finish(self) -> None:
        """A run that nobody kills: all is there, and the journal by itself gives the same view."""
        self.host.begin()
        self.check()
        self._at_once(3)
        self.check()
        entries = self._entries(self.host)
        assert self.host.stop() == 0, self.host.tail()
        copied = self.folder / "journal-alone"
        shutil.copytree(self.host.home, copied, ignore=shutil.ignore_patterns("packs.*", "*.sock"))
        again = Host(copied, *self.host.words)
        try:
            again.begin()
            found = self._entries(again)
            differ = [(a, b) for a, b in zip(entries, found, strict=False) if a != b]
            assert found == entries, f"the journal gives another view: {differ[:3]}"
        finally:
            again.end()

    @staticmethod
    def _entries(host: Host) -> list[dict[str, Any]]:
        entries, _ = host.entries(VIEW)
        for entry in entries:  # whether anybody feeds it now is no part of the state
            entry["flags"] = [flag for flag in entry["flags"] if flag != "stale"]
        return sorted(entries, key=lambda entry: str(entry["path"]))


def _folder(path: str) -> bool:
    return "-dir" in path and path.count("/") == 1


def boundaries(
    campaign: Campaign, wanted: int, done: Mapping[str, set[int]]
) -> Iterator[tuple[Mode, Boundary]]:
    """So many of all that there are, spread evenly over modes, kinds and numbers.

    Args:
        done: numbers by mode and system call, which are left out as long as there are others.
    """
    for mode in MODES:
        counts = campaign.counts(mode)
        there = [
            Boundary(kind, nth)
            for nth in range(1, max(counts.values()) + 1)
            for kind in KINDS
            if nth <= counts[kind] * REACHED
        ]
        fresh = [one for one in there if one.nth not in done.get(f"{mode.name} {one.kind}", ())]
        there = fresh if len(fresh) >= wanted * mode.share else there
        share = min(len(there), max(1, round(wanted * mode.share)))
        for number in range(share):
            yield mode, there[number * len(there) // share]
