"""The state directory of interfaces.md §6: its place, its locks, its sockets, its identity."""

from __future__ import annotations

from fustor_core.state.files import is_inside, make_folder, sync_folder, write_atomic
from fustor_core.state.home import AgentIdentity, StateDirectory, resolve_home
from fustor_core.state.locks import Holder, Lock, lock_holder, take_lock
from fustor_core.state.mounts import Mount, mount_of, parse_mountinfo
from fustor_core.state.sockets import bind_socket, connect_socket, socket_address

__all__ = [
    "AgentIdentity",
    "Holder",
    "Lock",
    "Mount",
    "StateDirectory",
    "bind_socket",
    "connect_socket",
    "is_inside",
    "lock_holder",
    "make_folder",
    "mount_of",
    "parse_mountinfo",
    "resolve_home",
    "socket_address",
    "sync_folder",
    "take_lock",
    "write_atomic",
]
