"""The options that all sources of files have."""

from __future__ import annotations

import re

from pydantic import BaseModel, ConfigDict, Field, field_validator

from fustor_core.files.exclusion import Exclusion


class TreeOptions(BaseModel):
    """Which directory tree, and what of it."""

    model_config = ConfigDict(extra="forbid")

    root: str = Field(min_length=1, description="Host path of the directory that is watched.")
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

    @field_validator("exclude")
    @classmethod
    def _globs(cls, value: list[str]) -> list[str]:
        for glob in value:
            try:
                Exclusion([glob])
            except re.error as err:
                raise ValueError(f"{glob!r} is no glob: {err}") from err
        return value
