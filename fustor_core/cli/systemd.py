"""The text of systemd units for each way to run the program, hardened as far as each allows.

See systemd.exec(5) and systemd.service(5). The agent may read everything (CAP_DAC_READ_SEARCH) and
write nothing but its state; fusion sees no storage at all.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

WATCHDOG_S = 60
STOP_S = 90  # a pipe drains for 30 s by default, then the state is written
HOME = Path("/var/lib/fustor")
SYSTEM = Path("/etc/systemd/system")
ROLES = {
    "up": "Fustor: a live view of directories",
    "run": "Fustor: agent and fusion server",
    "agent": "Fustor agent: watches storage and tells a fusion server",
    "fusion": "Fustor fusion server: one view of what many hosts write",
}
SEEING = ("up", "run", "agent")  # look at storage themselves


@dataclass(frozen=True, slots=True)
class Unit:
    """What one unit runs.

    Attributes:
        role: ``up``, ``run``, ``agent`` or ``fusion``. program: path of `fustor`.
        home: the state directory. arguments: more words, for ``up`` the directories.
        user: whether it is a unit of a user's own manager.
    """

    role: str
    program: Path
    home: Path
    arguments: Sequence[str] = ()
    user: bool = False

    @property
    def name(self) -> str:
        """The file's name."""
        return f"fustor-{self.role}.service"

    @property
    def folder(self) -> Path:
        """Where units of its kind lie."""
        if not self.user:
            return SYSTEM
        config = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
        return Path(config) / "systemd" / "user"

    @property
    def control(self) -> str:
        """How its manager is called."""
        return "systemctl --user" if self.user else "systemctl"

    def text(self) -> str:
        """The unit file."""
        words = [str(self.program), "--home", str(self.home), self.role, *self.arguments]
        sections: dict[str, dict[str, str | None]] = {
            "Unit": {
                "Description": ROLES[self.role],
                "Wants": "network-online.target" if not self.user else None,
                "After": "network-online.target remote-fs.target" if not self.user else None,
            },
            "Service": {
                "Type": "notify",
                "NotifyAccess": "main",
                "ExecStart": " ".join(quoted(word) for word in words),
                "ExecReload": "/bin/kill -HUP $MAINPID" if self.role != "up" else None,
                "WatchdogSec": str(WATCHDOG_S),
                "Restart": "on-failure",
                "RestartSec": "5",
                "RestartPreventExitStatus": "2 3",  # the configuration has to be put right first
                "TimeoutStopSec": str(STOP_S),
                "TimeoutStartSec": "infinity",  # a long journal is replayed before it is ready
                "LimitNOFILE": "65536",
                "OOMScoreAdjust": "-100" if not self.user else None,
                "UMask": "0077",
                **({} if self.user else self._hardened()),
            },
            "Install": {"WantedBy": "default.target" if self.user else "multi-user.target"},
        }
        return "\n".join(
            f"[{section}]\n"
            + "".join(f"{key}={value}\n" for key, value in lines.items() if value is not None)
            for section, lines in sections.items()
        )

    def _hardened(self) -> dict[str, str | None]:
        right = "CAP_DAC_READ_SEARCH" if self.role in SEEING else None
        state: dict[str, str | None] = {"StateDirectory": "fustor", "StateDirectoryMode": "0700"}
        return {
            "DynamicUser": "yes",  # has a /tmp of its own, too
            **(state if self.home == HOME else {"ReadWritePaths": quoted(str(self.home))}),
            "AmbientCapabilities": right,
            "CapabilityBoundingSet": right or "",
            "NoNewPrivileges": "yes",
            "ProtectSystem": "strict",
            "ProtectHome": "read-only" if self.role in SEEING else "yes",
            "PrivateDevices": "yes",
            "ProtectKernelTunables": "yes",
            "ProtectKernelModules": "yes",
            "ProtectKernelLogs": "yes",
            "ProtectControlGroups": "yes",
            "ProtectClock": "yes",
            "ProtectHostname": "yes",
            "RestrictNamespaces": "yes",
            "RestrictRealtime": "yes",
            "RestrictSUIDSGID": "yes",
            "RestrictAddressFamilies": "AF_UNIX AF_INET AF_INET6",
            "LockPersonality": "yes",
            "SystemCallArchitectures": "native",
            "SystemCallFilter": "@system-service name_to_handle_at",
        }


def quoted(word: str) -> str:
    """A word of a command line or path, as systemd.syntax(7) wants it."""
    text = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{text}"' if not text or any(c in text for c in " \t'\";") else text
