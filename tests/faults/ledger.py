"""What was ever made of faults, and what came of it: one JSON file, written by the campaigns."""

from __future__ import annotations

import fcntl
import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FIRST_LINE = 200


@dataclass
class Told:
    """What a piece of a campaign tells.

    Attributes:
        counts: how often. most: the largest of a measure.
        points: where something was done, numbers by kind.
    """

    counts: Counter[str] = field(default_factory=Counter)
    most: dict[str, float] = field(default_factory=dict)
    points: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))

    def at_most(self, name: str, value: float) -> None:
        """Keep it if it is the largest."""
        self.most[name] = max(value, self.most.get(name, value))


class Ledger:
    """Adds to the file; several processes may, at the same time.

    Args:
        path: of the file, made when absent; None: nothing is kept. commit: what is run.
    """

    def __init__(self, path: Path | None, commit: str) -> None:
        self.path = path
        self.commit = commit

    @contextmanager
    def telling(self, campaign: str) -> Iterator[Told]:
        """A piece of a campaign, kept also when it fails, and then with the reason."""
        told, why = Told(), ""
        try:
            yield told
        except Exception as error:
            why = (str(error).strip() or repr(error)).splitlines()[0][:FIRST_LINE]
            raise
        finally:
            if self.path is not None:
                self._add(self.path, campaign, told, why)

    def spots(self, campaign: str) -> dict[str, set[int]]:
        """Where it was done already, so that a run can do it elsewhere."""
        if self.path is None or not self.path.exists():
            return {}
        kept = json.loads(self.path.read_text()).get(campaign)
        return spots(kept) if kept else {}

    def _add(self, path: Path, campaign: str, told: Told, why: str) -> None:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            ledger = json.loads(path.read_text()) if path.exists() else {}
            kept = ledger.setdefault(campaign, {"runs": [], "points": {}, "broken": []})
            if not kept["runs"] or kept["runs"][-1]["commit"] != self.commit:
                kept["runs"].append({"commit": self.commit, "counts": {}, "most": {}})
            _merge(kept, told)
            if why:
                kept["broken"].append([why, self.commit])
            fresh = path.with_suffix(".new")
            fresh.write_text(json.dumps(ledger, indent=1, sort_keys=True) + "\n")
            os.replace(fresh, path)
        finally:
            os.close(folder)


def _merge(kept: dict[str, Any], told: Told) -> None:
    run = kept["runs"][-1]
    run["counts"] = dict(Counter(run["counts"]) + told.counts)
    for name, value in told.most.items():
        run["most"][name] = max(value, run["most"].get(name, value))
    for kind, numbers in told.points.items():
        kept["points"][kind] = _spans(_numbers(kept["points"].get(kind, "")) | numbers)


def _spans(numbers: set[int]) -> str:
    """Numbers as `1-5,7`."""
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ",".join(f"{first}-{last}" if last > first else f"{first}" for first, last in found)


def _numbers(spans: str) -> set[int]:
    """What `_spans` has written."""
    found: set[int] = set()
    for span in filter(None, spans.split(",")):
        first, _, last = span.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


def counted(kept: Mapping[str, Any]) -> Counter[str]:
    """All runs of a campaign together."""
    total: Counter[str] = Counter()
    for run in kept["runs"]:
        total.update(run["counts"])
    return total


def largest(kept: Mapping[str, Any], name: str) -> float:
    """Of all runs of a campaign."""
    return max((run["most"][name] for run in kept["runs"] if name in run["most"]), default=0.0)


def places(kept: Mapping[str, Any]) -> int:
    """How many distinct points there were."""
    return sum(len(numbers) for numbers in spots(kept).values())


def spots(kept: Mapping[str, Any]) -> dict[str, set[int]]:
    """The distinct points by kind."""
    return {kind: _numbers(spans) for kind, spans in kept["points"].items()}
