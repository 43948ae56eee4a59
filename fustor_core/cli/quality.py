"""How far an answer can be trusted, in one line of talk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fustor_core.cli import figures
from fustor_core.cli.names import quoted, raw
from fustor_core.cli.screen import Screen

EXAMPLES = 3
BY_CHOICE = ("excluded", "other_device")
REASONS = {
    "not_yet": "not scanned yet",
    "permission": "permission denied",
    "io_error": "I/O error",
    "vanished_root": "the root has vanished",
    "hung": "the storage hangs",
    "overflow": "changes were lost, a new look is due",
    "quarantine": "rows or batches were refused, a new look is due",
    "excluded": "excluded",
    "other_device": "another file system",
}


def doubts(quality: Mapping[str, Any] | None) -> list[str]:
    """What speaks against an answer, the gravest first; empty when nothing does."""
    if not quality:
        return []
    found = []
    if quality.get("frozen"):
        found.append("frozen: a scan would remove too much; see `fustor view confirm`")
    if quality.get("stale"):
        age = quality.get("age_s")
        found.append("stale" + (f": last seen {figures.span(float(age))} ago" if age else ""))
    if quality.get("complete") is False:
        found.append(f"incomplete: {_unscanned(quality)}")
    for key, thing, plural in (
        ("suspects", "suspect entry", "suspect entries"),
        ("debts", "disputed entry", "disputed entries"),
    ):
        number = int(quality.get(key) or 0)
        if number:
            found.append(figures.counted(number, thing, plural))
    return found


def tell(screen: Screen, quality: Mapping[str, Any] | None) -> None:
    """One line on stderr when there are doubts; nothing when there are none."""
    found = doubts(quality)
    if found:
        screen.note("note: " + " · ".join(found), "yellow")


def excluded(quality: Mapping[str, Any] | None) -> list[bytes]:
    """The directories that were left out by choice, as far as they are named."""
    listed = (quality or {}).get("unscanned") or []
    return [raw(item) for item in listed if item.get("reason") in BY_CHOICE]


def _unscanned(quality: Mapping[str, Any]) -> str:
    listed = [i for i in quality.get("unscanned") or [] if i.get("reason") not in BY_CHOICE]
    total = int(quality.get("unscanned_total") or len(listed))
    if not listed:
        return f"{figures.counted(total, 'directory', 'directories')} not listed"
    shown = ", ".join(f"{quoted(raw(item))} ({_reason(item)})" for item in listed[:EXAMPLES])
    more = total - len(listed[:EXAMPLES])
    rest = f" and {more:,} more" if more > 0 else ""
    return f"{figures.counted(total, 'directory', 'directories')} not listed: {shown}{rest}"


def _reason(item: Mapping[str, Any]) -> str:
    reason = str(item.get("reason") or "unknown")
    return REASONS.get(reason, reason)
