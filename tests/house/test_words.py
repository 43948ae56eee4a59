"""The words of the house: names that say nothing, code that hides faults, tests that fake."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLACES = ("fustor_core", "plugins", "tests", "contrib", "docs")
BANNED = {
    "manager", "service", "handler", "bridge", "adapter", "helper", "util", "base", "common",
}  # fmt: skip
# The supervisor is where an exception that nobody expected ends.
SUPERVISOR = "fustor_core/engine.py"
BROAD = {"Exception", "BaseException"}
# Code is finished or it is not there; the words stand apart so that this line is no finding.
UNFINISHED = re.compile(r"\b({}DO|FIX{}|XX{})\b".format("TO", "ME", "X"))


@functools.cache
def sources(root: Path) -> list[tuple[str, ast.Module, str]]:
    """Name, tree and text of every Python file of the house."""
    paths = [*root.glob("*.py"), *(p for place in PLACES for p in (root / place).rglob("*.py"))]
    texts = [(str(path.relative_to(root)), path.read_text("utf-8")) for path in sorted(paths)]
    return [(name, ast.parse(text), text) for name, text in texts]


def words(name: str) -> list[str]:
    """``ViewFileManager`` and ``view_file_managers`` alike: view, file, manager."""
    split = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+", name)
    return [word.lower().removesuffix("s") for word in split]


def name_faults(root: Path) -> list[str]:
    folders = {str(p.relative_to(root)) for place in PLACES for p in (root / place).rglob("*/")}
    named = [(folder, Path(folder).name) for folder in sorted(folders) if "__py" not in folder]
    for name, tree, _ in sources(root):
        named.append((name, Path(name).stem))
        named += [
            (f"{name}:{node.lineno} class {node.name}", node.name)
            for node in ast.walk(tree)
            if isinstance(node, ast.ClassDef)
        ]
    return [place for place, name in named if BANNED & set(words(name))]


def broad_faults(root: Path) -> list[str]:
    found = []
    for name, tree, _ in sources(root):
        if name == SUPERVISOR:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler) and _swallows_all(node):
                found.append(f"{name}:{node.lineno}: catches everything")
            if isinstance(node, ast.Call) and _suppresses_all(node):
                found.append(f"{name}:{node.lineno}: suppresses everything")
    return found


def _swallows_all(handler: ast.ExceptHandler) -> bool:
    """Cleaning up and passing the same exception on is no swallowing."""
    last = handler.body[-1]
    return _catches_all(handler.type) and not (isinstance(last, ast.Raise) and last.exc is None)


def _catches_all(caught: ast.expr | None) -> bool:
    if caught is None:
        return True
    if isinstance(caught, ast.Tuple):
        return any(_catches_all(one) for one in caught.elts)
    return ast.unparse(caught).removeprefix("builtins.") in BROAD


def _suppresses_all(call: ast.Call) -> bool:
    return "suppress" in ast.unparse(call.func) and any(map(_catches_all, call.args))


def mock_faults(root: Path) -> list[str]:
    """Fakes are implementations that pass the kits (fustor_core.testing), not recordings."""
    found = []
    for name, tree, _ in sources(root):
        for node in ast.walk(tree):
            if not isinstance(node, ast.Import | ast.ImportFrom):
                continue
            origin = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            modules = [origin + alias.name for alias in node.names]
            if any(f"{m}.".startswith(("unittest.mock.", "mock.")) for m in modules):
                found.append(f"{name}:{node.lineno}: imports mock")
    return found


def unfinished_faults(root: Path) -> list[str]:
    return [
        f"{name}:{number}: {line.strip()}"
        for name, _, text in sources(root)
        for number, line in enumerate(text.splitlines(), 1)
        if UNFINISHED.search(line)
    ]


def skip_faults(root: Path) -> list[str]:
    """A test that is skipped says why."""
    found = []
    for name, tree, _ in sources(root):
        for node in ast.walk(tree):
            if not isinstance(node, ast.Attribute) or not ast.unparse(node).startswith("pytest."):
                continue
            if node.attr not in {"skip", "skipif", "xfail"}:
                continue
            calls = [
                call for call in ast.walk(tree) if isinstance(call, ast.Call) and call.func is node
            ]
            said = any(
                any(keyword.arg in {"reason", "msg"} for keyword in call.keywords)
                or (node.attr == "skip" and call.args)
                for call in calls
            )
            if not said:
                found.append(f"{name}:{node.lineno}: {ast.unparse(node)} without a reason")
    return found


CHECKS = (name_faults, broad_faults, mock_faults, unfinished_faults, skip_faults)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_house_keeps_its_words(check: object) -> None:
    assert callable(check)
    assert sources(ROOT), "the test looks in the wrong place"
    found = check(ROOT)
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("check", "name", "source", "finds"),
    [
        (name_faults, "utils.py", "", True),
        (name_faults, "base/x.py", "", True),
        (name_faults, "x.py", "class HTTPServiceX: pass", True),
        (name_faults, "x.py", "class View_Manager: pass", True),
        (name_faults, "database.py", "class Rebased: pass", False),
        (broad_faults, "x.py", "try: pass\nexcept: pass", True),
        (broad_faults, "x.py", "try: pass\nexcept (OSError, Exception): pass", True),
        (broad_faults, "x.py", "with contextlib.suppress(BaseException): pass", True),
        (broad_faults, "x.py", "try: pass\nexcept OSError: pass", False),
        (broad_faults, "x.py", "try: pass\nexcept BaseException:\n    f()\n    raise", False),
        (broad_faults, "x.py", "try: pass\nexcept Exception as e: raise OSError from e", True),
        (broad_faults, "engine.py", "try: pass\nexcept Exception: pass", False),
        (mock_faults, "x.py", "from unittest import mock", True),
        (mock_faults, "x.py", "def f():\n    import unittest.mock as m", True),
        (mock_faults, "x.py", "import unittest", False),
        (unfinished_faults, "x.py", "# {}DO: later".format("TO"), True),
        (unfinished_faults, "x.py", "# done", False),
        (skip_faults, "x.py", "import pytest\n@pytest.mark.skip\ndef f(): pass", True),
        (skip_faults, "x.py", "import pytest\n@pytest.mark.skipif(True)\ndef f(): pass", True),
        (skip_faults, "x.py", "import pytest\npytest.skip('no such kernel')", False),
    ],
)  # fmt: skip
def test_each_breach_is_found(
    tmp_path: Path, check: object, name: str, source: str, finds: bool
) -> None:
    path = tmp_path / "fustor_core" / name
    path.parent.mkdir(parents=True)
    path.write_text(source)
    assert callable(check)
    assert bool(check(tmp_path)) is finds
