"""How many files a process may have open: each connection, journal and directory is one."""

from __future__ import annotations

import resource

ENOUGH = 1 << 16  # some programs that are started go through all that could be open


def most() -> int:
    """How many files a program of ours can have open here; it raises its limit itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return ENOUGH
    return max(soft, ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH))


def allow() -> None:
    """Let this process have as many open as it can: shells and units begin with few."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most()
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
