"""What was found: figures beside those of their peers, and answers that were wrong."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import gauges

Values = Sequence[float]
HEAD = ("what", "ours", "spread", "peer", "measured", "ours ÷ peer", "goal", "")


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure is to reach; a missed one is shown, never judged.

    Args:
        sign: ``≤`` or ``≥``. bound: in the figure's unit, or of the ratio.
        ratio: the bound is of ours ÷ peer.
    """

    sign: str
    bound: float
    ratio: bool = False

    def __str__(self) -> str:
        return f"{self.sign} {self.bound:g}{' × peer' if self.ratio else ''}"

    def met(self, value: float, ratio: float | None) -> bool | None:
        """Whether it is reached; None: there is no peer to tell."""
        shown = ratio if self.ratio else value
        if shown is None:
            return None
        return shown <= self.bound if self.sign == "≤" else shown >= self.bound


@dataclass(slots=True)
class Figure:
    """One line of the table.

    Args:
        what: the thing measured. unit: of ours and the peer's. ours: a value for each repeat.
        peer: what it is compared with. theirs: values of the peer in the same unit.
    """

    what: str
    unit: str
    ours: Values
    peer: str = ""
    theirs: Values = ()
    goal: Goal | None = None

    @property
    def value(self) -> float:
        """Median of the repeats."""
        return gauges.median(self.ours)

    @property
    def ratio(self) -> float | None:
        """Ours ÷ peer, of the medians."""
        against = gauges.median(self.theirs) if self.theirs else 0.0
        return self.value / against if against else None

    def document(self) -> dict[str, Any]:
        """For JSON, every repeat included."""
        goal = self.goal
        return {
            "what": self.what,
            "unit": self.unit,
            "ours": self.value,
            "ours_all": list(self.ours),
            "peer": self.peer or None,
            "theirs": gauges.median(self.theirs) if self.theirs else None,
            "theirs_all": list(self.theirs),
            "ratio": self.ratio,
            "goal": None if goal is None else str(goal),
            "met": None if goal is None else goal.met(self.value, self.ratio),
        }

    def cells(self) -> tuple[str, ...]:
        """One line of the table."""
        spread = ""
        if len(self.ours) > 1:
            spread = f"{_number(min(self.ours))}–{_number(max(self.ours))}"
        ratio = self.ratio
        met = self.goal.met(self.value, ratio) if self.goal else None
        return (
            self.what,
            f"{_number(self.value)} {self.unit}",
            spread,
            self.peer,
            f"{_number(gauges.median(self.theirs))} {self.unit}" if self.theirs else "",
            "" if ratio is None else _number(ratio),
            str(self.goal or ""),
            {True: "met", False: "missed", None: ""}[met],
        )


@dataclass(slots=True)
class Report:
    """All figures of a run by section, and every wrong answer.

    Args:
        aloud: what comes in is shown on stderr at once.
    """

    sections: dict[str, list[Figure]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    checked: int = 0
    aloud: bool = True

    def add(self, section: str, *figures: Figure) -> None:
        """Takes figures in."""
        self.sections.setdefault(section, []).extend(figures)
        for figure in figures:
            self._say(f"{section}: {figure.what}: {figure.cells()[1]}")

    def check(self, right: bool, what: str) -> None:
        """Counts an answer that was compared; a wrong one is told at the end.

        Args:
            what: was asked, and how the answer differs.
        """
        self.checked += 1
        if not right:
            self.wrong.append(what)

    def note(self, text: str) -> None:
        """Something the reader must know about the figures."""
        if text and text not in self.notes:
            self.notes.append(text)
            self._say(f"note: {text}")

    def _say(self, text: str) -> None:
        if self.aloud:
            print(f"  {text}", file=sys.stderr, flush=True)

    def text(self, machine: dict[str, object]) -> str:
        """The table."""
        lines = [", ".join(f"{name} {value}" for name, value in machine.items()), ""]
        for section, figures in self.sections.items():
            rows = [HEAD, *(figure.cells() for figure in figures)]
            widths = [max(len(row[at]) for row in rows) for at in range(len(HEAD))]
            lines.append(section)
            lines += ["  " + _line(row, widths) for row in rows]
            lines.append("")
        lines += [f"note: {text}" for text in self.notes]
        lines.append(f"{self.checked:,} answers checked, {len(self.wrong):,} wrong")
        lines += [f"WRONG: {text}" for text in self.wrong[:20]]
        return "\n".join(lines)

    def document(self, machine: dict[str, object]) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "machine": machine,
            "sections": {name: [f.document() for f in fs] for name, fs in self.sections.items()},
            "notes": self.notes,
            "checked": self.checked,
            "wrong": self.wrong,
        }


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    """Words to the left, figures to the right."""
    left = {0, 3, 6, 7}
    cells = [
        cell.ljust(width) if at in left else cell.rjust(width)
        for at, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()


def _number(value: float) -> str:
    """Three digits that count."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
