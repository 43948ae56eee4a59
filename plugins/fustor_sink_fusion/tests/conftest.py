"""A real receiver with a door in memory behind it, and sinks that lead to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.from_thread import start_blocking_portal
from fustor_receiver_http import HttpReceiver
from fustor_sink_fusion import FusionSink

from fustor_core.testing import MemoryDoor
from fustor_core.testing.receiver_kit import NoAnswers

KEY = "kit"  # the one that `NoAnswers` knows
LIMIT_S = 20.0


@dataclass
class Served:
    """A receiver that serves."""

    receiver: HttpReceiver
    door: MemoryDoor

    @property
    def unix(self) -> str:
        return next(url for url in self.receiver.addresses if url.startswith("unix:"))

    @property
    def tcp(self) -> str:
        return next(url for url in self.receiver.addresses if url.startswith("http"))

    def sink(self, url: str | None = None, **options: Any) -> FusionSink:
        """A sink that leads here."""
        options = {"url": url or self.unix, "view": "kit", "key": KEY, **options}
        return FusionSink(FusionSink.Config.model_validate(options))


Serve = Callable[..., AbstractAsyncContextManager[Served]]


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """The loop that the program runs on; the kit runs on the other."""
    return "asyncio", {"use_uvloop": True}


@asynccontextmanager
async def serving(path: Path, door: MemoryDoor | None = None, **options: Any) -> AsyncIterator[Any]:
    """A receiver on a Unix socket and on TCP; options are those of its configuration."""
    door = door or MemoryDoor()
    config = {"listen": ["unix", "127.0.0.1:0"], "socket_path": path, "grace": 1}
    receiver = HttpReceiver(HttpReceiver.Config.model_validate(config | options))
    async with anyio.create_task_group() as group:
        group.start_soon(receiver.serve, door, NoAnswers())
        with anyio.fail_after(LIMIT_S):
            await receiver.ready.wait()
        yield Served(receiver, door)
        group.cancel_scope.cancel()


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """Makes a context in which a receiver of its own serves."""
    return partial(serving, tmp_path / "api.sock")


@pytest.fixture
async def served(serve: Serve) -> AsyncIterator[Served]:
    """A receiver of its own."""
    async with serve() as served:
        yield served


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A receiver in a thread of its own, for kits, which have loops of their own."""
    path = tmp_path_factory.mktemp("beside") / "api.sock"
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(serving(path)) as served,
    ):
        yield served
