"""What the five kinds of drivers promise, and what the engine promises them.

A driver implements the required methods of one protocol; optional powers are protocols of their
own, found once at load by `isinstance`. Every promise here is checked by a kit in
`fustor_core.testing`. A driver's constructor takes one argument, an instance of its `Config`.
"""

from __future__ import annotations

from fustor_core.contracts.arbitrator import (
    Arbitrator,
    Facts,
    Known,
    Pack,
    Verdict,
    Write,
)
from fustor_core.contracts.receiver import (
    HERE,
    RIGHTS,
    Accept,
    Access,
    Ask,
    Asset,
    Attached,
    Caller,
    Receiver,
    Right,
)
from fustor_core.contracts.sink import (
    Answer,
    Command,
    Grant,
    Hello,
    Introduced,
    Pulse,
    Sessioned,
    Sink,
)
from fustor_core.contracts.source import (
    Bearing,
    Covering,
    Looking,
    Overlapping,
    Polling,
    Reporting,
    Rooted,
    Scope,
    Source,
    Tiered,
    Watching,
    boottime_us,
    view_names,
)
from fustor_core.contracts.view import (
    Applied,
    Durable,
    Moment,
    Page,
    Query,
    Seeking,
    View,
    Wanted,
)

__all__ = [
    "HERE",
    "RIGHTS",
    "Accept",
    "Access",
    "Answer",
    "Applied",
    "Arbitrator",
    "Ask",
    "Asset",
    "Attached",
    "Bearing",
    "Caller",
    "Command",
    "Covering",
    "Durable",
    "Facts",
    "Grant",
    "Hello",
    "Introduced",
    "Known",
    "Looking",
    "Moment",
    "Overlapping",
    "Pack",
    "Page",
    "Polling",
    "Pulse",
    "Query",
    "Receiver",
    "Reporting",
    "Right",
    "Rooted",
    "Scope",
    "Seeking",
    "Sessioned",
    "Sink",
    "Source",
    "Tiered",
    "Verdict",
    "View",
    "Wanted",
    "Watching",
    "Write",
    "boottime_us",
    "view_names",
]
