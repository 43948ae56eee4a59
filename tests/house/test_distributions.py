"""What is installed, under which names, and by the very lines that the README prints."""

from __future__ import annotations

import fnmatch
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
INSTALL_AND_RUN = (
    "python3 -m venv .venv && .venv/bin/pip install '.[test]' ./plugins/* && .venv/bin/fustor up ."
)
TEST = ".venv/bin/pytest -q tests plugins"
PACKAGES_MAX = 12
KINDS = ("source", "sink", "arbitrator", "view", "receiver", "hook")
# Names on the public index that belong to the earlier system.
EARLIER = [
    f"fustor-{part}" for part in (
        "core", "agent*", "fusion*", "source-*", "sender-*", "receiver-*", "view-*", "schema-*",
    )
]  # fmt: skip


def declared(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))


def plugin_folders() -> list[Path]:
    return sorted((ROOT / "plugins").iterdir())


def everything() -> list[Path]:
    contrib = [path.parent for path in sorted((ROOT / "contrib").rglob("pyproject.toml"))]
    return [ROOT, *plugin_folders(), *contrib]


def commands(text: str) -> list[str]:
    """The lines of a page's code blocks."""
    blocks = re.findall(r"^```[a-z]*\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines()]


def named_faults(name: str) -> list[str]:
    faults = []
    if name != "fustor" and not name.startswith("fustor-driver-"):
        faults.append(f"{name}: neither fustor nor fustor-driver-…")
    faults += [f"{name}: a name of the earlier system" for e in EARLIER if fnmatch.fnmatch(name, e)]
    return faults


def test_the_readme_prints_the_two_commands() -> None:
    printed = commands(README)
    assert printed.count(INSTALL_AND_RUN) == 1
    assert printed.count(TEST) == 1
    assert printed.index(INSTALL_AND_RUN) < printed.index(TEST)
    assert printed.index(INSTALL_AND_RUN) == 0, "the first line to paste is the install line"


def test_the_first_command_installs_every_plugin_and_nothing_else() -> None:
    """`./plugins/*` takes whatever lies there, so only distributions may."""
    folders = plugin_folders()
    assert 0 < len(folders) <= PACKAGES_MAX
    for folder in folders:
        assert (folder / "pyproject.toml").is_file(), f"{folder.name} is no distribution"


@pytest.mark.parametrize("folder", everything(), ids=lambda path: path.name)
def test_distributions_keep_to_our_names(folder: Path) -> None:
    assert named_faults(declared(folder)["project"]["name"]) == []


@pytest.mark.parametrize("name", ["fustor-core", "fustor-view-fs", "fustor-sink-x", "my-source"])
def test_a_foreign_name_is_found(name: str) -> None:
    assert named_faults(name)


@pytest.mark.parametrize("folder", plugin_folders(), ids=lambda path: path.name)
def test_a_plugin_says_what_it_is(folder: Path) -> None:
    project = declared(folder)["project"]
    core = declared(ROOT)["project"]
    _, kind, name = folder.name.split("_", 2)
    assert kind in KINDS
    assert project["name"] == f"fustor-driver-{kind}-{name.replace('_', '-')}"
    assert project["version"] == core["version"]
    assert f"fustor=={core['version']}" in project["dependencies"]
    assert project["requires-python"] == core["requires-python"]
    entries = project["entry-points"][f"fustor.{kind}s"]
    assert all(value.startswith(f"{folder.name}:") for value in entries.values())
    assert declared(folder)["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == [
        folder.name
    ]
    for part in ("README.md", f"{folder.name}/__init__.py", f"{folder.name}/py.typed", "tests"):
        assert (folder / part).exists(), f"{folder.name} has no {part}"


def test_the_core_package_is_named_outright() -> None:
    project = declared(ROOT)
    assert project["project"]["name"] == "fustor"
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["fustor_core"]
    assert project["project"]["scripts"] == {"fustor": "fustor_core.cli:main"}
    assert "dependency-groups" not in project, "pip before 25.1 knows no dependency groups"


def test_the_workspace_has_every_distribution() -> None:
    patterns = declared(ROOT)["tool"]["uv"]["workspace"]["members"]
    for folder in everything()[1:]:
        name = folder.relative_to(ROOT).as_posix()
        assert any(fnmatch.fnmatch(name, pattern) for pattern in patterns), name


def test_the_whole_run_calls_the_readmes_commands() -> None:
    """What is checked on a clean clone is what the README tells people to type."""
    script = (ROOT / ".ci" / "run").read_text("utf-8").splitlines()
    install = INSTALL_AND_RUN.rpartition(" && ")[0]
    assert [line for line in script if line == install]
    assert [line for line in script if line.partition(" | ")[0] == TEST]


def test_folders_of_tests_are_no_packages() -> None:
    """Two packages named `tests` cannot both be imported; `from .world import x` works without."""
    places = [ROOT / "tests", *(folder / "tests" for folder in everything()[1:])]
    found = [p.relative_to(ROOT).as_posix() for at in places for p in at.rglob("__init__.py")]
    assert not found, "remove: " + " ".join(found)
