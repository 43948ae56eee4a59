"""`python -m fustor_core` is the program `fustor`."""

from __future__ import annotations

import sys

from fustor_core.cli import main

if __name__ == "__main__":
    sys.exit(main())
