"""From fusion time back to true time, which only the world knows."""

from __future__ import annotations

from dataclasses import dataclass

EVER_US = 1 << 62


@dataclass(slots=True)
class Span:
    """One boot of fusion's clock: fusion time is true time + `ahead_us` from start to end."""

    start_us: int
    end_us: int
    ahead_us: int


class Times:
    """All boots of fusion's clock. Between two boots fusion time is only known to pass."""

    def __init__(self) -> None:
        self._spans: list[Span] = []

    def __repr__(self) -> str:
        return f"<Times {self._spans}>"

    def runs(self, now_us: int, ahead_us: int) -> None:
        """A process of fusion runs now."""
        last = self._spans[-1] if self._spans else None
        if last is None:
            self._spans.append(Span(-EVER_US, EVER_US, ahead_us))
        elif last.ahead_us != ahead_us:
            self._spans.append(Span(now_us, EVER_US, ahead_us))

    def ends(self, now_us: int) -> None:
        """The operating system under it is gone."""
        self._spans[-1].end_us = now_us

    def earliest(self, fusion_us: int) -> int:
        """The first true instant that this fusion time can mean."""
        before = -EVER_US
        for span in self._spans:
            if fusion_us < span.start_us + span.ahead_us:
                return before
            if fusion_us <= span.end_us + span.ahead_us:
                return fusion_us - span.ahead_us
            before = span.end_us
        return before

    def latest(self, fusion_us: int) -> int:
        """The last one."""
        after = EVER_US
        for span in reversed(self._spans):
            if fusion_us > span.end_us + span.ahead_us:
                return after
            if fusion_us >= span.start_us + span.ahead_us:
                return fusion_us - span.ahead_us
            after = span.start_us
        return after
