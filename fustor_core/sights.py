"""Which agents see what happens where: told with blind spots, stored nowhere."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

from fustor_core.peers import Peer
from fustor_core.session import Session

VERBS = frozenset({"blind-spots", "blind-directories"})


class Sights:
    """The agents that watch a view now, and where each of them does not see changes.

    Args:
        sessions: the live ones.
    """

    def __init__(self, sessions: Iterable[tuple[Session, Peer]]) -> None:
        self._agents = {
            peer.agent: [_below(path) for path in (peer.pulse.uncovered if peer.pulse else ())]
            for session, peer in sessions
            if session.realtime and peer.known and peer.root_proven and peer.sends
        }

    def __repr__(self) -> str:
        return f"<Sights of {sorted(self._agents)}>"

    def of(self, path: bytes) -> list[str]:
        """The agents that see what happens to the names in this directory."""
        place = _below(path)
        return sorted(
            agent
            for agent, gaps in self._agents.items()
            if not any(place.startswith(gap) for gap in gaps)
        )

    def tell(self, items: Iterable[dict[str, Any]], *, directories: bool) -> None:
        """Add `known_by` to items that have a path.

        Args:
            directories: they stand for what is in them, not for a name in the one above.
        """
        known: dict[bytes, list[str]] = {}
        for item in items:
            path = base64.b64decode(item["path_b64"]) if "path_b64" in item else b""
            path = path or str(item["path"]).encode()
            place = path if directories else path.rpartition(b"/")[0]
            if place not in known:
                known[place] = self.of(place)
            item["known_by"] = known[place]


def _below(path: bytes) -> bytes:
    """What the paths at and below this one begin with, ended by a slash."""
    return path.rstrip(b"/") + b"/"
