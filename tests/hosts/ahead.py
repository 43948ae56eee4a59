"""The program of another protocol version: `python ahead.py VERSIONS WORDS…`.

VERSIONS, as ``1,2``, are those that it says it speaks; everything else is the program itself.
"""

from __future__ import annotations

import sys
from dataclasses import fields

from fustor_core import cli, wire
from fustor_core.contracts.sink import Hello


def main() -> None:
    """Run the command line with other versions of the protocol."""
    versions = tuple(int(version) for version in sys.argv[1].split(","))
    sys.argv[1:2] = []
    wire.SPOKEN = versions
    names = [field.name for field in fields(Hello)]
    given = len(names) - len(Hello.__init__.__defaults__ or ())
    defaults = list(Hello.__init__.__defaults__ or ())
    defaults[names.index("protocol") - given] = versions
    Hello.__init__.__defaults__ = tuple(defaults)
    cli.main()


if __name__ == "__main__":
    main()
