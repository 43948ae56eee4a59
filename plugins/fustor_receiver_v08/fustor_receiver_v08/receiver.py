"""The receiver itself: its options, what it listens on, its life."""

from __future__ import annotations

import ipaddress
import logging
import socket
from contextlib import ExitStack
from typing import Annotated

import anyio
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from fustor_core.contracts import Accept, Ask
from fustor_core.errors import ConfigError
from fustor_core.units import Seconds, Size

BACKLOG = 512
PORT_MAX = (1 << 16) - 1
DAY_S = 86400.0
log = logging.getLogger("fustor.receiver.v08")


class V08Receiver:
    """What agents of Fustor 0.8.17 push, into one view.

    `bind` may be called before `serve`, so that addresses are taken before anything is announced;
    `serve` does it otherwise. `ready` is set while requests are accepted.
    """

    class Config(BaseModel):
        """Options of a receiver `v08`."""

        model_config = ConfigDict(extra="forbid", frozen=True)

        view: str = Field(description="view that its agents feed; no other agents may feed it")
        listen: list[str] = Field(
            ["127.0.0.1:8103"], min_length=1, description="`HOST:PORT`; port 0: any"
        )
        keys: dict[str, Annotated[SecretStr, Field(min_length=1)]] = Field(
            {},
            description="API keys of the earlier system that are good here, each under a name;"
            " push keys of this system always are",
        )
        in_the_clear: bool = Field(
            False,
            description="listen beyond loopback without TLS: keys and names can be read there",
        )
        behind_proxy: bool = Field(
            False, description="a proxy before it does TLS: it may listen beyond loopback"
        )
        cache_bound: Seconds = Field(
            60.0,
            ge=0,
            description="how old the agents' own looks may be: the attribute cache of their mounts;"
            " 0 for local disks",
        )
        renew: Seconds = Field(
            DAY_S,
            ge=0,
            description="a session is ended when it is so old: its agent then looks at every file"
            " again; 0 = never",
        )
        max_body_bytes: Size = Field(64 << 20, ge=64 << 10, description="size of one push")
        body_timeout: Seconds = Field(30.0, gt=0, description="time for a body to come")
        grace: int = Field(
            5, ge=0, description="seconds that requests may go on when the server stops"
        )

    def __init__(self, config: Config) -> None:
        self.config = config
        self.ready = anyio.Event()
        self._bound: list[socket.socket] = []
        self._taken = ExitStack()

    def __repr__(self) -> str:
        return f"<V08Receiver at {', '.join(self.addresses) or 'nowhere'}>"

    @property
    def addresses(self) -> list[str]:
        """What an agent has as `uri` of its sender, for each place that is bound."""
        out = []
        for listening in self._bound:
            host, port = listening.getsockname()[:2]
            out.append(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")
        return out

    def bind(self) -> None:
        """Takes every address and listens; clients wait from then on.

        Raises:
            ConfigError: an address that cannot be, is in use, or is beyond loopback.
        """
        if self._bound:
            return
        with ExitStack() as taken:
            bound = [taken.enter_context(self._listen(text)) for text in self.config.listen]
            self._bound, self._taken = bound, taken.pop_all()

    async def serve(self, accept: Accept, ask: Ask) -> None:
        """Serves until cancelled; then lets requests end, within `grace`.

        Raises:
            ConfigError: as `bind`.
        """
        # what only a running server needs: configuration is read without it
        from fustor_receiver_v08.doubts import Doubts
        from fustor_receiver_v08.guests import Guests
        from fustor_receiver_v08.knowledge import Knowledge
        from fustor_receiver_v08.routes import Application
        from fustor_receiver_v08.server import Server

        self.bind()
        config = self.config
        if config.view not in {status["view"] for status in ask.views()}:
            log.warning(
                "receiver v08: there is no view %r; its agents wait until there is one", config.view
            )
        knowledge = Knowledge(ask, config.view)
        guests = Guests(
            accept,
            knowledge,
            config.view,
            cache_bound_us=int(config.cache_bound * 1e6),
            renew_us=int(config.renew * 1e6),
        )
        keys = {name: key.get_secret_value() for name, key in config.keys.items()}
        try:
            async with anyio.create_task_group() as group:
                app = Application(
                    guests,
                    Doubts(guests, knowledge),
                    ask,
                    keys,
                    most=config.max_body_bytes,
                    patience_s=config.body_timeout,
                    chores=group,
                )
                servers = [
                    Server(app, one, behind_proxy=config.behind_proxy, grace_s=config.grace)
                    for one in self._bound
                ]
                for server in servers:
                    group.start_soon(server.run_until_stopped)
                for server in servers:
                    await server.accepting.wait()
                self.ready.set()
                try:
                    await anyio.sleep_forever()
                finally:
                    self.ready = anyio.Event()
                    for server in servers:
                        server.stop()
        finally:
            self._bound = []
            self._taken.close()

    def _listen(self, text: str) -> socket.socket:
        host, port = _place(text)
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise ConfigError(
                f"listen: {host!r} is no address of this host: {error}", key="listen"
            ) from error
        family, _, _, _, address = found[0]
        loopback = ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback
        if not loopback and not (self.config.in_the_clear or self.config.behind_proxy):
            raise ConfigError(
                f"listening on {address[0]} would take keys over the network in the clear",
                key="listen",
                remedy="put a proxy with TLS before it and set `behind_proxy: true`, or set"
                " `in_the_clear: true` if that network is trusted, as the earlier system did",
            )
        # by its protocol asyncio knows that it may switch off Nagle
        listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(BACKLOG)
        except OSError as error:
            listening.close()
            raise ConfigError(
                f"cannot listen on {text}: {error.strerror or error}",
                key="listen",
                remedy="choose another port; port 0 takes any that is free",
            ) from error
        return listening


def _place(text: str) -> tuple[str, int]:
    """Host and port of an item of ``listen``.

    Raises:
        ConfigError: it is no address.
    """
    host, _, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if not host or not port.isascii() or not port.isdigit() or int(port) > PORT_MAX:
        raise ConfigError(
            f"listen: {text!r} is no address",
            key="listen",
            remedy="write 127.0.0.1:8103 or [::1]:8103",
        )
    return host, int(port)
