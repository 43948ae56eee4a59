"""Options of the driver, and what can be told from them without a connection."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    model_validator,
)

from fustor_core.units import Seconds

UNIX = "unix:"
FORMS = "write https://HOST:PORT, http://127.0.0.1:PORT or unix:/path/of/socket"


def _usable_key(key: SecretStr) -> SecretStr:
    """The key without the newline of the file that it comes from.

    Raises:
        ValueError: it cannot be sent; the text does not tell what it is.
    """
    text = key.get_secret_value().strip()
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("a key is one word of printable ASCII; this one is empty or has others")
    return SecretStr(text)


def _usable_url(url: str) -> str:
    """The address without a slash at its end.

    Raises:
        ValueError: it is none; the text does not tell it, there may be a password in it.
    """
    if url.startswith(UNIX):
        if not Path(url.removeprefix(UNIX)).is_absolute() or "\0" in url:
            raise ValueError(f"a socket needs an absolute path; {FORMS}")
        return url
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"this is no address: {error}; {FORMS}") from error
    if parts.username is not None or parts.password is not None:
        raise ValueError("an address holds no user or password; put the key into `key`")
    odd = not url.isascii() or not url.isprintable() or " " in url
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or odd:
        raise ValueError(f"this is no address of a fusion server; {FORMS}")
    if parts.query or parts.fragment or "?" in url or "#" in url:
        raise ValueError(f"an address ends before its query; {FORMS}")
    return url.rstrip("/")


class Options(BaseModel):
    """Options of the sink `fusion`."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    url: Annotated[str, AfterValidator(_usable_url)] = Field(
        description="the fusion server: https://HOST:PORT, http://…, unix:/path/of/socket"
    )
    key: Annotated[SecretStr, AfterValidator(_usable_key)] | None = Field(
        None, description="key with the scope push; a Unix socket needs none"
    )
    view: str = Field(description="name of the view there", min_length=1)
    ca: Path | None = Field(
        None, description="PEM file of certificates to trust instead of the system's"
    )
    cert: Path | None = Field(
        None, description="PEM file of a certificate and its private key, if the server wants one"
    )
    timeout: Seconds = Field(
        10.0, gt=0, description="longest silence of the server within one request"
    )
    compress: Literal["auto", "always", "never"] = Field(
        "auto", description="zstd for batches; auto: not when the server is on this host"
    )
    insecure: bool = Field(
        False, description="allow http:// beyond loopback: keys and names travel in the clear"
    )

    @model_validator(mode="after")
    def _safe(self) -> Self:
        if self.local:
            return self
        if self.url.startswith("http:") and not self.insecure:
            raise ValueError(
                "http:// beyond loopback sends the key and all names in the clear; use https://,"
                " or set `insecure: true` where the network itself is encrypted"
            )
        return self

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.key is None and not self.url.startswith(UNIX):
            raise ValueError("a server on TCP needs `key`, on loopback too")
        for name in ("ca", "cert"):
            if getattr(self, name) is not None and not self.url.startswith("https:"):
                raise ValueError(f"`{name}` is for https:// only")
        return self

    @property
    def parts(self) -> SplitResult:
        """Scheme, host and port."""
        return urlsplit(self.url)

    @property
    def local(self) -> bool:
        """Whether the server is on this host."""
        if self.url.startswith(UNIX):
            return True
        host = self.parts.hostname or ""
        try:
            return ipaddress.ip_address(host.partition("%")[0]).is_loopback
        except ValueError:
            return host == "localhost" or host.endswith(".localhost")

    @property
    def packs(self) -> bool:
        """Whether batches are compressed."""
        return self.compress == "always" or (self.compress == "auto" and not self.local)
