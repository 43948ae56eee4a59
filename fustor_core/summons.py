"""What each session of a view is asked for, and the call that brings one by at once.

Scans on demand, directories to watch, listings and looks that are owed; see `errands` and `jobs`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import anyio

from fustor_core.claims import Batch, Key
from fustor_core.contracts import Command, Moment, Seeking, View
from fustor_core.contracts.view import Locating
from fustor_core.errands import Passed
from fustor_core.jobs import Jobs
from fustor_core.peers import FusionOptions, Peer
from fustor_core.watch_lists import WatchLists


class Summons:
    """What the sessions of one view are asked for.

    Args:
        options: of the view. view: the driver. peers: by session id; the owner keeps it.
        jobs, watches: what outlives this process.

    Attributes:
        jobs: scans on demand. passed: listings for the leader, found by sessions that cannot.
        interval_s: of the sentinel, 0 = off.
    """

    def __init__(
        self,
        options: FusionOptions,
        view: View,
        peers: dict[str, Peer],
        jobs: Jobs,
        watches: WatchLists,
    ) -> None:
        self.jobs = jobs
        self.passed = Passed()
        self.interval_s = options.sentinel_interval_s
        self._locating = view if isinstance(view, Locating) else None
        self._seeking = view if isinstance(view, Seeking) else None
        self._peers = peers
        self._watches = watches

    def __repr__(self) -> str:
        return f"<Summons of {len(self._peers)} sessions, {self.jobs!r}>"

    def commands(
        self, session_id: str, peer: Peer, now_us: int, leads: Moment | None
    ) -> tuple[Command, ...]:
        """For the reply to a heartbeat: a handful, each with a bounded number of targets.

        Args:
            leads: the moment when it is the leader's heartbeat, else None.
        """
        if not peer.sends:
            return ()
        out: list[Command] = []
        if self._locating is not None:
            out += self._watches.commands(peer.line.number, self._locating.where)
        out += self.jobs.commands(session_id, now_us)
        if leads is not None:
            out += self.passed.commands()
            out += peer.errands.looks(self._seeking, leads, self.interval_s)
        return tuple(out)

    def place(self, sessions: Iterable[str], leader: str | None, now_us: int) -> None:
        """Give each scan on demand to the one of these sessions that can do it best.

        The leader comes by when suspects may be ripe for a look.
        """
        first = self._peers.get(leader) if leader is not None else None
        if first is not None and self.interval_s > 0 and first.sends and first.errands.due(now_us):
            self.call([leader] if leader is not None else [])
        if not self.jobs.waiting:
            return
        able = [self._peers[s].able(s, leads=s == leader, now_us=now_us) for s in sessions]
        self.call(self.jobs.place([one for one in able if one is not None], now_us))

    # ---- watches

    def attend(self, peer: Peer) -> None:
        """This session watches: it is told of directories that others find."""
        self._watches.attend(
            peer.line.number, lambda: {one.line.number for one in self._peers.values()}
        )

    def moved(self, number: int, peer: Peer) -> None:
        """A line has another number now."""
        self._watches.moved(number, peer.line.number)

    def found(self, sender: Peer | None, batch: Batch, edges: Sequence[Key]) -> None:
        """A batch is applied, and has hung these directories somewhere new."""
        number = sender.line.number if sender is not None else 0
        where = self._locating.where if self._locating is not None else None
        self._watches.found(number, batch, edges, where)

    # ---- calls

    async def called(self, session_id: str) -> None:
        """Return when there is something for this session's next heartbeat."""
        peer = self._peers.get(session_id)
        if peer is not None:
            peer.summons = peer.summons or anyio.Event()
            await peer.summons.wait()

    def call(self, sessions: Iterable[str]) -> None:
        """Let sessions of this process come by at once."""
        for session_id in sessions:
            peer = self._peers.get(session_id)
            if peer is not None and peer.summons is not None:
                peer.summons.set()
                peer.summons = None
