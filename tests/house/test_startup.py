"""What the command line does not import: every command pays for what stands on its path."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

# Server, arrays and plugins are for those commands that need them.
HEAVY = ("fastapi", "uvicorn", "uvloop", "starlette", "numpy", "re2", "hypothesis", "pytest")
ASK = """
import json, sys
from fustor_core.cli import main
try:
    main()
except SystemExit as end:
    code = end.code
else:
    code = 0
print(json.dumps({"code": code, "modules": sorted(sys.modules)}), file=sys.stderr)
"""


def imported(*arguments: str) -> tuple[int, list[str]]:
    """Exit code and imported modules of the program run with these arguments."""
    done = subprocess.run(
        [sys.executable, "-c", ASK, *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    lines = done.stderr.splitlines()
    assert lines, done
    said = json.loads(lines[-1])
    return said["code"] or 0, said["modules"]


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("view", "--help")])
def test_the_command_line_stays_light(arguments: tuple[str, ...]) -> None:
    code, modules = imported(*arguments)
    assert code == 0
    assert "fustor_core.cli" in modules
    tops = {name.partition(".")[0] for name in modules}
    assert not tops & set(HEAVY)
    assert not {top for top in tops if top.startswith("fustor_")} - {"fustor_core"}
