"""TLS for what listens on TCP: the options, and the context that they make."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from fustor_core.errors import ConfigError

if TYPE_CHECKING:
    import ssl

# TLS 1.2 with forward secrecy and authenticated encryption; 1.3 has nothing else.
SUITES = "ECDHE+AESGCM:ECDHE+CHACHA20"


class Tls(BaseModel):
    """TLS on TCP; without `cert` and `key` there is none."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cert: Path | None = Field(
        default=None, description="file with the certificate and its chain, PEM"
    )
    key: Path | None = Field(
        default=None, description="file with its private key, PEM, for the owner only"
    )
    client_ca: Path | None = Field(
        default=None,
        description="file with CAs, PEM: a client needs a certificate of one of them, too",
    )
    client_names: bool = Field(
        default=False,
        description="an agent's id has to be the common name or a DNS name of its certificate",
    )


class Certificates:
    """The certificates that a listener shows and asks for, as their files were read last.

    Args:
        options: of the receiver.

    Attributes:
        context: for what listens, None without TLS; who connects gets what was read last.

    Raises:
        ConfigError: as `server_context`.
    """

    def __init__(self, options: Tls) -> None:
        self._options = options
        self._contents = _contents(options)
        self.context = self._now = server_context(options)
        if self.context is not None:
            self.context.sni_callback = self._choose

    def renew(self) -> bool:
        """Read the files again; False when they are as they were.

        Raises:
            ConfigError: as `server_context`; the ones before go on.
        """
        contents = _contents(self._options)
        if contents == self._contents:
            return False
        self._now = server_context(self._options)
        self._contents = contents
        return True

    def _choose(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        if self._now is not None:
            connection.context = self._now


def server_context(options: Tls) -> ssl.SSLContext | None:
    """What the options make; None without TLS.

    Raises:
        ConfigError: a file that is missing, cannot be used, or is not private.
    """
    if options.client_names and options.client_ca is None:
        raise ConfigError(
            "tls: `client_names` is about certificates that nobody is asked for",
            key="tls.client_names",
            remedy="give `client_ca`, too: the CAs of the agents' certificates",
        )
    if options.cert is None and options.key is None and options.client_ca is None:
        return None
    if options.cert is None or options.key is None:
        missing = "cert" if options.cert is None else "key"
        raise ConfigError(
            f"tls: no `{missing}` is given",
            key=f"tls.{missing}",
            remedy="TLS needs `cert` and `key`, both files in PEM",
        )
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(SUITES)
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    _look(options.cert, "cert")
    _look(options.key, "key", private=True)
    try:
        # Without an answer of ours, OpenSSL asks the terminal for a pass phrase.
        context.load_cert_chain(options.cert, options.key, password=lambda: b"")
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError(
            f"tls: {options.cert} and {options.key} cannot be used: {_reason(error)}",
            key="tls.cert",
            remedy="both have to be PEM, belong together, and the key has no pass phrase",
        ) from error
    if options.client_ca is not None:
        _look(options.client_ca, "client_ca")
        try:
            context.load_verify_locations(options.client_ca)
        except ssl.SSLError as error:
            raise ConfigError(
                f"tls: {options.client_ca} holds no certificate: {_reason(error)}",
                key="tls.client_ca",
                remedy="it holds certificates of CAs, PEM",
            ) from error
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _contents(options: Tls) -> list[bytes | None]:
    """What stands in the files; None for one that is not there."""
    found: list[bytes | None] = []
    for path in (options.cert, options.key, options.client_ca):
        try:
            found.append(path.read_bytes() if path is not None else None)
        except OSError:
            found.append(None)
    return found


def _look(path: Path, name: str, *, private: bool = False) -> None:
    """Say what is wrong with a file before OpenSSL says it in its own way.

    Raises:
        ConfigError: it is not there, cannot be read, or others may read it and should not.
    """
    if not path.is_absolute():
        raise ConfigError(
            f"tls: {path} is no absolute path", key=f"tls.{name}", remedy="write it from / on"
        )
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
    except OSError as error:
        raise ConfigError(
            f"tls: {path} cannot be read: {error.strerror}",
            key=f"tls.{name}",
            remedy="give the path of a file that the server's user may read",
        ) from error
    if private and mode & stat.S_IRWXO:
        raise ConfigError(
            f"tls: {path} can be read by every user of this host",
            key=f"tls.{name}",
            remedy=f"chmod o= {path}; if others may have read it, make a new key",
        )


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", None) or error)
