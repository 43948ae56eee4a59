"""How much one key and one address may ask for: the options; see `quotas`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Limits(BaseModel):
    """What one key and one address may ask for over TCP; 0 = no limit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key_requests: float = Field(default=500.0, ge=0, description="requests a second, by key")
    address_requests: float = Field(
        default=1000.0, ge=0, description="requests a second, by address, good key or not"
    )
    key_scans: float = Field(
        default=60.0, ge=0, description="scans that are asked for a minute, by key"
    )
    key_streams: int = Field(
        default=1000, ge=0, description="open streams and WebSockets at the same time, by key"
    )
