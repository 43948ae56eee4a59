"""A real HTTP server on loopback: it checks signatures as a receiver should, and can misbehave."""

from __future__ import annotations

import json
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from fustor_sink_webhook import WebhookSink

SECRET = "a-secret-of-both-ends"
README = Path(__file__).parents[1] / "README.md"
LIMIT_S = 20.0
Answer = tuple[int, dict[str, str]]


def verifier() -> Callable[..., bool]:
    """The function that the README tells receivers to use."""
    code = re.search(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    assert code is not None
    names: dict[str, Any] = {}
    exec(code[1], names)
    verify: Callable[..., bool] = names["verify"]
    return verify


class Hook:
    """What was received, and what is answered next.

    Attributes:
        taken: (headers, body) of requests that were answered with success, each key once.
        answers: of the next requests; then success. A status of 0: no answer.
        body_max: larger bodies are answered with 413.
    """

    def __init__(self) -> None:
        self.taken: list[tuple[dict[str, str], bytes]] = []
        self.seen: list[tuple[str, str, int]] = []
        self.answers: list[Answer] = []
        self.forged: list[dict[str, str]] = []
        self.keys: set[str] = set()
        self.body_max = 1 << 30
        self.lose_replies = 0
        self.over = threading.Event()
        self.verify = verifier()

    def answer(self, path: str, headers: dict[str, str], body: bytes) -> Answer:
        key = headers.get("Idempotency-Key", "")
        self.seen.append((path, key, len(body)))
        if not self.verify(SECRET, headers, body):
            self.forged.append(headers)
            return 401, {}
        if len(body) > self.body_max:
            return 413, {}
        if self.answers:
            return self.answers.pop(0)
        if key not in self.keys:
            self.keys.add(key)
            self.taken.append((headers, body))
        if self.lose_replies:
            self.lose_replies -= 1
            return -1, {}
        return 204, {}

    @property
    def claims(self) -> list[dict[str, Any]]:
        """Of all requests that were taken."""
        found: list[dict[str, Any]] = []
        for headers, body in self.taken:
            if headers["Content-Type"] == "application/json":
                found += json.loads(body)["claims"]
            else:
                found += [json.loads(line) for line in body.splitlines()]
        return found

    @property
    def names(self) -> list[str]:
        return [claim["path"] for claim in self.claims]


class Served:
    """A hook behind a socket."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.hook = hook = Hook()

        class Requests(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, headers = hook.answer(self.path, dict(self.headers.items()), body)
                if status == 0:
                    hook.over.wait(LIMIT_S)
                if status <= 0:
                    self.close_connection = True
                    return
                text = headers.pop("text", "").encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if status != 204:
                    self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: Any) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Requests)
        self.server.daemon_threads = True
        self.scheme = "http"
        if context is not None:
            self.scheme = "https"
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server.server_address[1]}/hook?token=canary"

    def sink(self, **more: Any) -> WebhookSink:
        """A sink that leads here."""
        options = {"url": self.url, "secret": SECRET, **more}
        return WebhookSink(WebhookSink.Config.model_validate(options))

    def close(self) -> None:
        self.hook.over.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(LIMIT_S)


@pytest.fixture
def served() -> Iterator[Served]:
    made = Served()
    yield made
    made.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    """Makes servers."""
    made: list[Served] = []

    def make(context: ssl.SSLContext | None = None) -> Served:
        made.append(Served(context))
        return made[-1]

    yield make
    for one in made:
        one.close()
