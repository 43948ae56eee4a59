"""The sink of an embedded pipe: the same batches, through the same door as a receiver's."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from fustor_core.claims import Ack, Batch, encode_batch
from fustor_core.contracts import Accept, Answer, Grant, Hello, Pulse
from fustor_core.errors import SessionObsoletedError, Unreachable

__all__ = ["ViewSink"]


class ViewSink:
    """Hands batches to a view of the same process. The engine attaches it to the door."""

    class Config(BaseModel):
        """Options of the driver."""

        model_config = ConfigDict(extra="forbid", frozen=True)
        view: str = Field(description="name of the view, under `views`")

    def __init__(self, config: Config) -> None:
        self.config = config
        self._door: Accept | None = None
        self._session = ""

    def __repr__(self) -> str:
        return f"<ViewSink {self.config.view} session={self._session or None}>"

    def attach(self, accept: Accept) -> None:
        """Use this door."""
        self._door = accept

    async def open(self, hello: Hello) -> Grant:
        """Open a session with the view."""
        grant = await self._way_in().open(hello)
        self._session = grant.session_id
        return grant

    async def send(self, batch: Batch) -> Ack:
        """Hand a batch over, encoded as it is journalled; durable when this returns."""
        return await self._way_in().push(self._live(), batch, encode_batch(batch))

    async def beat(self, pulse: Pulse) -> Answer:
        """A heartbeat."""
        return await self._way_in().beat(self._live(), pulse)

    async def close(self) -> None:
        """End the session."""
        session, self._session = self._session, ""
        if session and self._door is not None:
            await self._door.close(session)

    async def summoned(self) -> None:
        """Return when fusion has commands before the next heartbeat is due."""
        await self._way_in().summoned(self._live())

    def _way_in(self) -> Accept:
        if self._door is None:
            raise Unreachable(f"view {self.config.view} is not served by this process")
        return self._door

    def _live(self) -> str:
        if not self._session:
            raise SessionObsoletedError("no session is open", reason="unknown")
        return self._session
