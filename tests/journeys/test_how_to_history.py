"""The page on state histories: its code works as it stands there, its words are the code's."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fustor_core.state_runs import hearsay, job_steps, projection

LIMIT_S = 60.0
ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "keep-a-state-history.md").read_text("utf-8")
SEED_EXAMPLE = """\
class StateLogger(StateHook):
    def post_node_execute(self, node_id, previous_state, current_state):
        if previous_state.status != current_state.status:
            self.logger.info(
                f"Node {node_id} transitioned: "
                f"{previous_state.status} → {current_state.status}"
            )
"""


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
    return str(found)


def test_every_node_is_on_the_page() -> None:
    steps = [
        *projection.PIPE_STEPS.values(),
        *projection.FUSION_STEPS.values(),
        *hearsay.STEPS.values(),
        projection.LEAD,
        job_steps.PLACE,
        job_steps.SCAN,
    ]
    assert [step for step in steps if f"`{step}_" not in PAGE] == []


def test_the_example_is_the_one_that_was_asked_for() -> None:
    """Only its import is another one."""
    assert block("python") == (
        f"# state_logger.py\nfrom fustor_core import StateHook\n\n{SEED_EXAMPLE}"
    )


@pytest.mark.long
def test_the_example_logs_the_transitions_of_a_real_run(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    hook = tmp_path / "state_logger.py"
    hook.write_text(block("python"))
    hook.chmod(0o644)
    config = tmp_path / "site.yaml"
    config.write_text(
        f"pipes:\n  data: {{source: {{driver: fs, root: {tmp_path / 'tree'}}},"
        f" sink: {{driver: view, view: data}}}}\nviews: {{data: {{}}}}\n{block('yaml')}"
    )
    home = tmp_path / "home"
    words = ["--home", str(home), "run", "-c", str(config), "--jsonl"]
    process = subprocess.Popen(
        [sys.executable, "-m", "fustor_core", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert any('"ready"' in line for line in process.stdout)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=LIMIT_S)
    finally:
        process.kill()
    assert process.returncode == 0
    messages = "\n".join(json.loads(line)["event"] for line in said.splitlines())
    told = re.findall(r"Node (\w+)_\w{8} transitioned: (\w+) → (\w+)", messages)
    assert ("snapshot_data", "executing", "succeeded") in told
    assert ("messages_data", "pending", "executing") in told
    assert ("close_data", "executing", "succeeded") in told
