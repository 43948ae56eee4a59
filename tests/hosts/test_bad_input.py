"""Bad input over real HTTP, while an honest agent works: 4xx with a reason, and nothing is lost."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import msgspec
import pytest
import zstandard
from fustor_source_fs.source import FsConfig, FsSource

from fustor_core.claims import Cell, Key, Listing, Origin, Row

from .stranger import Stranger, now, raw, refused, root
from .world import VIEW, Site, until
from .writers import SlowWriter, Storms

KEY = Key(1, 2, 3)
NESTED = 100_000
BOMB_MIB = 512


@contextmanager
def honest(place: Site) -> Iterator[Stranger]:
    """A stranger with a good key, beside an agent that works and whose view must be exact."""
    agent = place.agent("alpha", mounted=False)
    place.start()
    session = place.sessions()[0]["session_id"]
    steady = place.tree / "steady.log"
    with place.polled(), SlowWriter(steady, 0.1), Stranger(place.port, place.key("push")) as some:
        yield some
        some.http.delete(f"/pipe/sessions/{some.session_id or 'none'}")
    place.settles()
    assert agent.state == 66
    assert place.sessions()[0]["session_id"] == session, "the honest session was lost"


def bodies(some: Stranger) -> dict[str, bytes]:
    """What is no batch."""
    whole = some.batch(1, [root("stranger", KEY)])
    return {
        "empty": b"",
        "garbage": os.urandom(4096),
        "truncated": whole[:-5],
        "longer": whole + b"\x00",
        "json": b'{"protocol": 1}',
        "over-nested arrays": b"\x91" * NESTED + b"\xc0",
        "over-nested maps": b"\x81\xa1a" * NESTED + b"\xc0",
        "an array that is said to be huge": b"\xdd\xff\xff\xff\xff",
        "a string that is said to be huge": b"\xdb\xff\xff\xff\xff" + b"x" * 100,
        "negative sequence": msgspec.msgpack.encode([1, -1, 0, []]),
        "words for numbers": msgspec.msgpack.encode(["1", "1", "0", []]),
        "huge numbers": msgspec.msgpack.encode([1, 2**64 - 1, 2**64 - 1, []]),
        "another protocol": msgspec.msgpack.encode([99, 1, 0, []]),
        "claims of no kind": msgspec.msgpack.encode([1, 1, 0, [["?", 1, 2, 3]]]),
        "claims without fields": msgspec.msgpack.encode([1, 1, 0, [["c"], ["l"], ["r"]]]),
    }


@pytest.mark.long
def test_bodies_that_are_no_batch(place: Site) -> None:
    with honest(place) as some:
        some.opened()
        for what, body in bodies(some).items():
            reply = some.push(body)
            assert reply.status_code != 200, what
            refused(reply, 400, 409, 413)
        squeezed = zstandard.compress(b"\x00" * (BOMB_MIB << 20), level=3)
        refused(some.push(squeezed, **{"Content-Encoding": "zstd"}), 400, 413)
        refused(some.push(b"\x28\xb5\x2f\xfd" + b"x" * 50, **{"Content-Encoding": "zstd"}), 400)
        refused(some.push(squeezed[: len(squeezed) // 2], **{"Content-Encoding": "zstd"}), 400, 413)
        refused(some.push(b"x", **{"Content-Encoding": "br"}), 415)
        refused(some.push(os.urandom(9 << 20)), 413, slug="too-large")
        where = f"/pipe/sessions/{some.session_id}/batches"
        refused(some.post(where, some.batch(1, []), "text/plain"), 415)
        assert some.push(some.batch(1, [root("stranger", KEY)])).status_code == 200


@pytest.mark.hosts
def test_sessions_and_hellos_that_are_none(place: Site) -> None:
    with honest(place) as some:
        where = "/pipe/sessions/"
        hellos = [b"", b"{", b"[]", b"null", b"[" * NESTED, b'{"protocol": [1]}', os.urandom(200)]
        hellos += [b'{"protocol": "1", "agent_id": 1, "pipe": [], "view": {}}']
        for body in hellos:
            refused(some.post(where, body), 400, 413)
        refused(some.open(protocol=(2,)), 400, slug="unsupported-protocol")
        refused(some.open(view="no-such"), 404, slug="no-such-view")
        refused(some.open(view="../../etc"), 400, 404)
        refused(some.open(agent_id="x" * 300), 400)
        refused(some.open(session_timeout_s=-1.0), 400)
        for guess in ("0" * 32, "../sessions", "%2e%2e%2f", "x" * 5000, "a%00b"):
            refused(some.beat(session_id=guess))
            refused(some.push(some.batch(1, []), session_id=guess))
        some.opened()
        for body in (
            b"",
            b"{}",
            b'{"state": -1}',
            b'{"state": "x"}',
            b'{"state": 1e99}',
            b"[" * 999,
        ):
            refused(some.post(f"{where}{some.session_id}/heartbeat", body), 400)
        refused(some.push(some.batch(7, [])), 409, slug="sequence-gap")
        refused(some.push(some.batch(0, [])), 400, 409)
        body = some.batch(1, [root("stranger", KEY)])
        first, again = some.push(body), some.push(body)
        assert (first.status_code, again.status_code) == (200, 200)
        assert first.json()["acked"] == again.json()["acked"] == 1
        for headers in ({"Fustor-Sent": "never"}, {"Fustor-Echo": "1"}, {"Fustor-Echo": "a,b"}):
            refused(
                some.post(f"{where}{some.session_id}/heartbeat", b'{"state": 70}', **headers), 400
            )


@pytest.mark.hosts
def test_rows_that_cannot_be_are_named_and_the_rest_counts(place: Site) -> None:
    with honest(place) as some:
        some.opened()
        row = Row(size=1, ino=77).pack()
        told = {"stamp": now(), "origin": Origin.REALTIME}
        good = root("stranger", KEY)
        bad = [
            Cell(dir=KEY, name=b"a/b", value=row, **told),
            Cell(dir=KEY, name=b"..", value=row, **told),
            Cell(dir=KEY, name=b"short", value=row[:20], **told),
            Cell(dir=KEY, name=b"n" * 70_000, value=row, **told),
            Listing(dir=KEY, names=b"a\x00b", rows=row, **told),
            Listing(dir=KEY, names=b"b\x00a", rows=row + row, **told),
        ]
        reply = some.push(some.batch(1, [good, *bad]))
        assert reply.status_code == 200, reply.text
        named = {one["index"] for one in reply.json()["quarantined"]}
        assert named == set(range(1, len(bad) + 1)), reply.text


@pytest.mark.hosts
def test_keys_that_are_not_good(place: Site) -> None:
    with honest(place) as some:
        session = some.opened()
        read = place.key("read")
        elsewhere = place.key("push", "--view", "other-*")
        second = place.fusion.told("key", "create", "--scope", "push")
        with Stranger(place.port, None) as nobody, Stranger(place.port, "fst_0_x") as wrong:
            for one in (nobody, wrong):
                refused(one.open(), 401)
                refused(one.beat(session_id=session), 401)
                refused(one.http.get(f"/views/{VIEW}/ls"), 401)
        with Stranger(place.port, read) as reader:
            refused(reader.open(), 403)
            assert reader.http.get(f"/views/{VIEW}/ls", params={"path": "/"}).status_code == 200
        with Stranger(place.port, elsewhere) as other:
            refused(other.open(), 403)
        refused(some.http.get(f"/views/{VIEW}/ls", params={"path": "/"}), 403)
        with Stranger(place.port, second["key"], "thief") as thief:
            refused(thief.beat(session_id=session), 403, 419)
            refused(thief.push(some.batch(1, []), session_id=session), 403, 419)
            thief.opened()
            place.fusion.told("key", "revoke", second["id"])
            until(lambda: thief.beat().status_code in (401, 419), 1.5, place.tails)
            refused(thief.open(), 401)
        with Stranger(place.port, place.key("push", "--expires", "5s"), "brief") as brief:
            brief.opened()
            until(lambda: brief.beat().status_code in (401, 419), 7, place.tails)


@pytest.mark.hosts
def test_paths_and_words_in_queries(place: Site) -> None:
    with honest(place) as some:
        some.http.headers["Authorization"] = f"Bearer {place.key('read')}"
        asks = [
            ("/views/shared/ls", {"path": "/../../etc"}),
            ("/views/shared/ls", {"path": "anchor-0"}),
            ("/views/shared/ls", {"path_b64": "%%%"}),
            ("/views/shared/stat", {"path": "/anchor-0/../anchor-1"}),
            ("/views/shared/ls", {"path": "/", "limit": "-1"}),
            ("/views/shared/ls", {"path": "/", "cursor": "nonsense"}),
            ("/views/shared/find", {"pattern": "(" * 5000, "regex": "true"}),
            ("/views/no-such/ls", {"path": "/"}),
            ("/views/..%2f..%2fetc/ls", {"path": "/"}),
            ("/nowhere", {}),
        ]
        for path, params in asks:
            refused(some.http.get(path, params=params))
        refused(some.http.get("/views/shared/ls", headers={"Host": "evil.example"}), 421)


@pytest.mark.hosts
def test_what_is_no_http(place: Site) -> None:
    with honest(place):
        head = f"POST /api/v1/pipe/sessions/ HTTP/1.1\r\nHost: 127.0.0.1:{place.port}\r\n"
        for request in (
            os.urandom(2000),
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET " + b"/" * 200_000 + b" HTTP/1.1\r\n\r\n",
            head.encode() + b"Content-Length: 100\r\n\r\nshort",
            head.encode() + b"Content-Length: -1\r\n\r\n",
            head.encode() + b"X: " + b"y" * 200_000 + b"\r\n\r\n",
            head.encode() + b"Transfer-Encoding: chunked\r\n\r\nZZZ\r\n",
        ):
            try:
                answer = raw(place.port, request)
            except ConnectionError:
                continue  # it hung up
            assert not answer or b" 4" in answer[:16], answer[:300]


@pytest.mark.hosts
def test_claims_of_a_leader_that_leads_no_more_are_refused_by_epoch(place: Site) -> None:
    """A session that lives, and was deposed: 412, the number is not used up, the rest counts."""
    place.start_fusion()
    with Stranger(place.port, place.key("push")) as some:
        some.opened(can={"realtime": True, "scan": True}, session_timeout_s=60.0)
        assert some.role == "leader"
        proof = anyio.run(FsSource(FsConfig(root=str(place.tree))).identity)
        scan = msgspec.structs.replace(proof, origin=Origin.SNAPSHOT)
        assert some.push(some.batch(1, [scan])).status_code == 200
        rival = place.agent("alpha", mounted=False)
        rival.begin()
        until(lambda: len(place.sessions()) == 2, 10, place.tails)
        old = some.epoch
        for state in (66, 6):  # it leads, then a person pauses it: the lead passes on
            assert some.beat(state).status_code == 200
        until(lambda: place.leader() is rival, 10, place.tails)
        listing = Listing(
            dir=KEY, names=b"old", rows=Row(ino=5).pack(), stamp=now(), origin=Origin.SNAPSHOT
        )
        told = refused(some.push(some.batch(2, [listing], old)), 412, slug="stale-epoch")
        assert told["epoch"] > old
        assert told["role"] == "follower"
        assert some.push(some.batch(2, [proof])).status_code == 200


@pytest.mark.hosts
def test_two_machines_with_one_agent_id(place: Site) -> None:
    """An alarm and back-off instead of a duel; the view stays exact."""
    for name in ("alpha", "beta"):
        agent = place.agent(name)
        place.configure(agent, {"alpha": {}}, agent_id="twin")
    place.start_fusion()
    for agent in place.agents.values():
        agent.begin()
    until(lambda: "share the id" in place.fusion.tail(), 30, place.tails)
    opened = threading.Event()
    begun = time.monotonic()
    seen: set[str] = set()
    while time.monotonic() - begun < 2 * place.times.timeout_s:
        seen |= {s["session_id"] for s in place.sessions()}
        opened.wait(0.1)
    assert len(seen) < 12, "they drive each other out again and again"
    place.agents["beta"].kill()
    storms = Storms([place.agents["alpha"].root], place.outside)
    storms.run(200)
    storms.calm()
    place.settles()
