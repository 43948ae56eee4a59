"""The agent's pipe: source → outbox → sink, with the state machine of `states/pipeline.py`.

Theory of operation. One task group lives as long as the pipe runs:

    watch, attend   what is seen without scanning (lookout.py); goes on without a session
    beat            heartbeats; survives every error of the data path
    conduct         the one that decides: waits out errors, gets a session, and in it runs
        send        batches, one after the other
        sentinel    what fusion wants looked at
        roles       leader: snapshot, then audits; follower: nothing by itself

Nobody assigns a state: `Stage.move` asks the table. A move that ends phases (an error, a lost
session, a demotion, a pause, a stop) is made first, then their tasks are cancelled.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import anyio

from fustor_core import pipe_words
from fustor_core.audits import Audits
from fustor_core.claims import Cell
from fustor_core.config.model import Pipe
from fustor_core.contracts import Answer, Pulse, Sink, Source, boottime_us
from fustor_core.courier import Courier
from fustor_core.errors import (
    FustorError,
    IllegalTransition,
    SequenceGap,
    SessionObsoletedError,
    SlowDown,
    StaleEpochError,
)
from fustor_core.fusion_pipe import FusionPipeline
from fustor_core.heart import Heart
from fustor_core.link import Link, Summoned
from fustor_core.lookout import Lookout, SourceError
from fustor_core.machine import Move
from fustor_core.opening import open_session
from fustor_core.outbox import Limits, Outbox
from fustor_core.phases import sentinel, snapshot
from fustor_core.pipe_words import Host
from fustor_core.post import Post
from fustor_core.remains import Remains
from fustor_core.spool import Spool
from fustor_core.stage import Stage
from fustor_core.states.pipeline import PIPELINE, PipelineState
from fustor_core.trouble import Trouble, draw_jitter
from fustor_core.waiting import Sleep

__all__ = ["AgentPipeline", "FusionPipeline", "PipelineState"]

P = PipelineState


class AgentPipeline:
    """One pipe of an agent.

    Args:
        pipe_id: its name in the configuration. config: what stands there.
        source, sink: the drivers, used by this pipe alone.
        host: where it runs.
        limits: of its queues. drain_timeout_s: how long a stop may send what is queued.
        spool: where a stop leaves what it could not send; None: nowhere.
        generation: how often it was started. held: a person has paused it before.
        on_move: told of every transition.
        now_us, sleep, jitter: the raw clock, its sleep, and a draw from [0.5, 1].
    """

    def __init__(
        self,
        pipe_id: str,
        config: Pipe,
        source: Source,
        sink: Sink,
        host: Host,
        *,
        limits: Limits | None = None,
        drain_timeout_s: float = 30.0,
        spool: Spool | None = None,
        generation: int = 1,
        held: bool = False,
        on_move: Callable[[Move[PipelineState]], None] = lambda move: None,
        now_us: Callable[[], int] = boottime_us,
        sleep: Sleep = anyio.sleep,
        jitter: Callable[[], float] = draw_jitter,
    ) -> None:
        self.id, self.config, self.host = pipe_id, config, host
        self.source, self.sink = source, sink
        self._stage = Stage(pipe_id, on_move)
        self.generation, self.held = generation, held
        self._drain_timeout_s = drain_timeout_s
        self._now_us, self._sleep = now_us, sleep
        self.outbox = Outbox(limits or Limits(), now_us)
        self.link = Link(sink, config.heartbeat_interval_sec, now_us, sleep)
        self._post = Post(source, self.outbox, now_us, sleep)
        self._lookout = Lookout(self._post, failed=self.fail, armed=self._stage.signal)
        self._trouble = Trouble(config, now_us=now_us, sleep=sleep, jitter=jitter)
        self._courier = Courier(self.link, self._post, self._trouble)
        self._heart = Heart(self.link, self, sleep, config.error_retry_interval)
        self.audits, self._stopping = Audits(self._post), False
        self._follow = "follow" if config.follower == "realtime" else "stand_by"
        self._scanned: tuple[object, ...] = ()  # what the last whole snapshot holds for
        self._owes_all = True
        self._lost_cells: list[Cell] = []
        self._remains = Remains(self._post, self._trouble, spool)
        self._work: anyio.CancelScope | None = None  # all that needs a working session
        self._stint: anyio.CancelScope | None = None  # what belongs to the role alone

    def __repr__(self) -> str:
        return f"<AgentPipeline {self.id} {PIPELINE.describe(self.state)} {self.link!r}>"

    # -- what people ask for

    def document(self) -> dict[str, Any]:
        """Pipe of interfaces.md §2."""
        return {
            **pipe_words.document(
                self.id, self.config, self.host, self.state, self.link, self._post
            ),
            "errors_in_row": self._trouble.errors,
            "backoff_s": self._trouble.backoff_s,
            "last_error": self._trouble.last_error,
            "last_ack_at": self._courier.last_ack_at,
            "generation": self.generation,
        }

    def pause(self) -> None:
        """Send nothing until `resume`; watches and heartbeats go on.

        Raises:
            IllegalTransition: it does not run, or has no session.
        """
        if not self.held:
            self._stage.move("pause")
            self.held = True
            self.outbox.drop_scans()
            self._turn()

    def resume(self) -> None:
        """Go on after `pause`, also of one that has lost its session since; try again at once.

        Raises:
            IllegalTransition: there is nothing to resume.
        """
        self._stage.move("resume")
        self.held = False
        self._trouble.resume()
        self._turn()

    def stop(self) -> None:
        """End `run`: what is queued is sent, for a while, then the session is closed."""
        self._stopping = True
        self._stage.signal()

    def outdated(self, *, on: bool = True) -> None:
        """The configuration is not that of this pipe any more, or (`on` False) is so again.

        Raises:
            IllegalTransition: it does not run, or was not outdated.
        """
        self._stage.move("config_changed" if on else "config_restored")

    def adopt(self, config: Pipe) -> None:
        """Take the intervals and the figures of the back-off of a configuration as they are now."""
        self.config = config
        self._trouble.plan(config)
        self.link.beat_every(config.heartbeat_interval_sec)
        self._heart.pause_s = config.error_retry_interval
        self.audits.plan(config, self._audit_interval_s())

    # -- life

    async def run(self) -> None:
        """Run until `stop`, once: a new start is a new pipeline, with new drivers.

        Raises:
            Exception: a bug, in a driver or here; what fails in ordinary ways is dealt with.
        """
        if self._stopping:
            return
        try:
            await self._live()
        finally:
            self._stage.collapse()

    async def _live(self) -> None:
        self._stage.move("start")
        self._remains.take_up()
        async with anyio.create_task_group() as group:
            group.start_soon(self._lookout.watch)
            await self._stage.until(lambda: self._lookout.is_armed or self._trouble.on())
            if not self._trouble.on():
                self._stage.move("ready")
            group.start_soon(self._lookout.attend)
            group.start_soon(self._heart.run)
            group.start_soon(self._conduct)
            await self._stage.until(lambda: self._stopping)
            self._stage.move("stop")
            group.cancel_scope.cancel()
        self._stage.move("drain")
        if self._sends:
            await self._courier.drain(self._drain_timeout_s)
        await self._courier.close()
        self._remains.leave(self._lost_cells)
        self._stage.move("drained")

    # -- state

    @property
    def state(self) -> PipelineState:
        """The state, as one integer of bits."""
        return self._stage.state

    # -- trouble

    def fail(self, error: SourceError) -> None:
        """Something went wrong: say so, end what needs a working session, and back off."""
        if self._stopping:
            return
        event = self._trouble.begin(error)
        if event is not None:
            self._stage.move("init_failed" if self._stage.has(P.INITIALIZING) else event)
            self._break()

    def lose(self, error: SessionObsoletedError) -> None:
        """The session is gone: a new one at once, unless this one was of no use either."""
        if not self.link.alive or self._stopping:
            return
        waits = self._trouble.lost(error, useful=self.link.proven)
        self.link.forget()
        self.outbox.epoch = 0
        self._post.recall.clear()
        self._lost_cells += self.outbox.lost()
        self._post.orders.clear()
        if self._stage.has(P.RUNNING) and not self._stage.has(P.RECONNECTING):
            self._stage.move("session_lost")
        if waits:
            self.fail(error)
        self._break()

    def _break(self) -> None:
        if self._work is not None:
            self._work.cancel()
        self._stage.signal()

    def _turn(self) -> None:
        """The role's own tasks end; what the role is now is looked at anew."""
        if self._stint is not None:
            self._stint.cancel()
        self._stage.signal()

    async def _attempt(self, act: Callable[[], Awaitable[None]]) -> bool:
        """Whether it went well; if not, what had to be done about it is done."""
        try:
            await act()
        except IllegalTransition:
            raise
        except SessionObsoletedError as error:
            self.lose(error)
        except SequenceGap as error:
            self.lose(SessionObsoletedError(error.message))
        except StaleEpochError as error:
            self._take_role(error.role, error.epoch)
            self.outbox.strip()
        except SlowDown as error:
            await self._sleep(error.retry_after_s)
        except (OSError, FustorError) as error:
            self.fail(error)
        else:
            return True
        return False

    # -- session

    async def _conduct(self) -> None:
        while True:
            if self._trouble.on():
                await self._trouble.wait_out()
                if self._stage.has(P.ERROR):
                    self._stage.move("retry")
                self._lookout.rearm()
            await self._stage.until(lambda: self._lookout.is_armed or self._trouble.on())
            if not self.link.alive and not self._stage.has(P.RECONNECTING | P.ERROR):
                self._stage.move("session_lost")
            if self._trouble.on():
                continue
            went_well = await self._attempt(self._probe if self.link.alive else self._open)
            if went_well and not self._trouble.on() and self.link.alive:
                if self._stage.has(P.RECONNECTING):
                    self._stage.move("session_opened")
                await self._use_session()

    async def _open(self) -> None:
        """A new session, and what was lost with the last one."""
        said = partial(pipe_words.hello, self.id, self.config, self.source, self.host)
        await open_session(self.link, self._post, self._lookout, said, self._lost_cells)

    async def _probe(self) -> None:
        """One try, while nothing else is sent."""
        if self._sends and not self.outbox.idle:
            await self._courier.push(lambda: True)
        else:
            self.answered(await self.link.beat(self.pulse()))

    async def _use_session(self) -> None:
        with anyio.CancelScope() as self._work:
            async with anyio.create_task_group() as group:
                group.start_soon(self._send)
                group.start_soon(self._obey)
                if isinstance(self.sink, Summoned):
                    group.start_soon(self._heart.hear, self.sink)
                await self._play_roles(self._work)
        self._work = self._stint = None

    async def _send(self) -> None:
        while True:
            await self._stage.until(lambda: self._stage.sends)
            await self._attempt(lambda: self._courier.push(lambda: self._stage.sends))

    @property
    def _sends(self) -> bool:
        """Whether the role lets this pipe send at all."""
        return not self.held and (self.link.leads or self.config.follower == "realtime")

    # -- heartbeats

    def pulse(self) -> Pulse:
        """What a heartbeat says."""
        return pipe_words.pulse(self.state, self._post)

    def answered(self, answer: Answer | None) -> None:
        """What a heartbeat has brought home: the role, and orders."""
        if answer is None:
            return
        self._take_role(answer.role, answer.epoch)
        if self._sends:
            orders, seeks = self._post.orders, self.config.sentinel_interval_sec > 0
            for command in answer.commands:
                self._trouble.note(orders.take_command(command, self._now_us(), seeks=seeks))
            self._post.news.set()
        self._stage.signal()

    async def _obey(self) -> None:
        await self._attempt(lambda: sentinel(self._post, lambda: self.link.leads))

    # -- roles

    def _take_role(self, role: str, epoch: int) -> None:
        """What fusion has told: a demotion takes effect at once."""
        link = self.link
        old = (link.leads, self.outbox.epoch)
        link.role, link.epoch = role, epoch
        self.outbox.epoch = epoch if link.leads else 0
        if old == (link.leads, self.outbox.epoch):
            return
        self._post.recall.clear()
        if old[0]:
            self._trouble.note(self._post.give_up())
            self.outbox.drop_scans()
            if self._stage.sends:
                self._stage.move(self._follow)
        self._turn()

    async def _play_roles(self, work: anyio.CancelScope) -> None:
        while not work.cancel_called:
            with anyio.CancelScope() as self._stint:
                leads = self.link.leads and not self.held
                if leads:
                    await self._attempt(self._lead)
                elif not self._stage.has(P.PAUSED):
                    self._stage.move("pause" if self.held else self._follow)
                if self._sends and not leads:
                    self._remains.tell()
                    await self._attempt(self._lookout.widen)
                await anyio.sleep_forever()

    async def _lead(self) -> None:
        """Snapshot, unless one holds that was made under this very leadership; then audits."""
        async with self._stage.phase(P.SNAPSHOT_PHASE, self.fail):
            holds_for = (self.link.session_id, self.link.epoch, self._lookout.breaks)
            if self._scanned != holds_for:
                after = self._lookout.behind(self.link.rest, self.link.session_id)
                await snapshot(self._post, owe=self._owes_all and not after, after=after)
                self._scanned, self._owes_all = holds_for, False
                self._lookout.walked(holds_for[-1])
                self._remains.forget()
                self.audits.begin()
                self._trouble.source_works()
        self.audits.plan(self.config, self._audit_interval_s())
        phase = partial(self._stage.phase, P.AUDIT_PHASE, self.fail)
        await self.audits.run(phase, self._trouble.source_works)

    def _audit_interval_s(self) -> float:
        own = self.config.chosen("audit_interval_sec")
        return self.link.audit_interval_s(self.config.audit_interval_sec, own=own)
