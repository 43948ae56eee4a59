"""First configurations, as `fustor init` writes them."""

from __future__ import annotations

import json
from pathlib import Path

from fustor_core.cli.failure import usage
from fustor_core.cli.names import quoted

UP = """\
# Run it with: fustor run
version: 1
pipes:
  files:
    source:
      driver: fs
      root: {root}      # the directory to watch
      exclude: []       # globs on the name, or with a / in them on the path below the root
    sink: {{driver: view, view: files}}       # the view below, in the same process
views:
  files: {{}}
receivers:
  main: {{driver: http, listen: ["unix"]}}    # add "127.0.0.1:8102" to listen on TCP, with a key
"""
AGENT = """\
# One pipe of an agent, in a file of its own.
id: files
source:
  driver: fs
  root: {root}      # the directory to watch
sink:
  driver: fusion
  url: "http://127.0.0.1:8102"      # where the fusion server listens
  view: files
  # key: "${{file:/run/secrets/push}}"      # a push key of that server
session_timeout_seconds: 30
heartbeat_interval_sec: 10
audit_interval_sec: 600
sentinel_interval_sec: 120
"""
FUSION = """\
# A fusion server: views that agents feed.
version: 1
views:
  files: {{}}
receivers:
  main: {{driver: http, listen: ["unix", "127.0.0.1:8102"]}}
"""
KINDS = {
    "up": ("conf.d/fustor.yaml", UP),
    "agent": ("agent-pipes-config/files.yaml", AGENT),
    "fusion": ("conf.d/fusion.yaml", FUSION),
}


def template(kind: str, root: Path) -> tuple[str, str]:
    """Name below the folder, and text, of a first configuration.

    Args:
        kind: ``up``, ``agent`` or ``fusion``.
        root: the directory that it watches.

    Raises:
        Failure: no such kind, or a directory that YAML cannot name (exit 2).
    """
    if kind not in KINDS:
        raise usage(f"--kind {kind}: it is {', '.join(KINDS)}")
    try:
        # A JSON string is a YAML string; $ begins a reference in our files.
        named = json.dumps(str(root).encode().decode(), ensure_ascii=False).replace("$", "$$")
    except UnicodeEncodeError as error:
        shown = quoted(str(root).encode("utf-8", "surrogateescape"))
        raise usage(
            f"{shown} is no UTF-8, so no YAML file can name it", remedy="use: fustor up"
        ) from error
    name, text = KINDS[kind]
    return name, text.format(root=named)
