"""The durable journal: what was acknowledged is in it.

`Journal` is the synchronous file; `GroupCommit` shares one fsync among concurrent callers.
"""

from __future__ import annotations

from fustor_core.journal.group import GroupCommit
from fustor_core.journal.log import SEGMENT_BYTES, Journal, JournalFailed, Payload, whole
from fustor_core.journal.recovery import JournalDamage, Recovery, TornTail

__all__ = [
    "SEGMENT_BYTES",
    "GroupCommit",
    "Journal",
    "JournalDamage",
    "JournalFailed",
    "Payload",
    "Recovery",
    "TornTail",
    "whole",
]
