"""Options of the driver."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from fustor_core.units import Seconds, Size


def _absolute(folder: Path) -> Path:
    """The folder, wherever the program is started.

    Raises:
        ValueError: it depends on that.
    """
    if not folder.is_absolute() or "\0" in str(folder):
        raise ValueError("this is no absolute path; write the folder from / on")
    return folder


class Options(BaseModel):
    """Options of the sink `file`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    folder: Annotated[Path, AfterValidator(_absolute)] = Field(
        description="folder of the files; made if it is missing; no other pipe may write there"
    )
    rotate_size: Size = Field(
        64 << 20, gt=0, description="a file that would grow beyond this is full"
    )
    rotate_age: Seconds = Field(
        86400.0, description="a file that was begun so long ago is full; 0: age does not matter"
    )
    format: Literal["jsonl", "parquet"] = Field(
        "jsonl", description="of full files: JSON lines, or a table (needs the extra `parquet`)"
    )
    compress: Literal["none", "gzip", "zstd"] = Field(
        "none", description="what full files are packed with"
    )
    keep_files: int | None = Field(
        None, ge=0, description="how many full files are kept, the newest; null: all"
    )
    keep_size: Size | None = Field(
        None, description="how many bytes of full files are kept, the newest; null: all"
    )
    inside_root: bool = Field(
        False, description="allow a folder in the watched tree; the source has to leave it out"
    )

    @model_validator(mode="after")
    def _can_write(self) -> Self:
        if self.format == "parquet" and importlib.util.find_spec("pyarrow") is None:
            raise ValueError(
                "tables need pyarrow, which is not installed: pip install"
                " 'fustor-driver-sink-file[parquet]', or leave `format` out"
            )
        return self
