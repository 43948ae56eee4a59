"""`python -m fustor_core.states > docs/states.md`"""

from __future__ import annotations

import sys

from fustor_core.states import ALL
from fustor_core.states.couplings import COUPLINGS
from fustor_core.states.page import render

if __name__ == "__main__":
    sys.stdout.write(render(ALL.values(), COUPLINGS))
