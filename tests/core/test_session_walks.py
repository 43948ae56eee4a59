"""Random walks of sessions and leadership together, against a model that knows no tables.

The walk is a fusion reduced to its bones: it decides, applies, writes frames to a journal that
becomes durable (or fails, or is lost in a crash) later, and answers only then. After each step:

- 17 accepted numbers of a session are 1..n; a gap names `expected`; a repeat gets its very reply
- 19 one live session per agent pipe; what was replaced is refused for ever and changes nothing
- 20 expired, exactly when silent for longer than the timeout, standstills of fusion left out
- 23 at most one leader; its epoch is durable before it is told, and grows with every change
- 24 scan claims of anybody else, or of another epoch, are refused and consume no number
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fustor_core import leadership as leading
from fustor_core.claims import LEADER_ONLY, Ack, Origin
from fustor_core.contracts import Hello
from fustor_core.errors import SessionObsoletedError, SlowDown, StaleEpochError
from fustor_core.leadership import Announce, Deposed, Leadership, MakeDurable
from fustor_core.leadership import Step as LeadershipStep
from fustor_core.sequence import Fresh, Gap, Repeat, Underway
from fustor_core.session import Session
from fustor_core.sessions import Ended, Opened, Sessions, Step
from fustor_core.states.session import SessionState

SECOND = 1_000_000
TIMEOUT, LEASE = 30 * SECOND, 60 * SECOND
MOST = 4

agents = st.sampled_from("abc")
pipes = st.sampled_from("pq")
whiles = st.sampled_from([1, 9, 10, 20, 21, 30, 31, 45, 46, 60, 61])
picks = st.integers(0, 1_000)
aheads = st.sampled_from([1, 1, 1, 1, 0, -1, -2, 2])
origins = st.sampled_from(list(Origin))


@dataclass(frozen=True)
class Frame:
    """One write: all of it becomes durable, or nothing."""

    put: tuple[Session, ...] = ()
    drop: tuple[str, ...] = ()
    epoch: tuple[int, str] | None = None
    batch: tuple[str, Ack] | None = None


@dataclass
class Disk:
    """What survives a crash."""

    rows: dict[str, Session] = field(default_factory=dict)
    epoch: tuple[int, str] | None = None

    def write(self, frame: Frame) -> None:
        for session in frame.put:
            self.rows[session.session_id] = session
        for session_id in frame.drop:
            self.rows.pop(session_id, None)
        if frame.batch is not None and frame.batch[0] in self.rows:
            row = self.rows[frame.batch[0]]
            batches = row.batches.take(row.batches.acked + 1).acknowledge(frame.batch[1])
            self.rows[row.session_id] = replace(row, batches=batches)
        self.epoch = frame.epoch or self.epoch


@dataclass
class Known:
    """What the model believes of one session: nothing here comes from the tables."""

    who: tuple[str, str]
    timeout_us: int
    proof_us: int
    over: str = ""
    told: bool = False
    acked: int = 0
    taken: int = 0
    replies: dict[int, Ack] = field(default_factory=dict)


class Walk(RuleBasedStateMachine):
    @initialize(start=st.integers(0, 10**12))
    def begin(self, start: int) -> None:
        self.now = start
        self.disk = Disk()
        self.pending: list[Frame] = []
        self.model: dict[str, Known] = {}
        self.floor = self.swept = start
        self.leads: tuple[int, str] | None = None  # told, and not taken back
        self.epochs: list[int] = []
        self.deposed: dict[str, int] = {}  # alive, and when it lost its lease
        self.boot(None)

    def boot(self, epoch: tuple[int, str] | None) -> None:
        self.sessions = Sessions("v", timeout_us=TIMEOUT, most=MOST, now_us=self.now)
        self.sessions.restore(self.disk.rows.values())
        number, holder = epoch or (0, "")
        alive = holder if self.sessions.get(holder) else None
        self.lead: Leadership = leading.restored("v", LEASE, number, alive, self.now)
        self.leads = (number, holder) if alive else None

    # -- the bones of fusion

    def act(self, step: Step) -> None:
        self.sessions.apply(step)
        ended = tuple(e for e in step.effects if isinstance(e, Ended))
        opened = tuple(e.session for e in step.effects if isinstance(e, Opened))
        for effect in ended:
            known = self.model[effect.session.session_id]
            if effect.event == "expire":
                assert self.silence(known) > known.timeout_us
            known.over = {"expire": "expired", "replace": "replaced", "revoke": "revoked"}.get(
                effect.event, "unknown"
            )
        if ended or opened:
            gone = tuple(e.session.session_id for e in ended)
            self.pending.append(Frame(put=opened, drop=gone))
        for effect in ended:
            self.steer(leading.lapse(self.lead, effect.session.session_id))
        self.steer(leading.elect(self.lead, self.sessions, self.now))

    def steer(self, step: LeadershipStep) -> None:
        self.lead = step.leadership
        for effect in step.effects:
            mark = (effect.epoch, effect.session_id)
            if isinstance(effect, MakeDurable):
                rested = self.now - self.deposed.get(effect.session_id, -LEASE)
                assert rested >= LEASE, "chosen again before it had rested"
                self.pending.append(Frame(epoch=mark))
            elif isinstance(effect, Announce):
                assert self.leads is None
                assert self.disk.epoch == mark, "told before it was durable"
                assert effect.epoch > max(self.epochs, default=0)
                self.epochs.append(effect.epoch)
                self.leads = mark
            elif isinstance(effect, Deposed):
                assert self.leads == mark
                self.leads = None
                if self.sessions.get(effect.session_id):
                    self.deposed[effect.session_id] = self.now

    def silence(self, known: Known) -> int:
        return self.now - max(known.proof_us, self.floor)

    def pick(self, number: int) -> tuple[str, Known]:
        alive = [name for name, known in self.model.items() if not known.over]
        names = alive if alive and number % 4 else list(self.model)[-8:]
        name = names[number // 4 % len(names)]
        return name, self.model[name]

    def gone(self, known: Known) -> bool:
        late = self.silence(known) > known.timeout_us and not self.stalled()
        return bool(known.over) or late

    def stalled(self) -> bool:
        return self.now - self.swept > TIMEOUT / 3

    # -- what agents do

    @rule(agent=agents, pipe=pipes, hint=st.sampled_from([None, 10.0, 45.0]), scan=picks)
    def open(self, agent: str, pipe: str, hint: float | None, scan: int) -> None:
        name = f"s{len(self.model)}"
        can = {"realtime": True, "scan": scan % 4 != 0}
        said = Hello(agent, pipe, "v", {}, {}, can, session_timeout_s=hint)
        known = Known((agent, pipe), max(TIMEOUT, int((hint or 0) * SECOND)), self.now)
        others = {s.agent_pipe for s in self.sessions}
        try:
            step = self.sessions.open_session(name, said, self.now)
        except SlowDown:
            assert len(self.sessions) >= MOST
            assert known.who not in others
            return
        self.model[name] = known
        self.act(step)

    @precondition(lambda self: self.model)
    @rule(number=picks, going=st.one_of(st.none(), st.integers(0, 2)))
    def beat(self, number: int, going: int | None, name: str = "") -> None:
        name = name or self.pick(number)[0]
        known = self.model[name]
        try:
            step = self.sessions.beaten(name, self.now)
        except SessionObsoletedError as refusal:
            reason = refusal.reason
            assert self.gone(known)
            assert reason in (known.over or "expired", "unknown"), "only the last are remembered"
            return
        assert not self.gone(known)
        known.proof_us = self.now
        mark = {"started_us": 1, "progress_us": going or 0, "directories": 1}
        self.lead = leading.heard(self.lead, name, None if going is None else mark, self.now)
        self.act(step)

    @precondition(lambda self: self.model)
    @rule(number=picks, ahead=aheads, epoch=st.sampled_from([0, 0, 1, -1]), origin=origins)
    def push(self, number: int, ahead: int, epoch: int, origin: Origin) -> None:
        name, known = self.pick(number)
        seq, under = known.taken + ahead, (self.leads or (0, ""))[0] + epoch
        try:
            session = self.sessions.admit(name, self.now)
        except SessionObsoletedError:
            assert self.gone(known)
            return
        assert not self.gone(known)
        answer = session.batches.check(seq)
        if seq > known.taken + 1 or seq < 1:
            assert answer == Gap(known.taken + 1)
        elif seq <= known.acked:
            assert isinstance(answer, Repeat)
            assert answer.reply == known.replies[seq]
        elif seq <= known.taken:
            assert answer == Underway(seq)
        else:
            assert answer == Fresh(seq)
            self.push_fresh(name, known, seq, under, origin)

    def push_fresh(self, name: str, known: Known, seq: int, epoch: int, origin: Origin) -> None:
        try:
            leading.fence(self.lead, name, epoch, [origin])
        except StaleEpochError as refusal:
            assert origin in LEADER_ONLY
            assert self.leads != (epoch, name)
            role = refusal.role
            assert (role == "leader") == (self.leads is not None and self.leads[1] == name)
            session = self.sessions.admit(name, self.now)
            assert session.batches.check(seq) == Fresh(seq), "a refused batch keeps its number"
            return
        assert origin not in LEADER_ONLY or self.leads == (epoch, name)
        known.taken, known.proof_us = seq, self.now
        self.lead = leading.pushed(self.lead, name, [origin], self.now)
        self.act(self.sessions.taken(name, seq, self.now))
        self.pending.append(Frame(batch=(name, Ack(acked=seq, server_time=self.now))))

    @precondition(lambda self: self.model)
    @rule(number=picks, count=st.integers(1, 4))
    def talk(self, number: int, count: int) -> None:
        """Several batches, some of them in one group of the journal."""
        for turn in range(count):
            self.push(number, 1, 0, Origin.REALTIME)
            if self.pending and (number >> turn) % 2:
                self.sync()

    @precondition(lambda self: self.leads)
    @rule(mark=st.integers(0, 2), beats=st.integers(1, 9))
    def hang(self, mark: int, beats: int) -> None:
        """The leader beats and its scan stands still."""
        for _ in range(beats):
            for _ in range(9):
                self.now += SECOND
                self.sweep()
            if self.leads is not None:
                self.beat(0, mark, self.leads[1])

    @precondition(lambda self: self.model)
    @rule(number=picks)
    def close(self, number: int) -> None:
        self.act(self.sessions.closed(self.pick(number)[0]))

    # -- what the journal does

    @precondition(lambda self: self.pending)
    @rule()
    def sync(self) -> None:
        frames, self.pending = self.pending, []
        for frame in frames:
            self.disk.write(frame)
            for session in frame.put:
                if self.sessions.get(session.session_id):
                    self.model[session.session_id].told = True
                    self.act(self.sessions.granted(session.session_id))
            if frame.epoch is not None:
                self.steer(leading.durable(self.lead, frame.epoch[0], self.now))
            if frame.batch is not None:
                self.answer(*frame.batch)

    def answer(self, name: str, reply: Ack) -> None:
        known = self.model[name]
        try:
            step = self.sessions.acknowledged(name, reply, self.now)
        except SessionObsoletedError:
            assert known.over
            return
        assert reply.acked == known.acked + 1, "accepted numbers are dense"
        known.acked, known.proof_us = reply.acked, self.now
        known.replies[reply.acked] = reply
        self.act(step)

    @precondition(lambda self: self.pending)
    @rule()
    def fail(self) -> None:
        """A full disk: nothing of what is pending was written; ends are written again."""
        frames = self.pending
        self.pending = [Frame(drop=frame.drop) for frame in frames if frame.drop]
        for frame in frames:
            for session in frame.put:
                self.act(self.sessions.closed(session.session_id))
            if frame.epoch is not None and frame.epoch[0] == self.lead.chosen:
                self.steer(leading.lapse(self.lead, frame.epoch[1]))
            if frame.batch is not None and self.sessions.get(frame.batch[0]):
                known = self.model[frame.batch[0]]
                known.taken = known.acked
                self.act(self.sessions.released(frame.batch[0]))
        self.steer(leading.elect(self.lead, self.sessions, self.now))

    # -- what time does

    @rule(seconds=whiles)
    def wait(self, seconds: int) -> None:
        for _ in range(seconds):
            self.now += SECOND
            self.sweep()

    @rule(seconds=st.sampled_from([2, 10, 11, 100]))
    def stall(self, seconds: int) -> None:
        """Fusion stands still; what comes in next may be read before the next sweep."""
        self.now += seconds * SECOND

    @rule()
    def sweep(self) -> None:
        step = self.sessions.sweep(self.now)
        assert step.stalled == self.stalled()
        if step.stalled:
            self.floor = self.now
        self.swept = self.now
        self.act(step)
        self.steer(
            leading.check_lease(self.lead, self.now, heard_from_us=self.sessions.heard_from_us)
        )
        self.steer(leading.elect(self.lead, self.sessions, self.now))

    @rule(seconds=st.integers(0, 300), torn=st.booleans())
    def crash(self, seconds: int, torn: bool) -> None:
        frames, self.pending = self.pending, []
        for frame in frames[: len(frames) // 2 if torn else 0]:
            self.disk.write(frame)  # durable, but nobody was told
        self.now += seconds * SECOND
        self.floor = self.swept = self.now
        self.deposed.clear()
        self.boot(self.disk.epoch)
        for name, known in self.model.items():
            row = self.disk.rows.get(name)
            assert row is not None or known.over or not known.told
            if row is None:
                known.over = "unknown"
                continue
            assert row.batches.acked >= known.acked, "an acknowledged batch was lost"
            known.over = ""
            known.acked = known.taken = row.batches.acked
            known.replies.update({reply.acked: reply for reply in row.batches.replies})
            known.proof_us = min(known.proof_us, self.now)
        if self.leads is not None:
            # Written in the last moment before the crash: it is told now, for the first time.
            assert not self.epochs or self.leads[0] >= self.epochs[-1]
            if self.leads[0] not in self.epochs:
                self.epochs.append(self.leads[0])

    # -- what must hold

    @invariant()
    def one_live_session_per_agent_pipe(self) -> None:
        pairs = [session.agent_pipe for session in self.sessions]
        assert len(pairs) == len(set(pairs))
        assert len(pairs) <= MOST
        assert {s.session_id for s in self.sessions} == {
            name for name, known in self.model.items() if not known.over
        }

    @invariant()
    def expiry_is_exact(self) -> None:
        for session in self.sessions:
            known = self.model[session.session_id]
            assert self.sessions.expired(session, self.now) == self.gone(known)
            assert session.state is not SessionState.EXPIRED

    @invariant()
    def one_leader(self) -> None:
        leaders = [s.session_id for s in self.sessions if self.lead.role(s.session_id) == "leader"]
        assert leaders == ([] if self.leads is None else [self.leads[1]])
        assert self.epochs == sorted(set(self.epochs))
        assert self.lead.leader == (self.leads and self.leads[1])

    @invariant()
    def a_leader_is_found(self) -> None:
        """Whoever is fit and does not rest is chosen at once, and leads when the disk agrees."""
        rests = self.lead.resting
        able = [s for s in self.sessions if s.scan and s.state is SessionState.ACTIVE]
        if any(not rests or rests[0] != s.session_id for s in able):
            assert self.lead.holder is not None
            assert self.leads is not None or self.pending


TestWalk = pytest.mark.long(pytest.mark.filterwarnings("default")(Walk.TestCase))
TestWalk.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)
