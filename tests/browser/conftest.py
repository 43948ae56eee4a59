"""A program on a tree with hostile names, and Debian's Chromium in front of its page.

Without Playwright, which is heavy and comes with `nox -s browser`, nothing here is collected. With
`FUSTOR_SCREENS=FOLDER` each test leaves a picture of what it saw last.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

collect_ignore_glob = [] if find_spec("playwright") else ["test_*.py"]

START_S = 60.0
LOOK_S = 0.1
WAIT_MS = 30_000
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
MARKUP = "<img src=x onerror=alert(1)>.txt"
SCRIPT = "<script>alert(1)<"  # a name has no slash: the rest is a file in it
NO_TEXT = b"caf\xe9"
VIOLATIONS = """
globalThis.violations = [];
document.addEventListener("securitypolicyviolation",
  (event) => violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
"""


@dataclass
class Program:
    """A running `fustor up`.

    Attributes:
        url: where it listens. key: of this run. page: the link that lets in once.
    """

    folder: Path
    tree: Path
    url: str = ""
    key: str = ""
    page: str = ""
    process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> str:
        return self.url.rpartition(":")[2]

    def start(self, port: str = "0") -> None:
        """Starts it, and waits until it is ready."""
        events = self.folder / f"events-{time.monotonic_ns()}"
        command = [sys.executable, "-m", "fustor_core", "--home", str(self.folder / "home")]
        words = ["up", str(self.tree), "--name", "projects", "--listen", f"127.0.0.1:{port}"]
        with events.open("wb") as out, (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--jsonl", *words], stdin=subprocess.DEVNULL, stdout=out, stderr=log
            )
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            for line in events.read_bytes().splitlines():
                if line.endswith(b"}") and json.loads(line)["event"] == "ready":
                    ready = json.loads(line)
                    self.url, self.key, self.page = ready["url"], ready["key"], ready["page"]
                    return
            assert self.process.poll() is None, (self.folder / "log").read_text()
            time.sleep(LOOK_S)
        raise AssertionError((self.folder / "log").read_text())

    def stop(self) -> None:
        """Ends it."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(START_S)

    def told(self, *words: str) -> str:
        """What a command prints."""
        command = [sys.executable, "-m", "fustor_core", "--home", str(self.folder / "home")]
        done = subprocess.run(
            [*command, *words], capture_output=True, text=True, timeout=START_S, check=True
        )
        return done.stdout.strip()


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """`fustor up` on a small tree."""
    folder = tmp_path_factory.mktemp("browser")
    tree = folder / "tree"
    for name in ("results/run-41", "results/run-42", "notes", SCRIPT):
        (tree / name).mkdir(parents=True)
    (tree / "results" / "run-41" / "part-0001.bin").write_bytes(b"x" * 300_000)
    (tree / "results" / "run-42" / "part-0002.bin").write_bytes(b"x" * 100_000)
    (tree / "notes" / MARKUP).write_text("x" * 2000)
    (tree / SCRIPT / "script>").write_text("x" * 1000)
    strange = os.fsencode(tree) + b"/" + NO_TEXT
    os.mkdir(strange)
    Path(os.fsdecode(strange + b"/r\xe9sum\xe9.txt")).write_text("x" * 500)
    made = Program(folder, tree)
    made.start()
    try:
        yield made
    finally:
        made.stop()
    told = (folder / "log").read_text()
    assert "Traceback" not in told, told


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The browser."""
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if path is None:
        pytest.fail("no Chromium on this host; install it with: apt-get install chromium")
    with sync_playwright() as playwright:
        # as root, and in containers, Chromium has no sandbox, and little shared memory
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


@dataclass
class Seen:
    """A page, and all that went wrong in it."""

    page: Any
    faults: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Notes errors, violations of the policy, dialogs, and requests to other hosts."""
        self.page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        self.page.on("console", self._hear)
        self.page.on("dialog", self._dismiss)
        self.page.add_init_script(VIOLATIONS)

    def _hear(self, message: Any) -> None:
        if "Content Security Policy" in message.text or "Trusted" in message.text:
            self.faults.append(f"policy: {message.text}")

    def _dismiss(self, dialog: Any) -> None:
        self.faults.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def all_faults(self) -> list[str]:
        """Everything that was noted."""
        return [*self.faults, *self.page.evaluate("globalThis.violations ?? []")]


Open = Callable[..., Any]


@pytest.fixture
def pages(chromium: Any, program: Program, request: pytest.FixtureRequest) -> Iterator[Open]:
    """Opens pages; none of them may have had an error or a violation of the policy."""
    opened: list[Seen] = []
    contexts = []

    def open_page(key: str | None = None, **options: Any) -> Any:
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 860}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        seen = Seen(page)
        seen.watch()
        opened.append(seen)
        if key is not None:
            page.add_init_script(
                f"sessionStorage.getItem('fustor.key') ?? "
                f"sessionStorage.setItem('fustor.key', {json.dumps(key)})"
            )
            page.goto(f"{program.url}/")
            page.locator(".link.live").wait_for()
        return page

    yield open_page
    folder = os.environ.get("FUSTOR_SCREENS")
    for number, seen in enumerate(opened):
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            name = "".join(char if char.isalnum() else "-" for char in request.node.name)
            seen.page.screenshot(path=str(Path(folder) / f"{name}-{number}.png"), full_page=True)
    faults = [fault for seen in opened for fault in seen.all_faults()]
    for context in contexts:
        context.close()
    assert faults == []
