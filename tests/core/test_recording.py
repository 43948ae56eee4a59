"""What a configuration wants of state history and hooks, and what a run says of itself."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from fustor_core.config import Loaded, load_config
from fustor_core.errors import ConfigError
from fustor_core.machine import Move
from fustor_core.recording import Plans, Recording, plans_of
from fustor_core.registry import Registry
from fustor_core.state_runs.folders import read_run, run_folders
from fustor_core.state_runs.ledger import Fact
from fustor_core.state_runs.replaying import state_at
from fustor_core.states.node import NodeStatus

EXECUTIONS = Path("/nowhere/executions")
HOOK = "from fustor_core import StateHook\nclass One(StateHook): pass\n"
LIMIT_S = 30.0


@pytest.fixture
def configured(tmp_path: Path) -> Callable[[str], Loaded]:
    def load(text: str) -> Loaded:
        file = tmp_path / "site.yaml"
        file.write_text(text)
        return load_config([file], {})

    return load


def test_where_a_history_is_kept(configured: Callable[[str], Loaded], tmp_path: Path) -> None:
    def folder(text: str) -> Path | None:
        return plans_of(configured(text), EXECUTIONS, {}).folder

    assert folder("version: 1") is None
    assert folder("state: {history: false}") is None
    assert folder("state: {history: true}") == EXECUTIONS
    assert folder("state: {history: runs}") == tmp_path / "runs", "beside the file"
    assert folder("state: {history: /var/runs}") == Path("/var/runs").resolve()


def test_keys_and_hooks_are_beside_the_file_too(
    configured: Callable[[str], Loaded], tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("6b" * 32)
    (tmp_path / "key").chmod(0o600)
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text(HOOK)
        (tmp_path / name).chmod(0o600)
    text = "state: {encryption_key: 'file:key'}\nhooks: [./a.py, b.py]\n"
    plans = plans_of(configured(text), EXECUTIONS, {})
    assert plans.keys is not None
    assert "6b" * 32 in plans.secrets
    assert list(plans.hooks) == ["One", "One-2"]


def test_secrets_of_configuration_and_environment_are_known(
    configured: Callable[[str], Loaded], tmp_path: Path
) -> None:
    (tmp_path / "push").write_text("from-a-file")
    text = """
pipes:
  far:
    source: {driver: fs, root: /data}
    sink: {driver: fusion, url: "https://me:pa55word@host", key: "${file:push}", view: x}
"""
    environ = {"API_TOKEN": "in-the-environment", "PLAIN": "told-to-all"}
    plans = plans_of(configured(text), EXECUTIONS, environ)
    assert {"from-a-file", "pa55word", "in-the-environment"} <= plans.secrets
    assert "told-to-all" not in plans.secrets


@pytest.mark.parametrize(
    "text",
    ["hooks: [nowhere.py]", "state: {encryption_key: 'env:NOT_SET'}"],
)
def test_what_cannot_be_used_ends_the_start(configured: Callable[[str], Loaded], text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        plans_of(configured(text), EXECUTIONS, {})
    assert refused.value.remedy


class Room:
    """A recording alone: no pipes, no views."""

    def __init__(self, folder: Path, loaded: Loaded, **plans: Any) -> None:
        self.folder = folder
        self.said: list[str] = []
        self.moves: list[Move[Any]] = []
        self.registry = Registry()
        self.registry.load_hooks()
        self.recording = Recording(
            loaded,
            Plans(folder=folder, **plans),
            self.registry,
            warn=self.said.append,
            on_move=self.moves.append,
        )

    def state(self) -> dict[str, Any]:
        (run,) = run_folders(self.folder)
        told = read_run(run).story
        assert told is not None
        return state_at(told)


async def test_what_happened_before_all_was_there_is_kept_too(
    configured: Callable[[str], Loaded], tmp_path: Path
) -> None:
    room = Room(tmp_path / "runs", configured("version: 1"))
    room.recording.note(Fact("open_data", NodeStatus.EXECUTING, "start"))
    room.recording.open()
    await room.recording.begin()
    async with anyio.create_task_group() as group:
        group.start_soon(room.recording.live)
        room.recording.note(Fact("open_data", NodeStatus.SUCCEEDED, "ready"))
        with anyio.fail_after(LIMIT_S):
            await room.recording.close("stopped")
        group.cancel_scope.cancel()
    assert room.state()["nodes"]["open_data"]["status"] == "succeeded"
    (run,) = run_folders(tmp_path / "runs")
    told = read_run(run).story
    assert told is not None
    assert told.complete
    assert told.final is not None
    assert told.final["ext"]["reason"] == "stopped"
    assert room.said == []
    assert {move.machine for move in room.moves} == {"run", "node"}


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A distribution with a hook, as pip would lay it down."""
    site = tmp_path / "site"
    info = site / "zz_state-1.2.dist-info"
    info.mkdir(parents=True)
    needs = ["zz-missing>=3", "fustor==99.0", "anyio>=1", "pytest[x]", "zz-no; extra == 'no'"]
    lines = ["Metadata-Version: 2.1", "Name: zz-state", "Version: 1.2"]
    lines += [f"Requires-Dist: {one}" for one in needs]
    (info / "METADATA").write_text("\n".join(lines) + "\n")
    (info / "entry_points.txt").write_text("[fustor.hooks]\nzz = zz_state\n")
    (site / "zz_state.py").write_text(
        "from fustor_core import StateHook\n\n\n"
        "class Zz(StateHook):\n"
        "    def post_state_finalize(self, report):\n"
        f"        open({str(tmp_path / 'told')!r}, 'w').write(str(report['nodes']))\n"
    )
    monkeypatch.syspath_prepend(str(site))
    yield
    sys.modules.pop("zz_state", None)


@pytest.mark.usefixtures("installed")
async def test_a_hook_of_an_installed_plugin_is_found_and_named(
    configured: Callable[[str], Loaded], tmp_path: Path
) -> None:
    room = Room(tmp_path / "runs", configured("version: 1"))
    room.recording.open()
    await room.recording.begin()
    room.recording.note(Fact("open_data", NodeStatus.EXECUTING, "start"))
    await room.recording.close("stopped")
    assert (tmp_path / "told").read_text() == "{'executing': 1}"
    assert "zz-state@1.2" in room.state()["context"]["active_plugins"]
    assert [said.partition(",")[0] for said in room.said] == [
        "zz-state needs zz-missing>=3",
        "zz-state needs fustor==99.0",
    ]
