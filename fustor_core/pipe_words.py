"""What an agent's pipe says of itself: to fusion when it opens and beats, to people on request."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

from fustor_core.claims import Root
from fustor_core.config.model import Pipe
from fustor_core.contracts import Hello, Pulse, Reporting, Source, Watching
from fustor_core.link import Link
from fustor_core.post import Post, Progress
from fustor_core.states.pipeline import PipelineState

UNCOVERED_MAX = 1000


@dataclass(frozen=True, slots=True)
class Host:
    """Where a pipe runs.

    Attributes:
        agent_id: made once for each state directory.
        boot: boot id of the operating system. process: names this process within the boot.
        client: program and version.
    """

    agent_id: str
    boot: str = ""
    process: str = ""
    client: str = "fustor"


def coverage(source: Source) -> Mapping[str, Any]:
    """How well a source watches; {} when it cannot say."""
    return cast(Reporting, source).coverage() if _reports(type(source)) else {}


@cache
def _reports(kind: type[Source]) -> bool:
    """Asked at each sign of life, and what a protocol asks for is not looked up quickly."""
    return issubclass(kind, Reporting)


def hello(pipe_id: str, config: Pipe, source: Source, host: Host, root: Root | None) -> Hello:
    """A pipe's first words in a session."""
    place = str(config.source.options.get("root") or "")
    identity = root.identity if root is not None else ""
    return Hello(
        agent_id=host.agent_id,
        pipe=pipe_id,
        view=config.view or "",
        source={
            "driver": config.source.driver,
            "root_b64": base64.b64encode(place.encode("utf-8", "surrogateescape")).decode(),
            "identity": identity,
            "birth": root.birth if root is not None else "none",
        },
        line={
            "boot": host.boot,
            "process": host.process,
            "mount": identity,
            "cache_bound_s": coverage(source).get("cache_bound_s", 0),
        },
        can={"realtime": isinstance(source, Watching), "scan": True},
        session_timeout_s=config.session_timeout_seconds,
        client=host.client,
    )


def uncovered(post: Post, told: Mapping[str, Any]) -> list[bytes]:
    """Where changes are not seen: no watch, or the storage does not answer.

    Args:
        told: by `coverage`.
    """
    paths = list(told.get("uncovered", ()))
    if post.stuck is not None and post.stuck not in paths:
        paths.insert(0, post.stuck)
    return paths


def pulse(state: PipelineState, post: Post) -> Pulse:
    """A heartbeat. Without a root no try is progress: the lead goes to whom the storage answers."""
    progress = post.progress
    scan = progress.document() if progress is not None else None
    if post.rootless_us is not None:
        scan = Progress(post.rootless_us, post.rootless_us).document()
    return Pulse(
        state=int(state),
        queue=post.outbox.queued,
        unacked_bytes=post.outbox.unacked_bytes,
        scan=scan,
        uncovered=tuple(uncovered(post, coverage(post.source))[:UNCOVERED_MAX]),
    )


def path_item(path: bytes) -> str | dict[str, str]:
    """A path in a list of paths: text when it is valid UTF-8, else base64 of the bytes."""
    try:
        return path.decode()
    except UnicodeDecodeError:
        return {"path_b64": base64.b64encode(path).decode()}


def flags(state: PipelineState) -> list[str]:
    """The names of the bits that are set."""
    return [str(bit.name) for bit in PipelineState if state & bit]


def document(
    pipe_id: str,
    config: Pipe,
    host: Host,
    state: PipelineState,
    link: Link,
    post: Post,
) -> dict[str, Any]:
    """The part of a Pipe (interfaces.md §2) that is not about errors and acknowledgements."""
    told = coverage(post.source)
    place = config.source.options.get("root")
    return {
        "id": pipe_id,
        "agent": host.agent_id,
        "source": f"{config.source.driver}:{place}" if place else config.source.driver,
        "sink": config.sink.driver,
        "view": config.view,
        "state": int(state),
        "flags": flags(state),
        "role": link.role,
        "session_id": link.session_id,
        "epoch": link.epoch,
        "queue": post.outbox.queued,
        "unacked_bytes": post.outbox.unacked_bytes,
        "watched_dirs": told.get("watched_dirs", 0),
        "watch_limit": told.get("watch_limit"),
        "watched_by": told.get("watched_by"),
        "watched_why": told.get("watched_why", ""),
        "uncovered": [path_item(path) for path in uncovered(post, told)],
        "warnings": list(told.get("warnings", ())),
        "tallies": post.tallies.document(),
    }
