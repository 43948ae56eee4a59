"""The arbitrator of a simulated world: it tells the checker what it judges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel

from fustor_core.claims import Claim
from fustor_core.contracts import Arbitrator, Facts, Known, Sparing, Verdict

if TYPE_CHECKING:
    from fustor_core.testing.sim.checker import Checker


class Watched:
    """An arbitrator that tells the checker which directories it judged about."""

    class Config(BaseModel):
        """As of the one inside."""

    def __init__(self, inner: Arbitrator, checker: Checker) -> None:
        self._inner, self._checker = inner, checker
        self._spares = inner.spares if isinstance(inner, Sparing) else None

    def __repr__(self) -> str:
        return f"<Watched {self._inner!r}>"

    def judge(self, known: Known | None, claim: Claim, facts: Facts) -> Verdict:
        """As the one inside does."""
        verdict = self._inner.judge(known, claim, facts)
        self._checker.judged(claim, verdict)
        return verdict

    def spares(self, facts: Facts) -> int:
        """As the one inside does."""
        return self._spares(facts) if self._spares is not None else 0
