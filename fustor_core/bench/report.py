"""What was found: figures beside those of their peers, and answers that were wrong."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from fustor_core.bench import gauges

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
        row: of the table of goals in which it stands.
    """

    what: str
    unit: str
    ours: Values
    peer: str = ""
    theirs: Values = ()
    goal: Goal | None = None
    row: str = ""

    @property
    def value(self) -> float:
        """Median of the repeats."""
        return gauges.median(self.ours)

    @property
    def against(self) -> float | None:
        """Median of the peer; None: there is none."""
        return gauges.median(self.theirs) if self.theirs else None

    @property
    def ratio(self) -> float | None:
        """Ours ÷ peer, of the medians."""
        return self.value / self.against if self.against else None

    def document(self) -> dict[str, Any]:
        """For JSON, every repeat included."""
        goal = self.goal
        return {
            "what": self.what,
            "row": self.row or None,
            "unit": self.unit,
            "ours": self.value,
            "ours_all": list(self.ours),
            "peer": self.peer or None,
            "theirs": self.against,
            "theirs_all": list(self.theirs),
            "ratio": self.ratio,
            "goal": None if goal is None else str(goal),
            "met": None if goal is None else goal.met(self.value, self.ratio),
        }

    def cells(self) -> tuple[str, ...]:
        """One line of the table."""
        spread = ""
        if len(self.ours) > 1:
            spread = f"{number(min(self.ours))}–{number(max(self.ours))}"
        ratio = self.ratio
        met = self.goal.met(self.value, ratio) if self.goal else None
        return (
            self.what,
            f"{number(self.value)} {self.unit}",
            spread,
            self.peer,
            f"{number(gauges.median(self.theirs))} {self.unit}" if self.theirs else "",
            "" if ratio is None else number(ratio),
            str(self.goal or ""),
            {True: "met", False: "missed", None: ""}[met],
        )


@dataclass(slots=True)
class Report:
    """All figures of a run by section, and every wrong answer.

    Args:
        aloud: what comes in is shown on stderr at once.

    Attributes:
        earlier: what Fustor 0.8.17 reaches, by row of the table of goals.
    """

    sections: dict[str, list[Figure]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    checked: int = 0
    aloud: bool = True
    earlier: dict[str, str] = field(default_factory=dict)

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
            lines += [section, aligned(rows, left={0, 3, 6, 7}), ""]
        lines += [f"note: {text}" for text in self.notes]
        lines.append(f"{self.checked:,} answers checked, {len(self.wrong):,} wrong")
        lines += [f"WRONG: {text}" for text in self.wrong[:20]]
        return "\n".join(lines)

    def document(self, machine: dict[str, object]) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "machine": machine,
            "sections": {name: [f.document() for f in fs] for name, fs in self.sections.items()},
            "earlier": self.earlier,
            "notes": self.notes,
            "checked": self.checked,
            "wrong": self.wrong,
        }


def aligned(rows: Sequence[Sequence[str]], *, left: Collection[int]) -> str:
    """A table for people.

    Args:
        rows: the first one is the head. left: columns of words; the others hold figures.
    """
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if at in left else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(("  " + "  ".join(cells)).rstrip())
    return "\n".join(lines)


def number(value: float) -> str:
    """Three digits that count."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
