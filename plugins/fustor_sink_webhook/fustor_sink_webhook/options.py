"""Options of the driver, and what can be told from them without a connection."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    model_validator,
)

from fustor_core.units import Seconds, Size

FORMS = "write https://HOST/PATH, or http://127.0.0.1:PORT/PATH"
SECRET_LEAST = 16


def _usable_secret(secret: SecretStr) -> SecretStr:
    """The secret without the newline of the file that it comes from.

    Raises:
        ValueError: it can be guessed; the text does not tell what it is.
    """
    text = secret.get_secret_value().strip()
    if len(text) < SECRET_LEAST:
        raise ValueError(
            f"a secret has {SECRET_LEAST} characters at least; make one with: openssl rand -hex 32"
        )
    return SecretStr(text)


def _usable_url(url: str) -> str:
    """The address.

    Raises:
        ValueError: it is none; the text does not tell it, there may be a password in it.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"this is no address; {FORMS}") from error
    if parts.username is not None or parts.password is not None:
        raise ValueError("an address holds no user or password; the signature says who sends")
    odd = not url.isascii() or not url.isprintable() or " " in url or "#" in url
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or odd:
        raise ValueError(f"this is no address of a web server; {FORMS}")
    return url


class Options(BaseModel):
    """Options of the sink `webhook`."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    url: Annotated[str, AfterValidator(_usable_url)] = Field(
        description="where batches are posted; redirects are not followed"
    )
    secret: Annotated[SecretStr, AfterValidator(_usable_secret)] = Field(
        description="what batches are signed with, 16 characters at least: `${file:/path}`"
    )
    format: Literal["json", "ndjson"] = Field(
        "json", description="one JSON object a request, or one line a claim"
    )
    max_body: Size = Field(
        1 << 20, ge=64 << 10, description="no request is larger, however large the batch"
    )
    ca: Path | None = Field(
        None, description="PEM file of certificates to trust instead of the system's"
    )
    timeout: Seconds = Field(
        10.0, gt=0, description="longest silence of the server within one request"
    )
    insecure: bool = Field(
        False, description="allow http:// beyond loopback: names travel in the clear"
    )

    @model_validator(mode="after")
    def _safe(self) -> Self:
        if self.url.startswith("http:") and not self.insecure and not self._local:
            raise ValueError(
                "http:// beyond loopback sends all names in the clear; use https://, or set"
                " `insecure: true` where the network itself is encrypted"
            )
        if self.ca is not None and not self.url.startswith("https:"):
            raise ValueError("`ca` is for https:// only")
        return self

    @property
    def _local(self) -> bool:
        host = urlsplit(self.url).hostname or ""
        try:
            return ipaddress.ip_address(host.partition("%")[0]).is_loopback
        except ValueError:
            return host == "localhost" or host.endswith(".localhost")

    @property
    def server(self) -> str:
        """The address without what may be secret in it."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"
