"""The roll: which sessions outlive this process, as the fold over the journal. Pure.

Live and in replay the same calls come in the same order, so that what stands here is always what a
restart would find: granted sessions, how far each came, the reply to its last batch, who leads, and
which key an agent id is bound to.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from fustor_core.claims import Ack
from fustor_core.contracts import Caller, Hello
from fustor_core.errors import Forbidden
from fustor_core.frames import BatchHead, Ending, Epoch, Opening, SessionRow
from fustor_core.lines import LineRow, aged
from fustor_core.sequence import BatchSequence
from fustor_core.session import Session
from fustor_core.states.session import SessionState

BOUND_MOST = 100_000


class Roll:
    """What is durable about the sessions of one view.

    Attributes:
        epoch, holder: the last durable leadership; holder "" when its session is over.
        birth: how the view's keys are made, fixed by the first source that says so.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self.holder = ""
        self.birth = ""
        self._rows: dict[str, SessionRow] = {}
        self._of_pipe: dict[tuple[str, str], str] = {}
        self._bound: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"<Roll {len(self._rows)} sessions, epoch {self.epoch}>"

    def rows(self) -> list[SessionRow]:
        """The sessions, as they are kept."""
        return list(self._rows.values())

    def get(self, session: str) -> SessionRow | None:
        """One of them."""
        return self._rows.get(session)

    def bound(self) -> dict[str, str]:
        """Agent id → the key that it is bound to."""
        return dict(self._bound)

    def key_of(self, agent: str) -> str:
        """The key that an agent id is bound to, "" for none."""
        return self._bound.get(agent, "")

    def opened(self, opening: Opening) -> None:
        """A session was granted; the one that its agent pipe had before is over."""
        row = opening.row
        known = self._rows.get(row.session)
        if known is not None:
            row = msgspec.structs.replace(known, line=row.line)
        self._put(row)
        self.birth = self.birth or opening.birth
        if row.key_id:
            self.bind(row.agent, row.key_id)

    def bind(self, agent: str, key: str) -> None:
        """Bind an agent id to a key, unless it is bound already."""
        self._bound.setdefault(agent, key)
        if len(self._bound) > BOUND_MOST:
            del self._bound[next(iter(self._bound))]

    def ended(self, ending: Ending) -> None:
        """Sessions are over; keys are good no longer."""
        for session in ending.sessions:
            row = self._rows.pop(session, None)
            if row is not None and self._of_pipe.get((row.agent, row.pipe)) == session:
                del self._of_pipe[row.agent, row.pipe]
            if session == self.holder:
                self.holder = ""
        self.release(ending.keys)

    def release(self, keys: Iterable[str]) -> None:
        """Keys bind no agent any more."""
        gone = set(keys)
        if gone:
            self._bound = {a: k for a, k in self._bound.items() if k not in gone}

    def age(self, start_us: int, end_us: int) -> None:
        """The boot of fusion's clock in which all lines were kept until now is over."""
        for session, row in self._rows.items():
            line = aged(row.line, start_us, end_us)
            self._rows[session] = msgspec.structs.replace(row, line=line)

    def took(self, head: BatchHead, reply: Ack) -> None:
        """A batch is durable and applied; `reply` is what its session is told."""
        row = self._rows.get(head.session)
        if row is not None and reply.acked > row.acked:
            self._rows[head.session] = msgspec.structs.replace(
                row,
                acked=reply.acked,
                reply=reply,
                proven=head.proven,
                denied=head.denied,
                proved=head.proved,
                active_us=head.arrival_us,
            )

    def led(self, record: Epoch) -> None:
        """A leadership is durable."""
        if record.epoch >= self.epoch:
            self.epoch, self.holder = record.epoch, record.session

    def restore(self, rows: Iterable[SessionRow], bound: dict[str, str]) -> None:
        """Take over what a checkpoint kept."""
        for row in rows:
            self._put(row)
        self._bound = dict(bound)

    def _put(self, row: SessionRow) -> None:
        place = (row.agent, row.pipe)
        old = self._of_pipe.get(place)
        if old is not None and old != row.session:
            self._rows.pop(old, None)
            self.holder = "" if old == self.holder else self.holder
        self._rows[row.session] = row
        self._of_pipe[place] = row.session


def row_of(session: Session, line: LineRow) -> SessionRow:
    """A session that is being granted, as it is kept."""
    return SessionRow(
        session=session.session_id,
        agent=session.agent_id,
        pipe=session.pipe,
        created_us=session.created_at,
        active_us=session.last_active_at,
        timeout_us=session.timeout_us,
        realtime=session.realtime,
        scan=session.scan,
        key_id=session.key_id,
        client_ip=session.client_ip,
        line=line,
    )


def session_of(row: SessionRow, view: str) -> Session:
    """The session that was kept; it has been active since it was granted."""
    replies = () if row.reply is None else (row.reply,)
    return Session(
        session_id=row.session,
        agent_id=row.agent,
        pipe=row.pipe,
        view=view,
        state=SessionState.ACTIVE,
        created_at=row.created_us,
        last_active_at=row.active_us,
        timeout_us=row.timeout_us,
        realtime=row.realtime,
        scan=row.scan,
        key_id=row.key_id,
        client_ip=row.client_ip,
        batches=BatchSequence(row.acked, row.acked, replies),
    )


def may_open(hello: Hello, caller: Caller, roll: Roll) -> None:
    """Let an agent pipe in, or not; its agent id is bound to the key from here on.

    Raises:
        Forbidden: the key does not cover this pipe, or another key has this agent id.
    """
    key, bound = caller.access.key_id, roll.key_of(hello.agent_id)
    if not caller.access.covers("push", view=hello.view, pipe=hello.pipe):
        raise Forbidden(
            f"key {key} may not push pipe {hello.pipe!r} into view {hello.view!r}",
            remedy="use a key with the scope push for this view and pipe",
        )
    if key and bound and bound != key:
        raise Forbidden(
            f"agent id {hello.agent_id!r} belongs to another key than {key}",
            remedy="use the key that it was first used with, give this agent an id of its own, "
            "or revoke the other key",
        )
    if key:
        roll.bind(hello.agent_id, key)
