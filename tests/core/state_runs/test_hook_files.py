"""Hooks out of files that a configuration names, and out of installed plugins."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType

import pytest

from fustor_core import StateHook
from fustor_core.errors import ConfigError
from fustor_core.state_runs.hook import EVENTS
from fustor_core.state_runs.hook_files import hooks_in, hooks_in_file

GOOD = """
from fustor_core import StateHook

class One(StateHook):
    def post_node_execute(self, node_id, previous_state, current_state):
        pass

class Two(One):
    pass
"""


def file_of(folder: Path, source: str, mode: int = 0o600) -> Path:
    path = folder / "my_hooks.py"
    path.write_text(source)
    path.chmod(mode)
    return path


def test_a_file_brings_the_hooks_that_it_defines(tmp_path: Path) -> None:
    found = hooks_in_file(file_of(tmp_path, GOOD))
    assert list(found) == ["One", "Two"]
    assert all(issubclass(kind, StateHook) for kind in found.values())


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("x = 1", "defines no hook"),
        ("from fustor_core import StateHook", "defines no hook"),
        ("raise ValueError('not today')", "ValueError: not today"),
        ("def f(:", "SyntaxError"),
        ("import no_such_module_at_all", "no_such_module_at_all"),
        ("\0", "fails"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path: Path, source: str, told: str) -> None:
    path = file_of(tmp_path, source)
    with pytest.raises(ConfigError, match=told) as refused:
        hooks_in_file(path)
    assert str(path) in str(refused.value)
    assert refused.value.remedy


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_what_others_may_write_is_not_run(tmp_path: Path, mode: int) -> None:
    path = file_of(tmp_path, "raise AssertionError('it was run')", mode)
    with pytest.raises(ConfigError, match="others may write the hook file"):
        hooks_in_file(path)


def test_a_folder_that_others_may_write_is_as_bad(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    path = file_of(folder, GOOD)
    folder.chmod(0o777)
    with pytest.raises(ConfigError, match="others may write the folder of the hook file"):
        hooks_in_file(path)
    folder.chmod(0o1777)  # as /tmp: nobody can replace a file of somebody else
    assert hooks_in_file(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_not_run(tmp_path: Path) -> None:
    path = file_of(tmp_path, "raise AssertionError('it was run')")
    os.chown(path, 12345, -1)
    with pytest.raises(ConfigError, match="belongs to another user"):
        hooks_in_file(path)


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.py")
    for path in (tmp_path / "nowhere.py", tmp_path, tmp_path / "fifo.py"):
        with pytest.raises(ConfigError):
            hooks_in_file(path)


def test_what_a_plugin_may_bring() -> None:
    class Mine(StateHook):
        """A class of the plugin."""

    module = ModuleType("zz_plugin")
    Mine.__module__ = "zz_plugin"
    vars(module).update(Mine=Mine, StateHook=StateHook, other=3)
    assert hooks_in(module) == {"Mine": Mine}
    assert hooks_in(Mine) == {"Mine": Mine}
    assert hooks_in(object()) == hooks_in(ModuleType("empty")) == hooks_in(int) == {}


def test_the_names_of_the_events_are_those_that_were_asked_for() -> None:
    assert EVENTS == (
        "pre_state_initialize",
        "post_node_execute",
        "pre_state_mutation",
        "post_state_finalize",
    )
