"""The whole exception tree. Each class means another reaction of whoever catches it.

FustorError
├── IllegalTransition        a bug, or 409 when a request asked for it
├── ConfigError              exit 3: names file, line, column, key, and a suggestion
├── StateError               exit 3: the state directory cannot be used
│   └── StateInUse           exit 8: another process holds it
├── PluginError              a driver cannot be found or loaded
├── MutationError            a change of a run's state that was not made
│   ├── StateConflict        somebody has committed that field before
│   └── StateTooLarge        a node would be larger than it may be
├── MalformedClaim           the claim or batch breaks the protocol: 400, or quarantined
│   └── UnsupportedProtocol  400, with the versions that are spoken
├── AccessError              who asks may not
│   ├── Unauthorized         401: no key, or none that is good
│   └── Forbidden            403: the key is good, but not for this
│       └── Vetoed           a hook does not want it
├── QueryError               a question that makes no sense: 400
│   ├── CursorTooOld         410, with the cursor to restart from
│   ├── NoSuchView           404
│   ├── NoSuchJob            404
│   └── NoSuchKey            404
└── PipeError                what a sink may raise; decides what its pipe does
    ├── SessionObsoletedError   new session at once
    ├── StaleEpochError         drop scan claims, follow the role
    ├── SequenceGap             send again from `expected`
    ├── SlowDown                wait `retry_after_s`
    ├── DiskFull                keep the spool, retry with back-off
    ├── Unreachable             back-off
    └── Refused                 ERROR: a person is needed
        └── TooLarge            the batch is sent in halves; of one claim: as Refused
"""

from __future__ import annotations

from collections.abc import Sequence


class FustorError(Exception):
    """Root of every error that Fustor raises on purpose.

    Args:
        message: what is wrong, naming the thing and the place.
        remedy: what the reader can do about it, or "" when the message says it.
    """

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class IllegalTransition(FustorError):
    """A machine was sent an event that its table does not allow in that state."""

    def __init__(self, machine: str, state: str, event: str, legal: Sequence[str]) -> None:
        allowed = ", ".join(legal) or "none"
        super().__init__(f"{machine}: no event {event!r} in state {state}; legal here: {allowed}")
        self.machine = machine
        self.state = state
        self.event = event
        self.legal = tuple(legal)


class ConfigError(FustorError):
    """A configuration that cannot be used.

    Args:
        message: what is wrong.
        file, line, column: where (1-based), None when it has no place in a file.
        key: dotted key, e.g. ``pipes.my-pipe.source.root``.
        suggestion: the nearest thing that would be right, or "".
        excerpt: the offending line of the file, without its newline.
    """

    def __init__(
        self,
        message: str,
        *,
        file: str | None = None,
        line: int | None = None,
        column: int | None = None,
        key: str = "",
        suggestion: str = "",
        excerpt: str = "",
        remedy: str = "",
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.file = file
        self.line = line
        self.column = column
        self.key = key
        self.suggestion = suggestion
        self.excerpt = excerpt


class StateError(FustorError):
    """The state directory cannot be used: wrong place, newer format, unreadable."""


class DamagedState(StateError):
    """What was stored is not what was written: cut off, changed, or none of ours."""


class StateInUse(StateError):
    """Another process holds the state directory; `pid` names it."""

    def __init__(self, message: str, *, pid: int, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.pid = pid


class PluginError(FustorError):
    """A driver or hook plugin cannot be found, loaded or configured."""


class MalformedClaim(FustorError):
    """A batch or claim breaks the protocol (interfaces.md §3)."""


class UnsupportedProtocol(MalformedClaim):
    """None of the protocol versions that were offered is spoken here; `supported` lists those."""

    def __init__(self, message: str, *, supported: Sequence[int]) -> None:
        super().__init__(message, remedy=f"spoken here: {', '.join(map(str, supported))}")
        self.supported = tuple(supported)


class AccessError(FustorError):
    """Who asks may not do this."""


class Unauthorized(AccessError):
    """No key was given, or none that is known, still good and not revoked (401)."""


class Forbidden(AccessError):
    """The key is good, but its scopes, views or pipes do not cover this (403)."""


class Vetoed(Forbidden):
    """A hook does not want this to be done; `hook` names it."""

    def __init__(self, hook: str, reason: str) -> None:
        super().__init__(f"hook {hook} does not want this: {reason}")
        self.hook = hook
        self.reason = reason


class MutationError(FustorError):
    """A change of a run's state that was not made."""


class StateConflict(MutationError):
    """Two writers have changed one field; the first to commit has won.

    Args:
        field: dotted, as ``nodes.snapshot_data.output_payload``.
        mine: the writer that came second. theirs: the one that has committed.
    """

    def __init__(self, field: str, *, mine: str, theirs: str) -> None:
        super().__init__(
            f"{field}: {theirs} has committed it since {mine} began",
            remedy="begin again with the state as it is now",
        )
        self.field = field
        self.mine = mine
        self.theirs = theirs


class StateTooLarge(MutationError):
    """A node would be larger than it may be; `field` is the one that takes most of it."""

    def __init__(self, field: str, *, size: int, limit: int) -> None:
        super().__init__(
            f"{field}: its node would take {size} bytes, at most {limit}",
            remedy="keep it in a file and put the path of that into context.artifacts",
        )
        self.field = field
        self.size = size
        self.limit = limit


class QueryError(FustorError):
    """A question that makes no sense: bad pattern, path, limit or cursor."""


class CursorTooOld(QueryError):
    """The change feed no longer reaches back to the cursor; `cursor` restarts it."""

    def __init__(self, message: str, *, cursor: str) -> None:
        super().__init__(message, remedy="read the state afresh, then follow from the given cursor")
        self.cursor = cursor


class NoSuchView(QueryError):
    """No view of that name; `known` lists those that exist."""

    def __init__(self, view: str, known: Sequence[str]) -> None:
        super().__init__(f"no view {view!r}", remedy=f"views here: {', '.join(known) or 'none'}")
        self.view = view
        self.known = tuple(known)


class NoSuchJob(QueryError):
    """No scan on demand of that id (404)."""


class NoSuchKey(QueryError):
    """No key of that id (404)."""


class PipeError(FustorError):
    """What a sink raises; the class decides what its pipe does."""


class SessionObsoletedError(PipeError):
    """The session is gone (419): the pipe clears it and opens a new one at once.

    Args:
        reason: ``expired``, ``unknown``, ``replaced`` or ``revoked``.
    """

    def __init__(self, message: str, *, reason: str = "unknown") -> None:
        super().__init__(message)
        self.reason = reason


class StaleEpochError(PipeError):
    """Scan claims of a past leadership (412): they are dropped, the role followed."""

    def __init__(self, message: str, *, epoch: int, role: str) -> None:
        super().__init__(message)
        self.epoch = epoch
        self.role = role


class SequenceGap(PipeError):
    """A batch is missing in between (409): send again from `expected`."""

    def __init__(self, message: str, *, expected: int) -> None:
        super().__init__(message)
        self.expected = expected


class SlowDown(PipeError):
    """The receiver is busy (429, 503): wait `retry_after_s` seconds, then send the same again."""

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class DiskFull(PipeError):
    """The receiver cannot make it durable (507): nothing was acknowledged."""


class Unreachable(PipeError):
    """No answer from the other end: back-off and try again."""


class Refused(PipeError):
    """The other end will never take this (401, 403, 400): a person is needed."""


class TooLarge(Refused):
    """The batch is larger than the other end takes (413); `limit` in bytes, None = not said."""

    def __init__(self, message: str, *, limit: int | None = None, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.limit = limit
