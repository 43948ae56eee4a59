"""What a service manager is told (sd_notify(3)): ready, reloading, stopping, still alive.

Off unless ``NOTIFY_SOCKET`` is set, as systemd does for units of ``Type=notify``. The watchdog's
sign of life comes from the event loop: a process whose loop stands still gives none and is
restarted.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager

import anyio

SOCKET = "NOTIFY_SOCKET"
WATCHDOG = "WATCHDOG_USEC"
WATCHDOG_PID = "WATCHDOG_PID"
SIGNS = 3  # of life within the time that the watchdog allows


class Notice:
    """The line to the service manager.

    Args:
        environment: where its address stands; the variables are taken out, since they are not
            meant for children.
    """

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        self._address = environment.pop(SOCKET, "")
        wanted_us, pid = environment.pop(WATCHDOG, ""), environment.pop(WATCHDOG_PID, "")
        mine = pid in ("", str(os.getpid()))
        self._interval_s = int(wanted_us) / 1e6 / SIGNS if mine and wanted_us.isdigit() else 0.0

    def __repr__(self) -> str:
        return f"<Notice {self._address or 'nobody'}>"

    async def live(self, serving: anyio.Event, stopping: anyio.Event) -> None:
        """Tell that the program is ready, that it lives, and that it ends, until cancelled.

        The sign of life goes on while it ends: what is queued is still sent then.

        Args:
            serving: set when it answers. stopping: set when it begins to end.
        """
        if not self._address:
            return
        await serving.wait()
        self.tell("READY=1")
        async with anyio.create_task_group() as group:
            group.start_soon(self._stopping, stopping)
            while self._interval_s:
                self.tell("WATCHDOG=1")
                await anyio.sleep(self._interval_s)

    async def _stopping(self, stopping: anyio.Event) -> None:
        await stopping.wait()
        self.tell("STOPPING=1")

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """Around a reload of the configuration."""
        self.tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            yield
        finally:
            self.tell("READY=1")

    def tell(self, message: str) -> None:
        """Send a message; one that nobody takes is lost, as the protocol wants it."""
        if not self._address:
            return
        name = self._address
        if name.startswith("@"):
            name = "\0" + name[1:]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line:
            line.setblocking(False)
            try:
                line.sendto(message.encode(), name)
            except OSError:
                return  # the manager is gone or does not listen; the work goes on
