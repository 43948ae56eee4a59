"""No file above 400 lines, no function above 70: what is larger has two subjects."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
PLACES = ("fustor_core", "plugins", "tests", "contrib", "docs")


def sources(root: Path) -> Iterator[Path]:
    """Every Python file of the house."""
    yield from sorted(root.glob("*.py"))
    for place in PLACES:
        yield from sorted((root / place).rglob("*.py"))


def faults(root: Path) -> list[str]:
    found = []
    for path in sources(root):
        text = path.read_text("utf-8")
        name = path.relative_to(root)
        lines = len(text.splitlines())
        if lines > FILE_LINES_MAX:
            found.append(f"{name}: {lines} lines, at most {FILE_LINES_MAX}")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                size = (node.end_lineno or node.lineno) - node.lineno + 1
                if size > FUNCTION_LINES_MAX:
                    found.append(
                        f"{name}:{node.lineno}: {node.name} has {size} lines, "
                        f"at most {FUNCTION_LINES_MAX}"
                    )
    return found


def test_files_and_functions_stay_small() -> None:
    assert len(list(sources(ROOT))) > len(PLACES), "the test looks in the wrong place"
    found = faults(ROOT)
    assert not found, "\n" + "\n".join(found)


def test_what_is_too_large_is_found(tmp_path: Path) -> None:
    core = tmp_path / "fustor_core"
    core.mkdir()
    body = "    x = 1\n"
    (core / "fits.py").write_text("def f():\n" + body * (FUNCTION_LINES_MAX - 1))
    (core / "long.py").write_text("async def g():\n" + body * FUNCTION_LINES_MAX)
    (core / "large.py").write_text("x = 1\n" * (FILE_LINES_MAX + 1))
    limits = (FILE_LINES_MAX, FUNCTION_LINES_MAX)
    large, long = faults(tmp_path)
    assert large == f"fustor_core/large.py: {limits[0] + 1} lines, at most {limits[0]}"
    assert long == f"fustor_core/long.py:1: g has {limits[1] + 1} lines, at most {limits[1]}"
