"""The options of the driver."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fustor_core.files.options import TreeOptions

SILLY = ".nfs" + "[0-9a-f]" * 24


class NfsConfig(TreeOptions):
    """Settings of the source `nfs`."""

    watch: Literal["auto", "inotify", "off"] = Field(
        default="auto",
        description="`auto`: inotify, where it can be had, tells at once what this host itself "
        "writes, and polling finds the rest; `inotify`: fail without it; `off`: polling alone.",
    )
    cache_bound: float | None = Field(
        default=None,
        ge=0,
        le=86_400,
        description="Seconds for which the mount may remember attributes and names; without it "
        "the mount's own options say so (`acregmax`, `acdirmax`, `actimeo`, `noac`). A number that "
        "is too small makes old answers look new, and the view wrong for a while; when that is "
        "noticed, a larger one is used, and the pipe warns.",
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
