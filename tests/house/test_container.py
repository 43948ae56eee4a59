"""contrib/container: what its files name is there, and the commands in them are the program's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from fustor_core.cli.program import build

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "contrib" / "container"
RECIPE = (FOLDER / "Containerfile").read_text()


def documents(name: str) -> Any:
    return YAML(typ="safe", pure=True).load((FOLDER / name).read_text())


def containers() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every container that the examples run: a name, and its settings in compose's words."""
    for name, service in documents("compose.yaml")["services"].items():
        yield f"compose {name}", service
    (container,) = documents("agents.yaml")["spec"]["template"]["spec"]["containers"]
    settings = container["securityContext"]
    probe = container["livenessProbe"]["exec"]["command"]
    yield (
        "kubernetes agent",
        {
            "command": container["args"],
            "read_only": settings["readOnlyRootFilesystem"],
            "cap_drop": settings["capabilities"]["drop"],
            "cap_add": settings["capabilities"]["add"],
            "probe": probe,
        },
    )


def commands() -> Iterator[list[str]]:
    """Every command line of `fustor` in the files, without the program's name."""
    yield from (settings["command"] for _, settings in containers())
    yield from (settings["probe"][1:] for _, settings in containers() if "probe" in settings)
    for line in re.findall(r"^\s*CMD (\[.*\])", RECIPE, re.MULTILINE):
        words = YAML(typ="safe", pure=True).load(line)
        yield words[1:] if words[0] == "fustor" else words


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_commands_are_the_programs(words: list[str]) -> None:
    command = build().commands[words[0]]
    options = {name for option in command.params for name in option.opts}
    options |= {name for option in build().params for name in option.opts}
    assert {word for word in words if word.startswith("-")} <= options


def test_what_is_copied_is_there() -> None:
    lines = re.findall(r"^COPY (?!--from)(.+)", RECIPE, re.MULTILINE)
    assert lines
    for line in lines:
        for source in line.split()[:-1]:
            assert (ROOT / source).exists(), source


def test_it_runs_without_rights() -> None:
    assert re.search(r"^USER (?!root|0)\w+", RECIPE, re.MULTILINE)
    for name, settings in containers():
        assert settings["read_only"], name
        assert settings["cap_drop"] == ["ALL"], name
        wanted = ["DAC_READ_SEARCH"] if "agent" in name else []
        assert settings.get("cap_add", []) == wanted, name


def test_a_stop_leaves_time_to_drain() -> None:
    services = documents("compose.yaml")["services"].values()
    assert {service["stop_grace_period"] for service in services} == {"90s"}
    pod = documents("agents.yaml")["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] == 90
