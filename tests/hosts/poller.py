"""Questions through a whole journey: each is answered, never empty, and says how good.

The tree holds files that nobody touches; an answer that lacks one of them is a fault.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

from fustor_core.state import socket_address
from tests.storms.live import BASE, Program

HZ = 10.0
ANSWER_S = 5.0
FAULTS_MOST = 20


@dataclass(frozen=True)
class Sample:
    """What one round was told.

    Attributes:
        at: when, monotonic seconds. leader: session id, or None.
    """

    at: float
    complete: bool
    stale: bool
    epoch: int
    age_s: float
    leader: str | None
    sessions: int
    files: int


class Poller:
    """Asks a fusion server's socket until it is ended; a context manager.

    Args:
        anchors: view paths that are there, whatever happens.
        tails: what is told of all processes beside a fault. hz: rounds in a second.
    """

    def __init__(
        self,
        fusion: Program,
        view: str,
        anchors: list[str],
        tails: Callable[[], str],
        hz: float = HZ,
    ) -> None:
        self._pause_s = 1 / hz
        self.fusion = fusion
        self.view = view
        self.anchors = anchors
        self._tails = tails
        self.samples: list[Sample] = []
        self.faults: list[str] = []
        self.asked = 0
        self.slowest_s = 0.0
        self._first = threading.Event()
        self._over = threading.Event()
        self._away = threading.Event()
        self._still = threading.Event()
        self._thread = threading.Thread(target=self._run, name="poller", daemon=True)

    def __enter__(self) -> Poller:
        self._thread.start()
        assert self._first.wait(4 * ANSWER_S), "no answer to the first questions"
        return self

    def __exit__(self, kind: object, *rest: object) -> None:
        self._over.set()
        self._thread.join(4 * ANSWER_S)
        if kind is None:
            self.check()

    def check(self) -> None:
        """Nothing was wrong until now.

        Raises:
            AssertionError: with all that was.
        """
        assert not self.faults, "\n".join([*self.faults, self._tails()])
        assert self.samples, "not one round of questions was answered"

    def away(self) -> None:
        """The server is going to be ended: ask no more; returns when no question is open."""
        self._still.clear()
        self._away.set()
        assert self._still.wait(4 * ANSWER_S), "a question was never answered"

    def back(self) -> None:
        """It is there again."""
        self._away.clear()

    def since(self, at: float) -> list[Sample]:
        """The rounds from a moment on."""
        return [sample for sample in self.samples if sample.at >= at]

    def never_stale(self) -> None:
        """At every moment somebody fed the view.

        Raises:
            AssertionError: with the turns of events.
        """
        told, last = [], None
        begun = self.samples[0].at
        for sample in self.samples:
            now = (sample.stale, sample.sessions, sample.leader, sample.epoch)
            if now != last:
                told.append(f"{sample.at - begun:6.1f} s: stale, sessions, leader, epoch = {now}")
                last = now
        assert not any(sample.stale for sample in self.samples), "\n".join([*told, self._tails()])

    # ---- asking

    def _run(self) -> None:
        while not self._over.is_set():
            if self._away.is_set():
                self._still.set()
                self._over.wait(self._pause_s)
                continue
            self._ask_until_away()

    def _ask_until_away(self) -> None:
        with socket_address(self.fusion.home / "fusion" / "api.sock") as uds:
            transport = httpx.HTTPTransport(uds=uds, verify=False)
            with httpx.Client(transport=transport, base_url=BASE, timeout=ANSWER_S) as client:
                due = time.monotonic()
                while not self._over.is_set() and not self._away.is_set():
                    try:
                        self._round(client)
                    except (httpx.HTTPError, KeyError, TypeError, ValueError) as error:
                        self._wrong(f"{type(error).__name__}: {error}")
                    self._first.set()
                    due = max(due + self._pause_s, time.monotonic())
                    self._over.wait(due - time.monotonic())

    def _round(self, client: httpx.Client) -> None:
        at = time.monotonic()
        status = self._get(client, "/status")
        of_view = next((v for v in status.get("views", ()) if v["view"] == self.view), None)
        if of_view is None:
            self._wrong(f"status does not tell of {self.view}: {status}")
            return
        where = f"/views/{self.view}"
        listing = self._get(client, f"{where}/ls", path="/", limit=10_000)
        names = {f"/{entry.get('name')}" for entry in listing["entries"]}
        lacking = [path for path in self.anchors if path.count("/") == 1 and path not in names]
        if lacking:
            self._wrong(f"ls lacks {lacking}: {sorted(names)[:20]} {listing['quality']}")
        for path in self.anchors:
            told = self._get(client, f"{where}/stat", path=path)
            if told["existence"] != "present":
                self._wrong(f"{path} is {told['existence']}: {told['quality']}")
        du = self._get(client, f"{where}/du", path="/")
        if du["rollup"]["files"] + du["rollup"]["dirs"] < len(self.anchors):
            self._wrong(f"du lacks some: {du}")
        self._note(at, of_view, du)

    def _note(self, at: float, of_view: dict[str, Any], du: dict[str, Any]) -> None:
        quality, leader = du["quality"], of_view["leader"]
        if quality["complete"] and quality["unscanned_total"] and not _by_choice(quality):
            self._wrong(f"complete, and yet unscanned: {quality}")
        sample = Sample(
            at=at,
            complete=quality["complete"],
            stale=bool(quality["stale"]),
            epoch=quality["epoch"],
            age_s=quality["age_s"],
            leader=leader["session_id"] if leader else None,
            sessions=of_view["sessions"],
            files=du["rollup"]["files"],
        )
        if self.samples and sample.epoch < self.samples[-1].epoch:
            self._wrong(f"the epoch fell from {self.samples[-1].epoch} to {sample.epoch}")
        self.samples.append(sample)

    def _get(self, client: httpx.Client, where: str, **params: Any) -> dict[str, Any]:
        begun = time.monotonic()
        reply = client.get(where, params=params)
        self.asked += 1
        self.slowest_s = max(self.slowest_s, time.monotonic() - begun)
        if reply.status_code != 200:
            raise ValueError(f"{where} {params}: {reply.status_code} {reply.text[:500]}")
        document: dict[str, Any] = reply.json()
        return document

    def _wrong(self, text: str) -> None:
        if len(self.faults) < FAULTS_MOST:
            self.faults.append(text)


def _by_choice(quality: dict[str, Any]) -> bool:
    chosen = ("excluded", "other_device")
    return all(gap["reason"] in chosen for gap in quality["unscanned"])
