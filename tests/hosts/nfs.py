"""Agents on network mounts: what they are configured with, and what the view says of them."""

from __future__ import annotations

from typing import Any

from fustor_core.testing.nfs_pair import NfsClient

from .world import VIEW, AgentHost, Site

CACHE_S, POLL_S, HANG_S = 3.0, 1.0, 3.0
OWN_S = 15.0  # a loaded machine's own time
FOUND_S = CACHE_S + POLL_S + OWN_S
LEASE_S = 60.0
HEALED_S = FOUND_S + 30.0  # a look that was asked for in vain is asked for again after so long


def agent(
    place: Site,
    name: str,
    client: NfsClient,
    *,
    settings: dict[str, Any] | None = None,
    **source: Any,
) -> AgentHost:
    """An agent whose pipe polls a network mount; not started.

    Args:
        settings: of its pipe. source: options above the usual ones.
    """
    options = {
        "driver": "nfs",
        "root": str(client.at),
        "cache_bound": client.cache_s,
        "poll_interval": POLL_S,
        "rate": 100_000,
        "hang_after": HANG_S,
        **source,
    }
    return place.agent(name, mounted=False, source=options, **(settings or {}))


def quality(place: Site) -> dict[str, Any]:
    """Of the whole view."""
    document = place.fusion.ask(f"/views/{VIEW}/du", path="/")
    return dict(document["quality"]) if document else {}


def reasons(place: Site) -> set[str]:
    """Why some of it is not scanned."""
    return {gap["reason"] for gap in quality(place).get("unscanned", ())}


def entry(place: Site, path: str) -> dict[str, Any]:
    """What the view has at a path; {} when nothing."""
    document = place.fusion.ask(f"/views/{VIEW}/stat", path=path) or {}
    return dict(document.get("entry") or {})


def absent(place: Site, path: str) -> bool:
    """Whether the view has proven that nothing is there."""
    return place.fusion.existence(VIEW, path.lstrip("/")) == "absent"
