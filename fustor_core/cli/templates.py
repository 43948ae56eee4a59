"""First configurations, as `fustor init` writes them."""

from __future__ import annotations

import json
from dataclasses import dataclass
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
# One pipe of an agent, in a file of its own. Run it with: fustor agent
id: my-pipe
source:
  driver: fs
  root: {root}      # the directory to watch
sink:
  driver: fusion
  url: {url}      # a fusion server on this host; on others: "https://HOST:8102"
  # key: "${{file:/run/secrets/push}}"      # over TCP: a push key of that server
  view: files      # of the server's views
session_timeout_seconds: 30
heartbeat_interval_sec: 10      # or heartbeat_interval_seconds: the same key
audit_interval_sec: 600
sentinel_interval_sec: 120

# How it tries again after errors
error_retry_interval: 5.0
max_consecutive_errors: 5
backoff_multiplier: 2
max_backoff_seconds: 60
"""
FUSION = """\
# A fusion server: views that agents feed. Run it with: fustor fusion
version: 1
views:
  files: {{}}
receivers:
  main:
    driver: http
    listen: ["unix"]      # add "127.0.0.1:8102" for TCP; keys are made by: fustor key create
    # tls: {{cert: /etc/fustor/cert.pem, key: /etc/fustor/key.pem}}      # beyond loopback
"""
KINDS = {
    "up": ("conf.d/fustor.yaml", UP, "run"),
    "agent": ("agent-pipes-config/my-pipe.yaml", AGENT, "agent"),
    "fusion": ("conf.d/fusion.yaml", FUSION, "fusion"),
}


@dataclass(frozen=True, slots=True)
class Template:
    """A first configuration: its name below the folder, its text, and the command that runs it."""

    name: str
    text: str
    command: str


def template(kind: str, root: Path, home: Path) -> Template:
    """A first configuration.

    Args:
        kind: ``up``, ``agent`` or ``fusion``.
        root: the directory that it watches.
        home: the state directory, where a fusion server of this host has its socket.

    Raises:
        Failure: no such kind, or a directory that YAML cannot name (exit 2).
    """
    if kind not in KINDS:
        raise usage(f"--kind {kind}: it is {', '.join(KINDS)}")
    name, text, command = KINDS[kind]
    url = f"unix:{home}/fusion/api.sock"
    return Template(name, text.format(root=_quoted(str(root)), url=_quoted(url)), command)


def _quoted(text: str) -> str:
    """A text as YAML; a JSON string is one, and $ begins a reference in our files."""
    try:
        return json.dumps(text.encode().decode(), ensure_ascii=False).replace("$", "$$")
    except UnicodeEncodeError as error:
        shown = quoted(text.encode("utf-8", "surrogateescape"))
        raise usage(
            f"{shown} is no UTF-8, so no YAML file can name it", remedy="use: fustor up"
        ) from error
