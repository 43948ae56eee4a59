"""The peer by name: Fustor 0.8.17 from the public index, on the same tree in the same run.

It lives in an environment of its own (`nox -s bench` makes one), as its packages are named like
ours. Its limit on answers is lifted, and its sentinel and audits are put off, as for our scans.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fustor_core.bench import gauges
from fustor_core.bench.corpus import Corpus
from fustor_core.bench.report import Figure, Report

VIEW, KEY, READ_KEY = "bench", "push-key", "read-key"
READY_S_MAX = 900.0
START_S_MAX = 60.0
LOOK_S = 0.25  # between two questions to a server that tells nobody when it is done
ASKED = 50
STOP_S = 20.0
MS, MICRO = 1e3, 1e6


class Earlier:
    """Its server and its agent, each a process of its own.

    Args:
        commands: folder with ``fustor-agent`` and ``fustor-fusion``. folder: for both homes.
        root: what the agent watches.
    """

    def __init__(self, commands: Path, folder: Path, root: Path) -> None:
        self._commands, self._folder = commands, folder
        self._ports = [_free_port() for _ in range(2)]
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        fusion = {
            "host": "127.0.0.1",
            "port": self._ports[0],
            "receivers": {
                "main": {
                    "driver": "http",
                    "bind_host": "127.0.0.1",
                    "port": self._ports[1],
                    "api_keys": [{"key": KEY, "pipe_id": "p"}],
                }
            },
            "views": {
                VIEW: {
                    "driver": "fs",
                    "api_keys": [READ_KEY],
                    "driver_params": {"max_tree_items": 0},
                }
            },
            "pipes": {
                "p": {
                    "receiver": "main",
                    "views": [VIEW],
                    "audit_interval_sec": 0,
                    "sentinel_interval_sec": 0,
                }
            },
        }
        agent = {
            "sources": {"t": {"driver": "fs", "uri": str(root), "max_queue_size": 1_000_000}},
            "senders": {
                "f": {
                    "driver": "fusion",
                    "uri": f"http://127.0.0.1:{self._ports[1]}",
                    "credential": {"key": KEY},
                }
            },
            "pipes": {"p": {"source": "t", "sender": "f"}},
        }
        for name, document in (("fusion", fusion), ("agent", agent)):
            place = folder / name / f"{name}-config"
            place.mkdir(parents=True)
            (place / "default.yaml").write_text(json.dumps(document), "utf-8")

    def __repr__(self) -> str:
        return f"<Earlier {', '.join(self._processes)}>"

    def start(self, name: str) -> None:
        """``fusion`` or ``agent``."""
        home = self._folder / name
        with (home / "log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [self._commands / f"fustor-{name}", "start"],
                env={**_clean(), "FUSTOR_HOME": str(home)},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def end(self) -> None:
        """Both of them."""
        for process in self._processes.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                try:
                    process.wait(STOP_S)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def cpu_s(self, name: str) -> float:
        """CPU time of one of them."""
        return gauges.cpu_s(self._processes[name].pid)

    def pss_bytes(self, name: str) -> int:
        """Memory of one of them."""
        return gauges.pss_bytes(self._processes[name].pid)

    def ask(self, place: str) -> tuple[int, Any]:
        """(status, document) of a question about the view; status 0: no answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self._ports[0], timeout=120)
        try:
            address = f"/api/v1/views/{VIEW}/{place}"
            connection.request("GET", address, headers={"X-API-Key": READ_KEY})
            reply = connection.getresponse()
            body = reply.read()
            return reply.status, json.loads(body) if body[:1] in b"{[" else None
        except (OSError, http.client.HTTPException):
            return 0, None
        finally:
            connection.close()

    def tail(self) -> str:
        """The ends of both logs."""
        logs = [self._folder / name / "log" for name in self._processes]
        return "\n".join(log.read_text("utf-8", "replace")[-1500:] for log in logs)


def measure(report: Report, section: str, corpus: Corpus, folder: Path, commands: Path) -> None:
    """Its scan into its view, its memory and its answers; what it cannot do is a note.

    Args:
        folder: for its homes. commands: ``bin`` of its environment.
    """
    home = folder / "earlier"
    with ExitStack() as held:
        peer = Earlier(commands, home, corpus.root)
        held.callback(peer.end)
        peer.start("fusion")
        if not _until(lambda: peer.ask("stats")[0] > 0, START_S_MAX):
            report.note(f"Fustor 0.8.17 does not answer: {peer.tail()}")
            return
        before = peer.cpu_s("fusion"), peer.pss_bytes("fusion")
        peer.start("agent")
        files = corpus.plan.whole.files

        def whole() -> bool:
            status, told = peer.ask("stats")
            return status == http.client.OK and (told or {}).get("total_files") == files

        if not _until(whole, READY_S_MAX):
            report.note(f"Fustor 0.8.17 has not taken {files:,} files in: {peer.ask('stats')[1]}")
            return
        agent_s = peer.cpu_s("agent")
        server_s = peer.cpu_s("fusion") - before[0]
        memory = peer.pss_bytes("fusion") - before[1]
        _tell_scan(report, section, files, agent_s, server_s, memory)
        _tell_answers(report, section, corpus, peer)


def _tell_scan(
    report: Report, section: str, files: int, agent_s: float, server_s: float, memory: int
) -> None:
    told = f"Fustor 0.8.17, {section}"
    report.add(
        told,
        Figure("scan + send, by CPU of the agent", "k files/s", [files / agent_s / MS]),
        Figure("fresh rows, by CPU of the server", "k rows/s", [files / server_s / MS]),
        Figure("memory for each file", "B", [memory / files]),
    )
    report.earlier |= {
        "scan-send": f"{files / agent_s / MS:.3g} k files/s",
        "scan-view": f"{files / (agent_s + server_s) / MS:.3g} k files/s",
        "ingest": f"{files / server_s / MICRO:.2g} M rows/s",
        "memory": f"{memory / files:.0f} B",
        "audit": "all of it again",
        "restart": "all of it again",
    }


def _tell_answers(report: Report, section: str, corpus: Corpus, peer: Earlier) -> None:
    """Its nearest questions to ours: one node, a listing, its totals, its search by glob."""
    dice = random.Random(corpus.plan.seed)
    full = [folder for folder in corpus.plan.folders if folder.names]
    around = sorted(full, key=lambda folder: abs(len(folder.names) - 100))[:20]
    files = [folder.below(dice.choice(folder.names)) for folder in dice.choices(full, k=ASKED)]

    def of(path: bytes, depth: int) -> str:
        place = quote(path.decode())
        return f"tree?path={place}&recursive={'true' if depth else 'false'}&max_depth={depth}"

    kinds = {
        "stat": [of(path, 0) for path in files],
        "ls": [of(dice.choice(around).path, 1) for _ in range(ASKED)],
        "du": ["stats"] * 5,
        "glob": ["search?pattern=*.no-such-suffix"] * 3,
    }
    for row, questions in kinds.items():
        times_ms = []
        for question in questions:
            began = time.perf_counter()
            status, _ = peer.ask(question)
            times_ms.append((time.perf_counter() - began) * MS)
            if status != http.client.OK:
                report.note(f"Fustor 0.8.17 answers {question} with {status}")
                break
        else:
            middle = gauges.median(times_ms)
            report.add(f"Fustor 0.8.17, {section}", Figure(f"{row}, p50", "ms", [middle]))
            report.earlier[row] = f"{middle:.3g} ms"


def _until(holds: Any, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_S)
    return True


def _clean() -> dict[str, str]:
    """This environment without what would lead its Python to our packages."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
