"""The receiver itself: what it listens on, and its life from bind to the last reply."""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import anyio
from pydantic import BaseModel, ConfigDict, Field, model_validator

from fustor_core.contracts import Accept, Ask
from fustor_core.errors import ConfigError
from fustor_core.state import bind_socket
from fustor_core.units import Seconds, Size
from fustor_receiver_http.limits import Limits
from fustor_receiver_http.tls import Certificates, Tls

if TYPE_CHECKING:
    import ssl

    from starlette.types import ASGIApp

    from fustor_receiver_http.bodies import Limits as BodyLimits
    from fustor_receiver_http.server import Server

UNIX = "unix"
BACKLOG = 2048
PORT_MAX = (1 << 16) - 1
log = logging.getLogger("fustor.receiver.http")

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Place:
    """Somewhere to listen: a path for a Unix socket, else host and port."""

    path: Path | None = None
    host: str = ""
    port: int = 0


class HttpReceiver:
    """Queries, status and health over HTTP, on a Unix socket and, for keys, on TCP.

    `bind` may be called before `serve`, so that addresses are known and taken before anything is
    announced; `serve` does it otherwise. `ready` is set while requests are accepted.
    """

    class Config(BaseModel):
        """Options of a receiver `http`."""

        model_config = ConfigDict(extra="forbid", frozen=True)

        listen: list[str] = Field(
            [UNIX], description="`unix`, `unix:/path/of/socket`, `HOST:PORT`; port 0: any"
        )
        socket_path: Path | None = Field(
            None, description="where `unix` is; the program puts its state directory's there"
        )
        limits: Limits = Field(
            default_factory=Limits, description="what one key and one address may ask for"
        )
        tls: Tls = Field(default_factory=Tls, description="TLS for all that is TCP")
        behind_proxy: bool = Field(
            False, description="a proxy before it does TLS: TCP beyond loopback is allowed"
        )
        allowed_hosts: list[str] = Field(
            [], description="names under which it is asked, beside loopback and its address"
        )
        max_batch_bytes: Size = Field(
            8 << 20, ge=64 << 10, description="size of a batch, as it comes and unpacked"
        )
        max_listing_bytes: Size = Field(
            256 << 20, description="the same for a batch that is one listing: one huge directory"
        )
        max_held_bytes: Size = Field(
            512 << 20, description="size of all batches that are read at one time"
        )
        body_timeout: Seconds = Field(
            30.0, gt=0, description="time for a body to come; longer by 1 s for each 4 KiB of it"
        )
        heartbeat: Seconds = Field(
            15.0, gt=0, description="longest silence of an open stream; then a blank line"
        )
        stall: Seconds = Field(
            60.0, gt=0, description="a stream ends when its client takes nothing for so long"
        )
        grace: int = Field(
            5, ge=0, description="seconds that requests may go on when the server stops"
        )

        @model_validator(mode="after")
        def _sizes_agree(self) -> Self:
            if not self.max_batch_bytes <= self.max_listing_bytes <= self.max_held_bytes:
                raise ValueError(
                    "max_batch_bytes, max_listing_bytes and max_held_bytes have to grow in this"
                    " order"
                )
            return self

    def __init__(self, config: Config) -> None:
        self.config = config
        self.ready = anyio.Event()
        self._bound: list[tuple[Place, socket.socket]] = []
        self._taken = ExitStack()
        self._certificates: Certificates | None = None

    def __repr__(self) -> str:
        where = ", ".join(self.addresses) or "nowhere"
        return f"<HttpReceiver at {where}>"

    @property
    def addresses(self) -> list[str]:
        """What a client gives as ``--server``, for each place that is bound."""
        scheme = "http" if self._tls is None else "https"
        return [
            f"unix:{place.path}" if place.path else f"{scheme}://{_shown(place.host)}:{place.port}"
            for place, _ in self._bound
        ]

    @property
    def _tls(self) -> ssl.SSLContext | None:
        return self._certificates.context if self._certificates is not None else None

    def renew(self) -> bool:
        """Read the certificates again; connections that are open stay as they are.

        Raises:
            ConfigError: they cannot be used; those before go on.
        """
        return self._certificates is not None and self._certificates.renew()

    def bind(self) -> None:
        """Takes every address and listens; clients wait from then on.

        Raises:
            ConfigError: an address that cannot be, is in use, or needs TLS, or TLS that cannot be.
            StateError: the Unix socket cannot be made.
        """
        if self._bound:
            return
        self._certificates = Certificates(self.config.tls)
        with ExitStack() as taken:
            bound = []
            for place in (place_of(text, self.config.socket_path) for text in self.config.listen):
                here, listening = self._listen(place)
                bound.append((here, taken.enter_context(listening)))
                if here.path is not None:
                    taken.callback(_remove, here.path, os.stat(here.path).st_ino)
            self._bound, self._taken = bound, taken.pop_all()

    async def serve(self, accept: Accept, ask: Ask) -> None:
        """Serves until cancelled; then ends open streams and lets requests end, within `grace`.

        Raises:
            ConfigError, StateError: as `bind`.
        """
        # what only a running server needs: configuration is read without it
        from fustor_receiver_http.app import build
        from fustor_receiver_http.askers import Askers
        from fustor_receiver_http.files import Files
        from fustor_receiver_http.guard import Guard, Owner
        from fustor_receiver_http.live import Live
        from fustor_receiver_http.quotas import Quotas
        from fustor_receiver_http.server import Server
        from fustor_receiver_http.streams import Streams
        from fustor_receiver_http.throttle import Throttle
        from fustor_receiver_http.tickets import TICKET_S, Tickets

        self.bind()
        config = self.config
        streams = Streams(heartbeat_s=config.heartbeat, stall_s=config.stall, ended=ask.ended)
        throttle = Throttle(anyio.current_time, log.warning)
        live, files = Live(ask, streams), Files(ask.assets())
        tickets = Tickets(TICKET_S)
        quotas = Quotas(config.limits, anyio.current_time)
        front = build(accept, ask, streams, self._body_limits(), live, files, tickets)
        servers = []
        for place, listening in self._bound:
            app: ASGIApp = Owner(front)
            if place.path is None:
                app = Guard(
                    front,
                    host=place.host,
                    allowed_hosts=config.allowed_hosts,
                    ask=ask,
                    throttle=throttle,
                    files=files.paths,
                    tickets=tickets,
                    quotas=quotas,
                    refused=front.meter.refuse,
                )
            server = Server(
                Askers(app, ask, local=place.path is not None, bound=config.tls.client_names),
                listening,
                behind_proxy=config.behind_proxy,
                grace_s=config.grace,
                tls=self._tls if place.path is None else None,
            )
            servers.append(server)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(live.run)
                for server in servers:
                    group.start_soon(_sheltered, server)
                try:
                    for server in servers:
                        await server.accepting.wait()
                    self.ready.set()
                    await anyio.sleep_forever()
                finally:
                    self.ready = anyio.Event()
                    streams.stop()
                    for server in servers:
                        server.stop()
        finally:
            self._bound = []
            self._taken.close()

    def _body_limits(self) -> BodyLimits:
        """How large what comes in may be."""
        from fustor_receiver_http.bodies import Limits as BodyLimits

        config = self.config
        return BodyLimits(
            batch_bytes=config.max_batch_bytes,
            listing_bytes=config.max_listing_bytes,
            held_bytes=config.max_held_bytes,
            patience_s=config.body_timeout,
        )

    def _listen(self, place: Place) -> tuple[Place, socket.socket]:
        """Binds and listens.

        Returns:
            The place with its real port, and the socket.
        """
        if place.path is not None:
            listening = bind_socket(place.path)
            listening.listen(BACKLOG)
            return place, listening
        config = self.config
        families = _resolved(place)
        beyond = [address[0] for _, address in families if not _is_loopback(address[0])]
        if beyond and self._tls is None and not config.behind_proxy:
            raise ConfigError(
                f"listening on {beyond[0]} would send keys over the network in the clear",
                key="listen",
                remedy="give it a certificate, `tls: {cert: …, key: …}`, or listen on 127.0.0.1,"
                " or put a proxy with TLS before it and set `behind_proxy: true`",
            )
        return _bind_tcp(place, families)


async def _sheltered(server: Server) -> None:
    """A server that ends when it is told to, not when its task is cancelled."""
    with anyio.CancelScope(shield=True):
        await server.run_until_stopped()


def place_of(text: str, socket_path: Path | None) -> Place:
    """What an item of ``listen`` means.

    Args:
        socket_path: what ``unix`` alone stands for.

    Raises:
        ConfigError: it means nothing.
    """
    kind, colon, rest = text.partition(":")
    if kind == UNIX:
        path = Path(rest) if colon else socket_path
        if path is None or not path.is_absolute():
            raise ConfigError(
                f"listen: {text!r} names no absolute path of a socket",
                key="listen",
                remedy="write unix:/path/of/socket, or set socket_path",
            )
        return Place(path=path)
    host, _, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if not host or not port.isascii() or not port.isdigit() or int(port) > PORT_MAX:
        raise ConfigError(
            f"listen: {text!r} is no address",
            key="listen",
            remedy="write unix, unix:/path/of/socket, 127.0.0.1:8102 or [::1]:8102",
        )
    return Place(host=host, port=int(port))


def _resolved(place: Place) -> list[tuple[socket.AddressFamily, Address]]:
    try:
        found = socket.getaddrinfo(
            place.host, place.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as error:
        raise ConfigError(
            f"listen: {place.host!r} is no address of this host: {error}", key="listen"
        ) from error
    return [(family, (str(address[0]), int(address[1]))) for family, _, _, _, address in found]


def _bind_tcp(
    place: Place, families: Sequence[tuple[socket.AddressFamily, Address]]
) -> tuple[Place, socket.socket]:
    """Listens on the first of the addresses that can be had."""
    reason = ""
    for family, address in families:
        # by its protocol asyncio knows that it may switch off Nagle
        listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(BACKLOG)
        except OSError as error:
            listening.close()
            reason = error.strerror or str(error)
            continue
        return Place(host=place.host, port=listening.getsockname()[1]), listening
    raise ConfigError(
        f"cannot listen on {place.host}:{place.port}: {reason}",
        key="listen",
        remedy="choose another port; port 0 takes any that is free",
    )


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def _remove(path: Path, inode: int) -> None:
    """Takes the socket's name away, if it still is ours."""
    try:
        if os.stat(path).st_ino == inode:
            path.unlink()
    except FileNotFoundError:
        pass


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
