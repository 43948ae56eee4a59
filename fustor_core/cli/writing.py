"""What is being written now: the directories that hold files which may still grow, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fustor_core.cli import figures
from fustor_core.cli.call import Call, address
from fustor_core.cli.names import parent, raw
from fustor_core.errors import FustorError

ASKED = 500  # suspects of one view
ACTIVE_S = 10.0  # what changed so lately is being written; the rest settles
SETTLED_S = 30.0


@dataclass(slots=True)
class Written:
    """A directory in which files may still grow.

    Attributes:
        view: it is in. path: of the directory. by: the file that changed last.
        files: how many may still grow. size: of that file. age_s: since it changed.
        settled_s: without a change for so long it counts as settled.
    """

    view: str
    path: bytes
    by: bytes
    files: int
    size: int
    age_s: float
    settled_s: float

    @property
    def active(self) -> bool:
        """Whether it is being written just now."""
        return self.age_s < min(ACTIVE_S, self.settled_s / 3)

    @property
    def standing(self) -> str:
        """In how long it counts as settled, if it is left alone."""
        left_s = self.settled_s - self.age_s
        return "being written" if self.active else f"settles in {figures.span(max(1.0, left_s))}"

    @property
    def changed(self) -> str:
        """``just now``, or how long ago."""
        return "just now" if self.age_s < 1 else f"{figures.span(float(int(self.age_s)))} ago"

    @property
    def file(self) -> bytes:
        """Name of the file that changed last."""
        return self.by.rpartition(b"/")[2] or self.by


def written(call: Call, views: Iterable[Mapping[str, Any]]) -> list[Written]:
    """Every directory that is being written, the latest first.

    Args:
        views: as the status has them.
    """
    found: list[Written] = []
    for view in views:
        if (view.get("quality") or {}).get("suspects"):
            try:
                answer = call.get(address(str(view["view"]), "suspects"), {"limit": ASKED})
            except FustorError:
                continue  # it went, or is not for us: the status says so
            found += directories(view, answer.get("entries") or ())
    return sorted(found, key=lambda one: one.age_s)


def directories(
    view: Mapping[str, Any], suspects: Iterable[Mapping[str, Any]]
) -> Iterable[Written]:
    """The directories of these files, in no order.

    Args:
        view: its status; ages are by the clock of its storage. suspects: entries.
    """
    now_s = _seconds(view.get("logical_time"))
    settled_s = float(view.get("hot_file_threshold_s") or SETTLED_S)
    found: dict[bytes, Written] = {}
    for entry in suspects:
        path = raw(entry)
        changed_s = max(int(entry.get("mtime_ns") or 0), int(entry.get("ctime_ns") or 0)) / 1e9
        age_s = max(0.0, now_s - changed_s) if now_s else 0.0
        size = int(entry.get("size") or 0)
        made = Written(str(view["view"]), parent(path), path, 1, size, age_s, settled_s)
        known = found.get(made.path)
        if known is not None:
            made.files += known.files
            if known.age_s <= age_s:
                made.by, made.size, made.age_s = known.by, known.size, known.age_s
        found[made.path] = made
    return found.values()


def _seconds(stamp: Any) -> float:
    """Seconds since 1970 of a time in a document; 0.0: there is none."""
    try:
        return datetime.fromisoformat(str(stamp)).timestamp()
    except ValueError:
        return 0.0
