"""The whole configuration of interfaces.md §5, and the one place where its defaults stand.

A driver's own options stay a raw mapping here (`DriverBlock.options`, `View.options`) until the
driver's `Config` validates them; their defaults stand there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticKnownError

from fustor_core.units import Seconds, Size

ID_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,63}$"
# Two spellings of one key, both used by those who write configurations.
SPELLINGS = {"heartbeat_interval_seconds": "heartbeat_interval_sec"}


def _no_bool(kind: Literal["int_type", "float_type"]) -> BeforeValidator:
    """Python takes true for 1; nobody who writes a configuration does."""

    def check(value: Any) -> Any:
        if isinstance(value, bool):
            raise PydanticKnownError(kind)
        return value

    return BeforeValidator(check)


def _nothing_is_empty(value: Any) -> Any:
    """``views:`` with nothing behind it is an empty mapping."""
    return {} if value is None else value


Count = Annotated[int, _no_bool("int_type")]
Number = Annotated[float, _no_bool("float_type")]
Id = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
Rate = Annotated[
    Number | Literal["auto"], Field(description="operations per second; auto adapts to the storage")
]


class Section(BaseModel):
    """A part of the configuration: unknown keys are errors, nothing changes once it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _empty(cls, data: Any) -> Any:
        return _nothing_is_empty(data)

    def chosen(self, key: str) -> bool:
        """Whether the user has set `key`, as against its default."""
        return key in self.model_fields_set


class Driven(Section):
    """A driver by name; its options stand beside the name in YAML, and when dumped."""

    driver: str = Field(min_length=1, description="name of an installed driver")
    options: Mapping[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _split(cls, data: Any) -> Any:
        """Put what the model does not name under ``options``."""
        data = _nothing_is_empty(data)
        if not isinstance(data, Mapping):
            return data
        own = {key: data[key] for key in data if key in cls.model_fields and key != "options"}
        own["options"] = {key: data[key] for key in data if key not in own}
        return own

    @model_serializer(mode="wrap")
    def _join(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = dump(self)
        return {**fields.pop("options", {}), **fields}


class DriverBlock(Driven):
    """A source, sink or receiver."""


class Agent(Section):
    """The agent of this process."""

    id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")] | None = (
        Field(
            default=None,
            description="null: the file agent/agent.id, made once, checked against the machine id",
        )
    )
    spool_bytes: Size = Field(default=256 << 20, gt=0, description="unacknowledged bytes kept")
    drain_timeout: Seconds = Field(
        default=30.0, description="how long a stop may take; the rest is journalled"
    )


class AuditTiers(Section):
    """How an audit is spread over cheap and thorough looks."""

    directories: Seconds = Field(default=60.0, description="stat of every directory; 0 = off")
    full: Seconds = Field(default=86400.0, description="stat of every file; 0 = off")
    deep_every: Count = Field(
        default=10, ge=1, description="each directory is read whole in one of so many audits"
    )
    rate: Rate = "auto"


class Pipe(Section):
    """Source → sink, on an agent."""

    source: DriverBlock = Field(description="what is watched and scanned")
    sink: DriverBlock = Field(description="who takes the batches")
    follower: Literal["realtime", "standby"] = Field(
        default="realtime", description="what a follower does: send events, or send nothing"
    )
    on_max_errors: Literal["continue", "stop"] = Field(
        default="continue", description="stop: ERROR until `fustor pipe resume`"
    )
    session_timeout_seconds: Seconds = Field(
        default=30.0, gt=0, description="a session ends after so much silence"
    )
    heartbeat_interval_sec: Seconds = Field(
        default=10.0,
        gt=0,
        description="used: the smaller of this and the server's (a third of the session timeout)",
    )
    audit_interval_sec: Seconds = Field(
        default=600.0,
        description="the middle tier: names and inodes; 0 = no audits but in tiers set below; "
        "wins over the view's when set",
    )
    audit: AuditTiers = Field(default_factory=AuditTiers)
    sentinel_interval_sec: Seconds = Field(
        default=120.0, description="0 = off; wins over the view's when set"
    )
    error_retry_interval: Seconds = Field(
        default=5.0, gt=0, description="delay after the first error"
    )
    max_consecutive_errors: Count = Field(
        default=5, ge=1, description="from so many errors in a row on, the pipe is in ERROR"
    )
    backoff_multiplier: Number = Field(
        default=2.0, ge=1, description="growth of the delay with each further error"
    )
    max_backoff_seconds: Seconds = Field(default=60.0, gt=0, description="no delay is longer")
    disabled: bool = Field(default=False, description="true: it is not started")

    @property
    def view(self) -> str | None:
        """The view that the sink names, here or on another host."""
        view = self.sink.options.get("view")
        return view if isinstance(view, str) else None


class Arbitrator(Driven):
    """Who decides what a row's value is, and its options."""

    driver: str = Field(default="fs", min_length=1, description="name of an installed driver")


class View(Driven):
    """Receiver → arbitrator → view, on fusion. Further keys are the view driver's options."""

    driver: str = Field(default="file", min_length=1, description="name of an installed driver")
    arbitrator: Arbitrator = Field(default_factory=Arbitrator)
    session_timeout_seconds: Seconds = Field(
        default=30.0, gt=0, description="used for a session: the larger of this and the agent's"
    )
    audit_interval_sec: Seconds = Field(default=600.0, description="told to leaders; 0 = off")
    sentinel_interval_sec: Seconds = Field(default=120.0, description="told to leaders; 0 = off")
    max_sessions: Count = Field(default=10000, ge=1, description="sessions at the same time")


class Forest(Section):
    """Several views asked as one."""

    views: list[Id] = Field(min_length=1, description="its members")
    best: Literal["complete", "file_count", "total_size", "latest_mtime"] = Field(
        default="complete", description="which member answers where they differ"
    )


class Log(Section):
    """What is written to stderr."""

    level: Literal["debug", "info", "warning", "error", "critical"] = Field(
        default="info", description="less important lines are left out"
    )
    format: Literal["auto", "console", "json"] = Field(
        default="auto", description="auto: console on a terminal, else json"
    )


class AuditLog(Section):
    """The log of who did what, below the state directory; see `fustor audit`."""

    enabled: bool | None = Field(
        default=None, description="null: where views are served; an agent alone keeps none"
    )
    rotate_bytes: Size = Field(
        default=16 << 20, ge=64 << 10, description="a file that is larger is followed by another"
    )
    keep_age: Seconds = Field(
        default=730 * 86400.0, description="files go whose newest record is older; 0 = never"
    )


def is_key_reference(text: str) -> bool:
    """Whether a text says where a key is, and is not the key itself."""
    return re.fullmatch(r"env:[A-Za-z_][A-Za-z0-9_]*|file:.+", text, re.DOTALL) is not None


def _only_a_reference(text: str) -> str:
    if not is_key_reference(text):
        raise ValueError("it says where the key is, env:NAME or file:PATH; it is not the key")
    return text


class State(Section):
    """The state of this run, and what is kept of it."""

    history: bool | str | None = Field(
        default=None,
        description="true: below the state directory; or a folder, a relative one beginning at "
        "this file; null: none",
    )
    encryption_key: Annotated[str, AfterValidator(_only_a_reference)] | None = Field(
        default=None,
        description="encrypts the history; env:NAME or file:PATH, where keys stand one a line, "
        "the one in use first",
    )
    environment: list[str] = Field(
        default_factory=list,
        description="environment variables whose values are kept; of most others only the names",
    )
    rotate_bytes: Size = Field(
        default=64 << 20, description="the history goes on in a new folder from there on; 0 = never"
    )
    rotate_age: Seconds = Field(default=7 * 86400.0, description="the same by time; 0 = never")
    keep_bytes: Size = Field(
        default=1 << 30, description="the oldest runs go when all take more; 0 = never"
    )
    keep_age: Seconds = Field(default=90 * 86400.0, description="runs go at this age; 0 = never")
    vis_update_rate: Number = Field(default=4.0, gt=0, description="updates a second for boards")


def _default_receivers() -> dict[str, DriverBlock]:
    return {"main": DriverBlock.model_validate({"driver": "http", "listen": ["unix"]})}


class Config(Section):
    """Everything. The ids of pipes, views, forests and receivers match `ID_PATTERN`."""

    version: Literal[1] = Field(default=1, description="of this form of configuration")
    agent: Agent = Field(default_factory=Agent)
    pipes: Annotated[dict[Id, Pipe], BeforeValidator(_nothing_is_empty)] = Field(
        default_factory=dict
    )
    views: Annotated[dict[Id, View], BeforeValidator(_nothing_is_empty)] = Field(
        default_factory=dict
    )
    forests: Annotated[dict[Id, Forest], BeforeValidator(_nothing_is_empty)] = Field(
        default_factory=dict
    )
    receivers: Annotated[dict[Id, DriverBlock], BeforeValidator(_nothing_is_empty)] = Field(
        default_factory=_default_receivers
    )
    log: Log = Field(default_factory=Log)
    audit_log: AuditLog = Field(default_factory=AuditLog)
    state: State = Field(default_factory=State)
    hooks: list[str] = Field(
        default_factory=list,
        description="Python files with hooks; a relative path begins at this file; only their "
        "owner and root may be able to write them",
    )

    def blocks(self) -> list[tuple[str, str, tuple[str, ...], Mapping[str, Any]]]:
        """Every driver in use: kind, name, path of its block, and its options."""
        found: list[tuple[str, str, tuple[str, ...], Mapping[str, Any]]] = []
        for name, pipe in self.pipes.items():
            for kind, block in (("source", pipe.source), ("sink", pipe.sink)):
                found.append((kind, block.driver, ("pipes", name, kind), block.options))
        for name, view in self.views.items():
            found.append(("view", view.driver, ("views", name), view.options))
            path = ("views", name, "arbitrator")
            found.append(("arbitrator", view.arbitrator.driver, path, view.arbitrator.options))
        for name, block in self.receivers.items():
            found.append(("receiver", block.driver, ("receivers", name), block.options))
        return found
