"""Secrets that are planted everywhere are found in no file, frame, log, metric or answer."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from websockets.sync.client import unix_connect

from fustor_core.client import Client

LIMIT_S = 60.0
COMMAND = [sys.executable, "-m", "fustor_core"]
IN_URL = "planted-in-a-url-8c1f"
IN_FILE = "fst_planted_in-a-file-77aa55cc"
IN_CONFIG = "fst_planted_in-the-config-d0d0"
IN_VARIABLE = "planted-in-a-variable+/=99"
IN_ENVIRONMENT = "planted-in-the-environment-41"
OF_OLD = "planted-key-of-the-earlier-system"
GUESSED = "fst_planted_a-guess-that-is-wrong-1"
STATE_KEY = base64.b64encode(b"planted state key of 32 bytes!!!").decode()
PLANTED = (IN_URL, IN_FILE, IN_CONFIG, IN_VARIABLE, IN_ENVIRONMENT, OF_OLD, GUESSED, STATE_KEY)
CONFIG = """
version: 1
log: {{level: debug}}
views: {{data: {{}}}}
pipes:
  here: {{source: {{driver: fs, root: {tree}}}, sink: {{driver: view, view: data}}}}
  hook:
    source: {{driver: fs, root: {tree}}}
    sink: {{driver: webhook, secret: {in_config}, url: "http://127.0.0.1:{port}/?token={in_url}"}}
  away:
    source: {{driver: fs, root: {tree}}}
    sink: {{driver: fusion, url: "http://127.0.0.1:1", key: "${{file:{key}}}", view: v}}
  refused:
    source: {{driver: fs, root: {tree}}}
    sink: {{driver: fusion, url: "http://127.0.0.1:{port}", key: {in_config}, view: v}}
  variable:
    source: {{driver: fs, root: {tree}}}
    sink: {{driver: fusion, url: "http://127.0.0.1:{port}", key: "${{PUSH_WORD}}", view: v}}
receivers:
  main: {{driver: http, listen: ["unix", "127.0.0.1:0"]}}
  old: {{driver: v08, listen: ["127.0.0.1:0"], view: data, keys: {{one: {of_old}}}}}
state: {{history: {history}{encrypted}}}
"""


class Echo(BaseHTTPRequestHandler):
    """Refuses, and says back whatever it was sent, as some servers do."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        told = f"no: {self.path} {self.headers} {body[:200]!r}".encode()
        self.send_response(500)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, *args: Any) -> None:
        """Says nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    """Of a server that says back what it gets."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join(LIMIT_S)


def forms(secret: str) -> set[str]:
    """A secret as it may stand somewhere."""
    raw = secret.encode()
    coded = {base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode(), raw.hex()}
    return {secret, quote(secret, safe=""), json.dumps(secret)[1:-1], *coded}


def found_in(name: str, text: str, secrets: dict[str, str]) -> list[str]:
    return [
        f"{what} in {name}" for what, one in secrets.items() if any(f in text for f in forms(one))
    ]


class Site:
    """A program with secrets all over, and everything that it lets out."""

    def __init__(self, folder: Path, port: int, *, encrypted: bool) -> None:
        self.folder, self.home, self.history = folder, folder / "home", folder / "history"
        self.config, self.log = folder / "fustor.yaml", folder / "log"
        self.told: dict[str, str] = {}
        tree, key = folder / "tree", folder / "push.key"
        tree.mkdir()
        (tree / "file").write_text("x")
        key.write_text(IN_FILE)
        key.chmod(0o600)
        sealed = ", encryption_key: env:STATE_WORD" if encrypted else ""
        places = {"tree": tree, "key": key, "history": self.history, "encrypted": sealed}
        words = {"port": port, "in_url": IN_URL, "in_config": IN_CONFIG, "of_old": OF_OLD}
        self.config.write_text(CONFIG.format(**places, **words))
        self.environment = {
            **os.environ,
            "PUSH_WORD": IN_VARIABLE,
            "STATE_WORD": STATE_KEY,
            "SOME_API_TOKEN": IN_ENVIRONMENT,
        }

    def run(self, *words: str) -> str:
        """What a command says, on both streams."""
        done = subprocess.run(
            [*COMMAND, "--home", str(self.home), *words],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            env=self.environment,
            check=False,
        )
        assert "Traceback" not in done.stderr
        self.told[f"fustor {' '.join(words)}"] = done.stdout + done.stderr
        return done.stdout

    def start(self) -> subprocess.Popen[bytes]:
        with self.log.open("wb") as log:
            return subprocess.Popen(
                [*COMMAND, "--home", str(self.home), "run", "-c", str(self.config)],
                stdout=log,
                stderr=log,
                env=self.environment,
            )

    def until_ready(self, process: subprocess.Popen[bytes]) -> None:
        """Views are scanned, and each pipe that cannot deliver has said so."""
        until_s = time.monotonic() + LIMIT_S
        while time.monotonic() < until_s:
            assert process.poll() is None, self.log.read_text()
            text = self.log.read_text()
            ready = '"event": "ready"' in text and '"view": "data"' in text
            if ready and all(f"pipe {name}: " in text for name in ("hook", "away", "refused")):
                return
            time.sleep(0.1)
        raise AssertionError(self.log.read_text())

    def watch(self) -> str:
        """The first frames of the live state, and those that follow from an act."""
        frames = []
        path = str(self.home / "fusion" / "api.sock")
        with unix_connect(path, "ws://localhost/api/v1/state/ws") as socket:
            frames.append(str(socket.recv(LIMIT_S)))
            self.run("pipe", "pause", "here")
            frames.append(str(socket.recv(LIMIT_S)))
            self.run("pipe", "resume", "here")
            frames.append(str(socket.recv(LIMIT_S)))
        return "\n".join(frames)

    def use(self, url: str, made: dict[str, str]) -> dict[str, str]:
        """Come in over TCP in each way; the secrets that came of it."""
        secrets = {"a key": made["key"]}
        bearer = {"Authorization": f"Bearer {made['key']}"}
        with httpx.Client(base_url=f"{url}/api/v1", timeout=LIMIT_S) as http:
            self.told["status"] = http.get("/status", headers=bearer).text
            self.told["config"] = http.get("/config", headers=bearer).text
            wrong = {"Authorization": f"Bearer {GUESSED}"}
            self.told["a wrong key"] = http.get("/views", headers=wrong).text
            self.told["a key in the query"] = http.get(f"/views?key={GUESSED}").text
            code = http.post("/login/links", json={}, headers=bearer).json()["code"]
            login = http.post("/login", json={"code": code}).json()
            again = http.post("/login", json={"code": code})
            self.told["a link that is used up"] = again.text
            ticket = http.post("/state/tickets", json={}, headers=bearer).json()["ticket"]
            secrets |= {"a code": code, "a lent key": login["key"], "a ticket": ticket}
            self.told["/metrics"] = http.get(f"{url}/metrics", headers=bearer).text
        return secrets


@pytest.mark.long
@pytest.mark.parametrize("encrypted", [False, True])
def test_what_is_planted_is_found_nowhere(tmp_path: Path, port: int, encrypted: bool) -> None:
    site = Site(tmp_path, port, encrypted=encrypted)
    made = json.loads(site.run("key", "create", "--scope", "read,admin,scan", "--json"))
    site.told.clear()  # its owner is shown it, this once
    process = site.start()
    try:
        site.until_ready(process)
        with Client(f"unix:{site.home}/fusion/api.sock") as client:
            url = next(one for one in client.get("/status")["urls"] if one.startswith("http"))
        secrets = site.use(url, made)
        site.told["frames"] = site.watch()
        for words in (
            "status --json", "doctor --json", "config show --effective", "config show --json",
            "pipe list --json", "pipe show hook", "session list --json", "key list --json",
            "view explain data:/file --json", "view status", "plugin list --json",
            "audit show --json", "log-level --json", "machines check --driven --json",
        ):  # fmt: skip
            site.run(*words.split())
        good = site.config.read_text()
        for bad in (
            good.replace("key: fst_planted", "kei: fst_planted"),
            good.replace(f"key: {IN_CONFIG}", f"key: [{IN_CONFIG}, {IN_CONFIG}]"),
            good.replace("//127.0.0.1:1", f"//me:{IN_URL}@127.0.0.1:1"),
            good.replace(f"keys: {{one: {OF_OLD}}}", f"keys: [{OF_OLD}]"),
            good.replace(f"key: {IN_CONFIG}", f'key: "{IN_CONFIG}'),
        ):
            site.config.write_text(bad)
            site.run("reload")
            site.run("reload", "--json")
            site.run("validate", str(site.config))
            os.kill(process.pid, 1)
        site.config.write_text(good)
        site.run("reload")
        site.run("stop")
        process.wait(LIMIT_S)
    finally:
        process.kill()
        process.wait(LIMIT_S)
    site.run("history", "list", "--json", "--state-history", str(site.history))
    site.run("history", "show", "--json", "--state-history", str(site.history))
    site.told["the log"] = site.log.read_text()
    assert list(site.history.rglob("*.json*")), "there is a history to look into"
    for path in [*site.history.rglob("*"), *site.home.rglob("*")]:
        if path.is_file():
            site.told[str(path.relative_to(tmp_path))] = path.read_bytes().decode("latin-1")
    assert any("audit/acts-" in name for name in site.told)
    secrets |= {one: one for one in PLANTED}
    found = [where for name, text in site.told.items() for where in found_in(name, text, secrets)]
    assert not found, "\n".join(found)
