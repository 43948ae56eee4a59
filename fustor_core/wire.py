"""The control plane on the wire (interfaces.md §3): JSON documents and the headers of the clock.

Both ends of the protocol read and write with these functions, so that they cannot drift apart.
Fields that are not known are ignored: a newer peer says them before it knows what is spoken here.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

import msgspec

from fustor_core.claims import PROTOCOL, Ack, Key, Owed, Quarantined
from fustor_core.contracts.sink import Answer, Command, Grant, Hello, Pulse, Rest
from fustor_core.errors import MalformedClaim, UnsupportedProtocol

SENT = "Fustor-Sent"
ECHO = "Fustor-Echo"
ENCODING = "zstd"
EXPANSION_MAX = 1000  # a body that expands further is taken for a bomb
SPOKEN = (PROTOCOL,)
TIMEOUT_S_MAX = 86400.0
_I63 = (1 << 63) - 1

Word = Annotated[str, msgspec.Meta(max_length=256)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Text = Annotated[str, msgspec.Meta(max_length=16384)]
Count = Annotated[int, msgspec.Meta(ge=0, le=_I63)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=TIMEOUT_S_MAX)]
T = TypeVar("T")


class _Line(msgspec.Struct):
    boot: Word = ""
    process: Word = ""
    mount: Text = ""
    cache_bound_s: Annotated[float, msgspec.Meta(ge=0, le=TIMEOUT_S_MAX)] = 0.0


class _Source(msgspec.Struct):
    driver: Word = ""
    root_b64: Text = ""
    identity: Text = ""
    birth: Word = ""


class _Can(msgspec.Struct):
    realtime: bool = False
    scan: bool = False


class _Hello(msgspec.Struct):
    protocol: Annotated[
        list[Annotated[int, msgspec.Meta(ge=0, le=_I63)]], msgspec.Meta(max_length=32)
    ]
    agent_id: Name
    pipe: Name
    view: Name
    source: _Source = msgspec.field(default_factory=_Source)
    line: _Line = msgspec.field(default_factory=_Line)
    can: _Can = msgspec.field(default_factory=_Can)
    session_timeout_seconds: Seconds | None = None
    client: Word = ""


class _Limits(msgspec.Struct):
    batch_bytes: Count = 8 << 20
    rows: Count = 100_000


class _Grant(msgspec.Struct):
    session_id: Name
    role: Name
    epoch: Count
    session_timeout_seconds: Seconds
    heartbeat_interval_sec: Seconds
    audit_interval_sec: float
    sentinel_interval_sec: float
    server_time: int
    protocol: int = PROTOCOL
    next_seq: Count = 1
    birth: Word = "btime"
    limits: _Limits = msgspec.field(default_factory=_Limits)
    rest: Rest | None = None


class _Scan(msgspec.Struct):
    started_us: int
    progress_us: int
    directories: Count


class _Pulse(msgspec.Struct):
    state: Annotated[int, msgspec.Meta(ge=0, le=65535)]
    queue: Count = 0
    unacked_bytes: Count = 0
    scan: _Scan | None = None
    uncovered_b64: Annotated[list[Text], msgspec.Meta(max_length=10_000)] = []


class _Target(msgspec.Struct, omit_defaults=True):
    path_b64: Text
    key: Key | None = None


class _Command(msgspec.Struct):
    id: Name
    kind: Name
    targets: list[_Target]
    recursive: bool = False
    deadline_s: float = 60.0


class _Answer(msgspec.Struct):
    role: Name
    epoch: Count
    server_time: int
    commands: list[_Command] = []
    rest: Rest | None = None


class _Refused(msgspec.Struct, omit_defaults=True):
    index: int
    reason: str
    name_b64: str | None = None


class _Owed(msgspec.Struct):
    key: Key
    path_b64: str
    deep: bool = False


class _Ack(msgspec.Struct):
    acked: Count
    server_time: int = 0
    quarantined: list[_Refused] = []
    owed: list[_Owed] = []


def write_hello(hello: Hello) -> bytes:
    """The body of `POST /pipe/sessions/`."""
    timeout = hello.session_timeout_s
    document: dict[str, object] = {
        "protocol": list(hello.protocol),
        "agent_id": hello.agent_id,
        "pipe": hello.pipe,
        "view": hello.view,
        "source": hello.source,
        "line": hello.line,
        "can": hello.can,
        "client": hello.client,
    }
    if timeout is not None:
        document["session_timeout_seconds"] = timeout
    return msgspec.json.encode(document)


def read_hello(body: bytes) -> Hello:
    """What `write_hello` wrote.

    Raises:
        MalformedClaim: it is none. UnsupportedProtocol: no version in common.
    """
    said = _read(body, _Hello)
    if not set(said.protocol) & set(SPOKEN):
        offered = ", ".join(map(str, said.protocol)) or "none"
        raise UnsupportedProtocol(f"protocol versions offered: {offered}", supported=SPOKEN)
    _bytes_of(said.source.root_b64)
    return Hello(
        agent_id=said.agent_id,
        pipe=said.pipe,
        view=said.view,
        source=msgspec.structs.asdict(said.source),
        line=msgspec.structs.asdict(said.line),
        can=msgspec.structs.asdict(said.can),
        session_timeout_s=said.session_timeout_seconds,
        protocol=tuple(said.protocol),
        client=said.client,
    )


def chosen_protocol(offered: Sequence[int]) -> int:
    """The newest version that both ends speak.

    Raises:
        ValueError: there is none; `read_hello` has seen to that.
    """
    return max(set(offered) & set(SPOKEN))


def write_grant(grant: Grant) -> bytes:
    """The body of the reply to it."""
    return msgspec.json.encode(
        _Grant(
            session_id=grant.session_id,
            role=grant.role,
            epoch=grant.epoch,
            session_timeout_seconds=grant.session_timeout_s,
            heartbeat_interval_sec=grant.heartbeat_interval_s,
            audit_interval_sec=grant.audit_interval_s,
            sentinel_interval_sec=grant.sentinel_interval_s,
            server_time=grant.server_time,
            protocol=grant.protocol,
            next_seq=grant.next_seq,
            birth=grant.birth,
            limits=_Limits(grant.batch_bytes, grant.rows),
            rest=grant.rest,
        )
    )


def read_grant(body: bytes) -> Grant:
    """What `write_grant` wrote.

    Raises:
        MalformedClaim: it is none.
    """
    said = _read(body, _Grant)
    return Grant(
        session_id=said.session_id,
        role=said.role,
        epoch=said.epoch,
        session_timeout_s=said.session_timeout_seconds,
        heartbeat_interval_s=said.heartbeat_interval_sec,
        audit_interval_s=said.audit_interval_sec,
        sentinel_interval_s=said.sentinel_interval_sec,
        server_time=said.server_time,
        next_seq=said.next_seq,
        birth=said.birth,
        batch_bytes=said.limits.batch_bytes,
        rows=said.limits.rows,
        protocol=said.protocol,
        rest=said.rest,
    )


def write_pulse(pulse: Pulse) -> bytes:
    """The body of a heartbeat."""
    return msgspec.json.encode(
        {
            "state": pulse.state,
            "queue": pulse.queue,
            "unacked_bytes": pulse.unacked_bytes,
            "scan": pulse.scan,
            "uncovered_b64": [_text_of(path) for path in pulse.uncovered],
        }
    )


def read_pulse(body: bytes) -> Pulse:
    """What `write_pulse` wrote.

    Raises:
        MalformedClaim: it is none.
    """
    said = _read(body, _Pulse)
    return Pulse(
        state=said.state,
        queue=said.queue,
        unacked_bytes=said.unacked_bytes,
        scan=None if said.scan is None else msgspec.structs.asdict(said.scan),
        uncovered=tuple(map(_bytes_of, said.uncovered_b64)),
    )


def write_answer(answer: Answer) -> bytes:
    """The body of the reply to a heartbeat."""
    commands = [
        _Command(
            c.id,
            c.kind,
            [_Target(_text_of(path), key) for key, path in c.targets],
            c.recursive,
            c.deadline_s,
        )
        for c in answer.commands
    ]
    told = _Answer(answer.role, answer.epoch, answer.server_time, commands, answer.rest)
    return msgspec.json.encode(told)


def read_answer(body: bytes) -> Answer:
    """What `write_answer` wrote.

    Raises:
        MalformedClaim: it is none.
    """
    said = _read(body, _Answer)
    commands = tuple(
        Command(
            c.id,
            c.kind,
            tuple((target.key, _bytes_of(target.path_b64)) for target in c.targets),
            c.recursive,
            c.deadline_s,
        )
        for c in said.commands
    )
    return Answer(said.role, said.epoch, said.server_time, commands, said.rest)


def write_ack(ack: Ack) -> bytes:
    """The body of the reply to a batch."""
    refused = [
        _Refused(q.index, q.reason, None if q.name is None else _text_of(q.name))
        for q in ack.quarantined
    ]
    owed = [_Owed(one.key, _text_of(one.path), one.deep) for one in ack.owed]
    return msgspec.json.encode(_Ack(ack.acked, ack.server_time, refused, owed))


def read_ack(body: bytes) -> Ack:
    """What `write_ack` wrote.

    Raises:
        MalformedClaim: it is none.
    """
    said = _read(body, _Ack)
    refused = tuple(
        Quarantined(q.index, q.reason, None if q.name_b64 is None else _bytes_of(q.name_b64))
        for q in said.quarantined
    )
    owed = tuple(Owed(one.key, _bytes_of(one.path_b64), one.deep) for one in said.owed)
    return Ack(said.acked, said.server_time, refused, owed)


def clock_headers(sent_us: int, echo: tuple[int, int] | None) -> dict[str, str]:
    """The headers of a request; see `Caller`."""
    headers = {SENT: str(sent_us)}
    if echo is not None:
        headers[ECHO] = f"{echo[0]},{echo[1]}"
    return headers


def read_clock(sent: str | None, echo: str | None) -> tuple[int | None, tuple[int, int] | None]:
    """(`sent_us`, `echo`) of a request's headers; None for what was not said.

    Raises:
        MalformedClaim: a header is no such thing.
    """
    try:
        server, comma, received = (echo or "").partition(",")
        pair = (_stamp(server), _stamp(received)) if comma else None
        if echo and pair is None:
            raise ValueError("one number alone")
        return (None if sent is None else _stamp(sent)), pair
    except ValueError as error:
        raise MalformedClaim(f"{SENT}, {ECHO}: {error}") from error


def schemas(ref_template: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """JSON Schemas of the documents.

    Args:
        ref_template: of references, with ``{name}``.

    Returns:
        A reference for each of hello, grant, pulse, answer and ack; and what they refer to by name.
    """
    kinds = {"hello": _Hello, "grant": _Grant, "pulse": _Pulse, "answer": _Answer, "ack": _Ack}
    refs, parts = msgspec.json.schema_components(kinds.values(), ref_template=ref_template)
    return dict(zip(kinds, refs, strict=True)), parts


def _stamp(text: str) -> int:
    number = text.strip()
    if not number.isascii() or not number.removeprefix("-").isdigit() or len(number) > 19:
        raise ValueError(f"{text[:40]!r} is no number of microseconds")
    return int(number)


def _read(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise MalformedClaim(f"the body is not as it should be: {error}") from error


def _text_of(path: bytes) -> str:
    return base64.b64encode(path).decode()


def _bytes_of(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedClaim(f"{text[:40]!r} is no base64") from error
