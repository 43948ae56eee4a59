"""Every state and edge of the tables is driven by real processes, and their records say so."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fustor_core.client import Client

from .stranger import Stranger
from .strings import SETTLE_S, TIMEOUT_S, Server, Stage, installed
from .world import until

GUESTS = "guests"
DEMOTED_S = 120.0
"""A leader that hangs in a scan loses the lead after a minute."""

# Where each pipe shall stand; the second of a pair follows the first in one view.
STATIONS = {"snap": 34, "live": 66, "audit": 194, "follower": 70, "standby": 6, "heir": 98}
OUTDATED = {name: state | 16 for name, state in STATIONS.items()}
PAIRED = ("follower", "standby", "heir")
HUNG = ("hung-snap", "hung-audit", "hung-snap-by", "hung-audit-by")


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ExitStack]:
    """Ends all processes; those know the puppet."""
    monkeypatch.setenv("PYTHONPATH", installed(tmp_path / "site"))
    with ExitStack() as stack:
        yield stack


def begun(held: ExitStack, host: Any) -> Any:
    held.callback(host.end)
    host.begin()
    return host


@pytest.mark.hosts
def test_every_state_and_edge_is_driven(
    tmp_path: Path, held: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    views = [*STATIONS, *HUNG, "alarm", "alarm-audit", "alarm-pair", "sick", "twice", "slow"]
    server = begun(held, Server(tmp_path, "fusion", views))
    stage = Stage(tmp_path, "agent", server, server.key()["key"])
    furnish(stage)
    begun(held, stage)
    lead_and_follow(stage)
    change_the_configuration(stage)
    pause_and_resume(stage)
    break_and_mend(stage)
    fail_for_good(stage)
    stage.stands({name: 70 if name in HUNG[:2] else 6 for name in HUNG}, DEMOTED_S)
    stop_everywhere(stage, server)
    lose_the_session(stage)
    change_a_view(server)
    stage.stop()
    give_up_a_scan(server)
    server.stop()

    disk = tmp_path / "disk"
    disk.mkdir()
    monkeypatch.setenv("PUPPET_DISK", str(disk))
    host = begun(held, Server(tmp_path, "host", [GUESTS]))
    come_and_go(host)
    be_named_in_vain(host, disk)
    lead_a_view(host, disk)
    host.stop()

    broken = open_in_vain(tmp_path)
    homes = [str(one.home) for one in (server, host, broken)]
    also = [word for home in homes for word in ("--also", home)]
    done = stage.run("machines", "check", "--driven", *also, check=False)
    assert done.returncode == 0, done.stdout.decode()


# ---------------------------------------------------------------- the agent's pipes


def furnish(stage: Stage) -> None:
    """Pipes for all that follows."""
    stage.add("snap", "snap", "hold-scan")
    stage.add("live", "live")
    stage.add("audit", "audit", audit_interval_sec=1)
    for name in PAIRED:
        stage.add(f"{name}-first", name)
    stage.add("follower", "follower", "hold-arm")
    stage.add("standby", "standby", "hold-arm", follower="standby")
    stage.add("heir", "heir", "hold-arm")
    for name in HUNG:
        by = {"follower": "standby"} if name.endswith("by") else {}
        audits = {"audit_interval_sec": 1} if "audit" in name else {}
        words = [] if audits else ["hold-scan"]
        stage.add(name, name, *words, **by, **audits)
        stage.add(f"{name}-heir", name, "hold-arm")
    stage.add("alarm", "alarm", "hold-scan", max_consecutive_errors=1)
    stage.add("alarm-audit", "alarm-audit", audit_interval_sec=1, max_consecutive_errors=1)
    stage.add("alarm-first", "alarm-pair")
    stage.add("alarm-pair", "alarm-pair", "hold-arm", max_consecutive_errors=1)
    stage.add("sick", "sick", "bad-arm")
    stage.add("twice", "twice", error_retry_interval=0.5, max_consecutive_errors=2)
    stage.write()


def lead_and_follow(stage: Stage) -> None:
    """The first of each pair leads; then the others come. One leader is paused: its heir leads."""
    stage.stands({"snap": 34, "alarm": 34, "live": 66, "twice": 66})
    stage.stands({f"{name}-first": 66 for name in PAIRED} | {"alarm-first": 66, "sick": 8})
    stage.stands({"hung-snap": 34, "hung-snap-by": 34})
    stage.unsay("sick", "bad-arm")
    for name in ("audit", "alarm-audit", "hung-audit", "hung-audit-by"):
        stage.say(name, "hold-scan")
    for name in (*PAIRED, "alarm-pair", *(f"{name}-heir" for name in HUNG)):
        stage.unsay(name, "hold-arm")
    audits = dict.fromkeys(("audit", "alarm-audit", "hung-audit", "hung-audit-by"), 194)
    stage.stands({"follower": 70, "standby": 6, "heir": 70, "alarm-pair": 70} | audits)
    stage.say("heir", "hold-scan")
    stage.run("pipe", "pause", "heir-first")
    stage.stands(STATIONS)


def change_the_configuration(stage: Stage) -> None:
    """A changed file flags the pipes, whatever they do; one that is as before takes it back."""
    stage.write(*STATIONS)
    stage.stands(OUTDATED)
    stage.write()
    stage.stands(STATIONS)
    audits_again(stage, "audit")


def pause_and_resume(stage: Stage) -> None:
    """Leaders in each phase, by a person's wish."""
    for name in ("snap", "live", "audit"):
        stage.run("pipe", "pause", name)
    stage.stands({"snap": 6, "live": 6, "audit": 6})
    for name in ("snap", "live", "audit"):
        stage.run("pipe", "resume", name)
    stage.stands({"snap": 34, "live": 66, "audit": 194})


def break_and_mend(stage: Stage) -> None:
    """Errors in each phase; while they back off, the file changes."""
    broken = dict.fromkeys(("snap", "live", "audit", "follower"), 258)
    for name in broken:
        stage.say(name, "fail")
    stage.stands(broken)
    stage.write("snap", "live")
    stage.stands({"snap": 274, "live": 274})
    for name in broken:
        stage.unsay(name, "fail")
    stage.stands({"snap": 50, "live": 82, "follower": 70})
    stage.write()
    stage.stands({"snap": 34, "live": 66})
    audits_again(stage, "audit")


def audits_again(stage: Stage, name: str) -> None:
    """After a break, a leader needs a new snapshot first."""
    stage.unsay(name, "hold-scan")
    stage.stands({name: 66})
    stage.say(name, "hold-scan")
    stage.stands({name: 194})


def fail_for_good(stage: Stage) -> None:
    """Errors that are alarms at once, in each phase; and one that is so at the second try."""
    failing = dict.fromkeys(("alarm", "alarm-audit", "alarm-pair"), 8)
    for name in (*failing, "twice"):
        stage.say(name, "fail")
    stage.stands(failing)
    stage.write("alarm")
    stage.stands({"alarm": 24})
    for name in (*failing, "twice"):
        stage.unsay(name, "fail")
    stage.run("pipe", "resume", "alarm", check=False)
    stage.stands({"alarm": 50, "alarm-pair": 70, "twice": 66})
    stage.write()


def stop_everywhere(stage: Stage, server: Server) -> None:
    """Restarts from each stage and phase; one drains while the server does not answer."""
    stage.say("alarm", "fail")
    stage.say("follower", "fail")
    stage.stands({"alarm": 8, "follower": 258})
    for name in ("snap", "audit", "standby", "alarm", "follower"):
        stage.run("pipe", "restart", name)
    stage.unsay("alarm", "fail")
    stage.unsay("follower", "fail")
    stage.stands({"snap": 34, "alarm": 34, "standby": 6, "follower": 70})
    audits_again(stage, "audit")
    stage.write("live")
    stage.stands({"live": 82})
    stage.run("pipe", "restart", "live")
    stage.write()
    stage.stands({"live": 66})
    server.signal(signal.SIGSTOP)
    stage.write("live")
    stage.run("pipe", "restart", "live")
    try:
        stage.stands({"live": 528}, within_s=10)
    finally:
        server.signal(signal.SIGCONT)
    stage.write()
    stage.stands({"live": 66, "snap": 34, "follower": 70, "standby": 6})
    audits_again(stage, "audit")


def lose_the_session(stage: Stage) -> None:
    """An agent that stood still has lost all its sessions."""
    stage.signal(signal.SIGSTOP)
    threading.Event().wait(TIMEOUT_S + 2)
    stage.signal(signal.SIGCONT)
    stage.stands({"snap": 34, "live": 66})


def change_a_view(server: Server) -> None:
    """A changed file flags the views, too; one is restored, one is restarted."""

    def flagged(*views: str) -> bool:
        told = (server.ask("/views") or {}).get("views", ())
        return sorted(v["view"] for v in told if "CONF_OUTDATED" in v["flags"]) == sorted(views)

    before = server.views
    changed = {name: {**view, "audit_interval_sec": 7} for name, view in before.items()}
    server.configure({**before, "live": changed["live"], "snap": changed["snap"]})
    until(lambda: flagged("live", "snap"), SETTLE_S)
    server.configure({**before, "snap": changed["snap"]})
    until(lambda: flagged("snap"), SETTLE_S)


def give_up_a_scan(server: Server) -> None:
    """A scan on demand that nobody is there for: what waited for it fails with it."""
    job = server.told("view", "scan", "live:/")
    with Client(f"unix:{server.home}/fusion/api.sock") as client:
        assert client.ask("DELETE", f"/jobs/{job['id']}")["state"] == "cancelled"


def open_in_vain(folder: Path) -> Server:
    """A view whose state cannot be read."""
    host = Server(folder, "broken", ["view"])
    state = host.home / "fusion" / "views"
    state.mkdir(parents=True)
    (state / "view").touch()
    assert host.launch().wait(SETTLE_S) == 3, host.tail()
    return host


# ---------------------------------------------------------------- sessions and leadership


def come_and_go(host: Server) -> None:
    """Every way from ACTIVE and STALE."""
    key = host.key()
    with Stranger(host.port, key["key"]) as guest:
        guest.opened(view=GUESTS)
        becomes(host, guest, "STALE")
        assert guest.beat().status_code == 200
        becomes(host, guest, "ACTIVE")
        becomes(host, guest, None)
        guest.opened(view=GUESTS)
        leaves(guest)
        for word in ("ACTIVE", "STALE"):
            guest.opened(view=GUESTS)
            becomes(host, guest, word)
            guest.opened(view=GUESTS)  # in place of the one before
        becomes(host, guest, "STALE")
        leaves(guest)
    for word in ("ACTIVE", "STALE"):
        key = host.key()
        with Stranger(host.port, key["key"], agent_id=word) as guest:
            guest.opened(view=GUESTS, session_timeout_s=3 * TIMEOUT_S)
            becomes(host, guest, word)
            host.told("key", "revoke", key["id"])
            becomes(host, guest, None)


def be_named_in_vain(host: Server, disk: Path) -> None:
    """Every way from ESTABLISHING: what cannot be made durable was told to nobody."""
    (disk / "full").touch()
    key = host.key()
    with Stranger(host.port, key["key"], agent_id="full") as guest:
        assert guest.open(view=GUESTS).status_code == 507
    (disk / "full").unlink()
    for end in ("expire", "replace", "revoke"):
        key = host.key()
        knocking: list[threading.Thread] = []

        def knock(key: str = key["key"], end: str = end) -> None:
            with Stranger(host.port, key, agent_id=end) as guest:
                guest.open(view=GUESTS)

        def comes(knocking: list[threading.Thread] = knocking) -> None:
            knocking.append(threading.Thread(target=knock))
            knocking[-1].start()

        (disk / "hold").touch()
        comes()
        until(lambda: "ESTABLISHING" in states(host), TIMEOUT_S)
        if end == "replace":
            (first,) = sessions(host)
            comes()
            until(partial(is_another, host, first["session_id"]), TIMEOUT_S)
        elif end == "revoke":
            revoking = threading.Thread(target=host.run, args=("key", "revoke", key["id"]))
            knocking.append(revoking)
            revoking.start()
        if end != "replace":
            until(lambda: not states(host), 3 * TIMEOUT_S)
        (disk / "hold").unlink()
        for thread in knocking:
            thread.join()
        until(lambda: not states(host), 3 * TIMEOUT_S)


def lead_a_view(host: Server, disk: Path) -> None:
    """Elections; one whose epoch cannot be made durable."""
    key = host.key()
    can = {"realtime": True, "scan": True}
    with (
        Stranger(host.port, key["key"], agent_id="first") as first,
        Stranger(host.port, key["key"], agent_id="second") as second,
    ):
        first.opened(view=GUESTS, can=can)
        assert first.role == "leader"
        second.opened(view=GUESTS, can=can)
        leaves(first)
        until(lambda: second.beat().json()["role"] == "leader", TIMEOUT_S)
        first.opened(view=GUESTS, can=can)
        (disk / "full").touch()
        leaves(second)
        until(lambda: first.beat().json()["role"] == "follower", TIMEOUT_S)
        (disk / "full").unlink()
        until(lambda: first.beat().json()["role"] == "leader", 10)
        leaves(first)
        until(lambda: not states(host), TIMEOUT_S)


def sessions(host: Server) -> list[dict[str, Any]]:
    """All that live."""
    return list((host.ask("/sessions") or {})["sessions"])


def states(host: Server) -> list[str]:
    """Their states."""
    return [session["state"] for session in sessions(host)]


def is_another(host: Server, session_id: str) -> bool:
    """Whether a session has taken the place of this one."""
    found = [one["session_id"] for one in sessions(host)]
    return bool(found) and session_id not in found


def becomes(host: Server, guest: Stranger, state: str | None) -> None:
    """Wait until its session is so; None: until it is over."""

    def so() -> bool:
        found = [s["state"] for s in sessions(host) if s["session_id"] == guest.session_id]
        return found == ([] if state is None else [state])

    until(so, 3 * TIMEOUT_S, lambda: f"{guest.agent_id}: {sessions(host)}")


def leaves(guest: Stranger) -> None:
    """It says goodbye."""
    assert guest.http.delete(f"/pipe/sessions/{guest.session_id}").status_code == 204
