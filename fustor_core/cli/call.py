"""What every command has: the global options, the screen, and the server to call."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fustor_core.cli.failure import usage
from fustor_core.cli.names import quoted
from fustor_core.cli.paths import Place, Watched, resolve, watched
from fustor_core.cli.screen import Screen
from fustor_core.client import TIMEOUT_S, UNIX, Client, local_server, path_params

PAGE_ROWS = 10_000  # the most that the server gives in one page


@dataclass(frozen=True, slots=True)
class Settings:
    """The global options, as given; None and False where they were not."""

    home: Path
    home_given: bool = False
    server: str | None = None
    key_file: Path | None = None
    cert: Path | None = None
    view: str | None = None
    json: bool = False
    jsonl: bool = False
    timeout_s: float | None = None
    quiet: bool = False
    verbose: int = 0
    no_progress: bool = False
    yes: bool = False
    debug: bool = False

    @property
    def documents(self) -> bool:
        """Whether answers go out as JSON."""
        return self.json or self.jsonl


class Call:
    """One run of a command: its options, its screen, and its server, opened when first asked."""

    def __init__(self, settings: Settings, screen: Screen) -> None:
        self.settings = settings
        self.screen = screen
        # Commands that wait take --timeout for the whole wait, and set this back to the default.
        self.request_s = TIMEOUT_S if settings.timeout_s is None else settings.timeout_s
        self._clients: dict[bool, Client] = {}
        self._views: list[Watched] | None = None

    def __repr__(self) -> str:
        return f"<Call {self.settings.server or self.settings.home}>"

    def close(self) -> None:
        """Drops the connections, sends what waits to be shown."""
        self.forget_server()
        self.screen.flush()

    def forget_server(self) -> None:
        """Looks for the server anew at the next question."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()
        self._views = None

    @property
    def local(self) -> bool:
        """Whether the server is the one of the state directory, on this host."""
        return self.settings.server is None

    def client(self, *, agent_first: bool = False) -> Client:
        """The server of ``--server``, else the one whose socket lies in the state directory."""
        found = self._clients.get(agent_first)
        if found is None:
            settings = self.settings
            server = settings.server or local_server(settings.home, agent_first=agent_first)
            trace = self.screen.note if settings.verbose else None
            key = None if server.startswith(UNIX) else self._key()
            found = Client(
                server,
                key=key,
                timeout_s=self.request_s,
                trace=trace,
                cert=self.settings.cert,
            )
            self._clients[agent_first] = found
        return found

    def processes(self, role: str | None = None) -> list[Client]:
        """The processes that run here, an agent and fusion may be two; fusion's first.

        Args:
            role: of these the one that runs this part.
        """
        if role is not None or not self.local:
            return [self.client(agent_first=role == "agent")]
        first, other = self.client(), self.client(agent_first=True)
        return [first] if first.server == other.server else [first, other]

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """A document of the server."""
        return self.client().get(path, params)

    def views(self) -> list[Watched]:
        """The server's views and their roots; asked once."""
        if self._views is None:
            self._views = watched(self.get("/views").get("views") or [])
        return self._views

    def place(self, argument: str | None) -> Place:
        """What a PATH argument means (see `paths.resolve`)."""
        typed = None if argument is None else os.fsencode(argument)
        return resolve(
            typed, self.views(), chosen=self.settings.view, cwd=self.cwd() if self.local else None
        )

    def view(self, argument: str | None = None) -> str:
        """The view that is named, else that of ``--view``, else the only one."""
        chosen = argument or self.settings.view
        return resolve(None, self.views(), chosen=chosen).view

    def answer(
        self, place: Place, question: str, params: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """The answer to one question about a place.

        Args:
            question: last part of the address: ``ls``, ``stat``, ``du`` …
            params: further query parameters.
        """
        asked = {**path_params(place.path), **(params or {})}
        return self.get(address(place.view, question), asked)

    def pages(
        self,
        place: Place,
        question: str,
        rows: str,
        params: Mapping[str, Any],
        *,
        limit: int | None,
        cursor: str | None,
    ) -> dict[str, Any]:
        """An answer that comes in pages, in one document.

        Args:
            rows: name of the list in the document, e.g. ``entries``.
            limit: rows wanted; None: all.
            cursor: where to begin.

        Returns:
            The first page's document with the rows of all pages and the last ``next_cursor``.
        """
        document: dict[str, Any] = {}
        found: list[Any] = []
        while True:
            size = PAGE_ROWS if limit is None else min(limit - len(found), PAGE_ROWS)
            page = self.answer(place, question, {**params, "limit": size, "cursor": cursor})
            found += page.get(rows) or []
            document = document or page
            cursor = page.get("next_cursor")
            if not cursor or (limit is not None and len(found) >= limit):
                return {**document, rows: found, "next_cursor": cursor}

    def cwd(self) -> bytes:
        """The working directory."""
        try:
            return os.getcwdb()
        except FileNotFoundError:
            return b"/"  # deleted under our feet; absolute paths still mean something

    def _key(self) -> str | None:
        path = self.settings.key_file
        if path is None:
            return None
        try:
            with open(path, encoding="utf-8") as file:
                mode = os.fstat(file.fileno()).st_mode
                text = file.read().strip()
        except (OSError, ValueError) as error:
            raise usage(f"cannot read the key file {path}: {error}") from error
        if stat.S_ISREG(mode) and mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise usage(
                f"others may read the key file {path} (mode {stat.S_IMODE(mode):04o})",
                remedy=f"chmod 600 {quoted(os.fsencode(path))}; if somebody may have read it,"
                " change the key with `fustor key rotate`",
            )
        if not text or len(text.split()) > 1:
            raise usage(
                f"{path} does not hold one key", remedy="its only line is fst_<id>_<secret>"
            )
        return text


def address(view: str, question: str = "") -> str:
    """Address of a view, or of a question to it, below the base."""
    from urllib.parse import quote

    return f"/views/{quote(view, safe='')}" + (f"/{question}" if question else "")
