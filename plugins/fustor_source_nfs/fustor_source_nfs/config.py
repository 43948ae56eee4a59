"""The options of the driver."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from fustor_core.files.exclusion import Exclusion

SILLY = ".nfs" + "[0-9a-f]" * 24


class NfsConfig(BaseModel):
    """Settings of the source `nfs`."""

    model_config = ConfigDict(extra="forbid")

    root: str = Field(min_length=1, description="Host path of the directory that is polled.")
    exclude: list[str] = Field(
        default=[],
        description="Globs of what is left out: on the name, with a `/` in it on the view path "
        "(`*` stops at a slash there, `**` does not). Of a directory left out, only the fact is "
        "shown; a file left out is not shown at all.",
    )
    exclude_paths: list[str] = Field(
        default=[],
        description="Host paths left out with everything below them, such as a state directory.",
    )
    cross_filesystems: bool = Field(
        default=False, description="Enter other file systems that are mounted below the root."
    )
    cache_bound: float | None = Field(
        default=None,
        ge=0,
        le=86_400,
        description="Seconds for which the mount may remember attributes and names; without it "
        "the mount's own options say so (`acregmax`, `acdirmax`, `actimeo`, `noac`). A number that "
        "is too small makes old answers look new, and the view wrong.",
    )
    rate: Literal["auto"] | Annotated[float, Field(gt=0)] = Field(
        default="auto",
        description="Polling does at most so many operations per second; `auto`: so many that the "
        "storage is busy with them for a tenth of the time.",
    )
    poll_interval: float = Field(
        default=60.0,
        gt=0,
        description="Seconds after which a quiet directory is read again, if the rate allows; one "
        "that changes is read more often. 0.1 at least is useful.",
    )
    hang_after: float = Field(
        default=20.0,
        gt=0,
        description="A look that brings nothing for so many seconds is given up, its process is "
        "killed, and what it looked at counts as hung.",
    )
    show_silly_renames: bool = Field(
        default=False,
        description="Show the `.nfs…` files that stand for removed files that are still open.",
    )

    @field_validator("exclude")
    @classmethod
    def _globs(cls, value: list[str]) -> list[str]:
        for glob in value:
            try:
                Exclusion([glob])
            except re.error as err:
                raise ValueError(f"{glob!r} is no glob: {err}") from err
        return value
