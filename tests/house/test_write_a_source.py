"""docs/write-a-source.md, executed: what the page shows is what contrib holds, and it works."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "contrib" / "fustor_source_rooms"
PAGE = (ROOT / "docs" / "write-a-source.md").read_text("utf-8")
LIMIT_S = 60
CLASS_LINES_MAX = 8


def shown() -> dict[str, str]:
    """Title → text of the page's titled code blocks."""
    blocks = re.findall(r'^```\w+ title="([^"]+)"\n(.*?)^```', PAGE, flags=re.DOTALL | re.MULTILINE)
    return dict(blocks)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The example as installed: its package and its metadata on the path, a state directory."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text("utf-8"))["project"]
    info = tmp_path / "site" / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    groups = project["entry-points"].items()
    lines = [
        line
        for group, entries in groups
        for line in (f"[{group}]", *(f"{name} = {value}" for name, value in entries.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("FUSTOR_")},
        "PYTHONPATH": os.pathsep.join([str(EXAMPLE), str(info.parent)]),
        "FUSTOR_HOME": str(tmp_path / "home"),
    }


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        env=environment,
    )


def fustor(environment: dict[str, str], *arguments: str) -> str:
    done = run(environment, "-m", "fustor_core", *arguments)
    assert done.returncode == 0, (arguments, done)
    return done.stdout


@pytest.fixture
def running(environment: dict[str, str]) -> Iterator[dict[str, str]]:
    """The page's configuration, running."""
    program = subprocess.Popen(
        [sys.executable, "-m", "fustor_core", "run", "-c", str(EXAMPLE / "rooms.yaml"), "--jsonl"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert program.stdout is not None
    try:
        events = (json.loads(line)["event"] for line in program.stdout)
        assert "ready" in events, program.communicate(timeout=LIMIT_S)
        yield environment
    finally:
        program.terminate()
        said = program.communicate(timeout=LIMIT_S)
        assert program.returncode == 0, said


def test_the_page_shows_what_contrib_holds() -> None:
    blocks = shown()
    assert len(blocks) == 4
    for name, text in blocks.items():
        assert (EXAMPLE / name).read_text("utf-8") == text, f"{name} differs from the page"


def test_the_class_is_as_short_as_the_page_says() -> None:
    _, _, body = shown()["fustor_source_rooms/__init__.py"].partition("class Rooms:")
    assert len([line for line in body.splitlines() if line.strip()]) <= CLASS_LINES_MAX


def test_the_kit_passes(environment: dict[str, str]) -> None:
    tests = str(EXAMPLE / "tests")
    done = run(environment, "-m", "pytest", "-q", "-p", "no:cacheprovider", tests)
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_the_entry_point_is_found(environment: dict[str, str]) -> None:
    listed = json.loads(fustor(environment, "plugin", "list", "--json"))["plugins"]
    (found,) = (plugin for plugin in listed if plugin["name"] == "rooms")
    assert found["kind"] == "source"
    assert found["distribution"] == "fustor-driver-source-rooms"


def test_the_configuration_is_valid(environment: dict[str, str]) -> None:
    said = fustor(environment, "validate", str(EXAMPLE / "rooms.yaml"), "--json")
    assert json.loads(said)["valid"] is True


def test_it_runs_in_a_pipe(running: dict[str, str]) -> None:
    listed = json.loads(fustor(running, "view", "ls", "rooms:/", "--json"))
    sizes = {entry["name"]: entry["size"] for entry in listed["entries"]}
    assert sizes == {"kitchen": 12, "hall": 30}
    assert listed["quality"]["complete"] is True
    shown_names = re.search(r"ls rooms:/\n(.*?)```", PAGE, flags=re.DOTALL)
    assert shown_names is not None
    assert fustor(running, "view", "ls", "rooms:/") == shown_names.group(1)
