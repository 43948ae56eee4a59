"""`FileView`: the view driver that the engine sees."""

from __future__ import annotations

from collections.abc import Iterator

from fustor_core.claims import Key
from fustor_core.contracts import Applied, Known, Moment, Page, Query, Verdict
from fustor_core.units import Seconds, Size
from pydantic import BaseModel, ConfigDict, Field

from fustor_view_file.apply import Registers
from fustor_view_file.feed import Feed
from fustor_view_file.guard import Guard


class GuardConfig(BaseModel):
    """How much one scan may remove before it needs a second look."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    count: int = Field(default=1000, ge=0, description="entries that may always go")
    ratio: float = Field(default=0.10, ge=0, le=1, description="share that may go")
    second_look: Seconds = Field(
        default=60,
        ge=0,
        description="a second whole scan this much later confirms; 0 = only a person does",
    )


class FileView:
    """A view of a file tree in directory packs (DESIGN §6).

    `name` is the view's name, used in answers.
    """

    class Config(BaseModel):
        """Options of the driver."""

        model_config = ConfigDict(extra="forbid", frozen=True)
        memory_budget: Size | None = Field(default=None, description="bytes; null = all packs hot")
        mass_delete_guard: GuardConfig = GuardConfig()

    def __init__(self, config: Config) -> None:
        self.config = config
        self.name = ""
        guard = config.mass_delete_guard
        self.registers = Registers(
            Feed("0"), Guard(guard.count, guard.ratio, int(guard.second_look * 1e6))
        )

    def known(self, key: Key) -> Known | None:
        """The directory of a key, None when it was never heard of."""
        return self.registers.tree.dirs.get(key)

    def apply(self, verdict: Verdict) -> Applied:
        """Do what a verdict says."""
        self.registers.apply(verdict)
        return Applied()

    def commit(self) -> Applied:
        """End a batch."""
        return self.registers.commit()

    def read(self, query: Query, moment: Moment) -> Iterator[Page]:
        """Answer a question; raises `QueryError` for one that makes no sense."""
        from fustor_view_file.answers import answer

        return answer(self.name, self.registers, query, moment)

    def flush(self, limit_s: float) -> None:
        """Write back what is dirty."""
