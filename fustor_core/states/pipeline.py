"""The agent's pipe: `PipelineState` and its table.

The numbers are wire format (heartbeats, `fustor pipe show`): written out, never to be renumbered.

    0 start→ 1 ready→ 2                    no session yet, or lost: 258; session_opened → 2
    leader:    2 lead→ 34 snapshot_end→ 66 audit_begin→ 194 audit_end→ 66
    follower:  2 follow→ 70 (events still flow)     2 stand_by→ 6 (nothing is sent)
    promotion: 70 lead→ 98 snapshot_end→ 66         6 lead→ 34 snapshot_end→ 66
    errors:    failed → 258 (back-off)              alarm → 8 alone; retry → 258 for one try
    stop:      1024 drain→ 512 drained→ 0

MESSAGE_PHASE means that the snapshot is over and events keep the view current. A phase bit lives
exactly as long as its task: what ends the task (a lost session, an error, a demotion, a stop) drops
the bit in the same move. CONF_OUTDATED rides on any of 2…512 until the configuration is as it was,
or a stop takes it away.
"""

from __future__ import annotations

from enum import IntFlag

from fustor_core.machine import Rule, Table


class PipelineState(IntFlag):
    """The state of a pipe as one integer; several bits may be set at once."""

    STOPPED = 0
    INITIALIZING = 1
    RUNNING = 2
    PAUSED = 4
    ERROR = 8
    CONF_OUTDATED = 16
    SNAPSHOT_PHASE = 32
    MESSAGE_PHASE = 64
    AUDIT_PHASE = 128
    RECONNECTING = 256
    DRAINING = 512
    STOPPING = 1024


P = PipelineState

STAGES = (P.INITIALIZING, P.RUNNING, P.ERROR, P.DRAINING, P.STOPPING)
"""A pipe that is not stopped is in exactly one of these."""

PHASES = P.SNAPSHOT_PHASE | P.MESSAGE_PHASE | P.AUDIT_PHASE
SESSION_BITS = PHASES | P.PAUSED
"""What a session gives meaning to; gone when it is lost."""

EVERYTHING = PipelineState(sum(flag.value for flag in PipelineState))


def legal(state: PipelineState) -> bool:
    """Whether a combination of bits is a state of an agent's pipe."""
    value = int(state)
    if value & ~int(EVERYTHING):
        return False
    stages = [stage for stage in STAGES if value & stage]
    if not stages:
        return not value
    if len(stages) > 1:
        return False
    if value & P.CONF_OUTDATED and stages[0] not in (P.RUNNING, P.ERROR, P.DRAINING):
        return False
    extras = value & int(SESSION_BITS | P.RECONNECTING)
    if stages[0] is not P.RUNNING:
        return not extras
    if extras & P.RECONNECTING:
        return extras == P.RECONNECTING
    # A follower runs no leader task; an audit runs beside messages, never beside a snapshot.
    if extras & P.PAUSED:
        return not extras & (P.SNAPSHOT_PHASE | P.AUDIT_PHASE)
    if extras & P.AUDIT_PHASE:
        return extras == P.MESSAGE_PHASE | P.AUDIT_PHASE
    return True


PIPELINE = Table(
    "pipeline",
    P.STOPPED,
    [
        Rule("start", P.STOPPED, P.INITIALIZING),
        Rule("ready", P.INITIALIZING, P.RUNNING, clear=P.INITIALIZING),
        Rule("init_failed", P.INITIALIZING, P.ERROR, clear=P.INITIALIZING),
        # Session. Watches and spool go on without one, they carry no bit.
        Rule(
            "session_lost",
            P.RUNNING,
            P.RECONNECTING,
            clear=SESSION_BITS,
            without=P.RECONNECTING,
        ),
        Rule("session_opened", P.RUNNING | P.RECONNECTING, P.RUNNING, clear=P.RECONNECTING),
        # Role. 2 is the place where it is asked for; a promotion leaves PAUSED.
        Rule(
            "lead",
            P.RUNNING,
            P.SNAPSHOT_PHASE,
            without=PHASES | P.PAUSED | P.RECONNECTING,
        ),
        Rule("lead", P.RUNNING | P.PAUSED, P.SNAPSHOT_PHASE, clear=P.PAUSED),
        Rule(
            "follow",
            P.RUNNING,
            P.PAUSED | P.MESSAGE_PHASE,
            clear=PHASES,
            without=P.PAUSED | P.RECONNECTING,
        ),
        Rule(
            "stand_by",
            P.RUNNING,
            P.PAUSED,
            clear=PHASES,
            without=P.PAUSED | P.RECONNECTING,
        ),
        # Phases of a leader.
        Rule(
            "snapshot_end",
            P.RUNNING | P.SNAPSHOT_PHASE,
            P.MESSAGE_PHASE,
            clear=P.SNAPSHOT_PHASE,
        ),
        Rule(
            "audit_begin",
            P.RUNNING | P.MESSAGE_PHASE,
            P.AUDIT_PHASE,
            without=P.SNAPSHOT_PHASE | P.AUDIT_PHASE | P.PAUSED,
        ),
        Rule("audit_end", P.RUNNING | P.AUDIT_PHASE, P.MESSAGE_PHASE, clear=P.AUDIT_PHASE),
        # A person's wish: `fustor pipe pause`, `fustor pipe resume`.
        Rule("pause", P.RUNNING, P.PAUSED, clear=PHASES, without=P.RECONNECTING),
        Rule("resume", P.RUNNING | P.PAUSED, P.RUNNING, clear=P.PAUSED, without=P.MESSAGE_PHASE),
        Rule("resume", P.ERROR, P.RUNNING | P.RECONNECTING, clear=P.ERROR),
        Rule("resume", P.RUNNING | P.RECONNECTING, P.RUNNING),  # the next try is now
        # Errors: `failed` below the limit, `alarm` from it on or when a person is needed.
        Rule("failed", P.RUNNING, P.RECONNECTING, clear=SESSION_BITS),
        Rule("alarm", P.RUNNING, P.ERROR, clear=P.RUNNING | P.RECONNECTING | SESSION_BITS),
        Rule("retry", P.ERROR, P.RUNNING | P.RECONNECTING, clear=P.ERROR),
        # Configuration.
        Rule("config_changed", (P.RUNNING, P.ERROR, P.DRAINING), P.CONF_OUTDATED),
        *(
            Rule("config_restored", stage | P.CONF_OUTDATED, stage, clear=P.CONF_OUTDATED)
            for stage in (P.RUNNING, P.ERROR, P.DRAINING)
        ),
        # Stop.
        Rule("stop", (P.RUNNING, P.ERROR), P.STOPPING, clear=EVERYTHING),
        Rule("drain", P.STOPPING, P.DRAINING, clear=P.STOPPING),
        Rule("drained", P.DRAINING, P.STOPPED, clear=EVERYTHING),
    ],
    legal=legal,
)
