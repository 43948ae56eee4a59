"""The sink posts signed requests to a real server, and knows what its answers mean."""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any

import anyio
import pytest
from fustor_sink_webhook import WebhookSink
from fustor_sink_webhook.replies import SLOWEST_S, error_for
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fustor_core.claims import PROTOCOL, Batch, Claim, Origin
from fustor_core.contracts import Introduced, Sessioned
from fustor_core.errors import PipeError, Refused, SlowDown, TooLarge, Unreachable
from fustor_core.testing import sink_kit
from fustor_core.testing.promises import cell, hello, listing

SECRET = "a-secret-of-both-ends"
LIMIT_S = 20.0


def batch(seq: int, *names: bytes) -> Batch:
    return Batch(PROTOCOL, seq, 0, [cell(name) for name in names or (b"n%d" % seq,)])


def large(seq: int, count: int, *more: Claim) -> tuple[Batch, list[str]]:
    names = [f"file-{number:06d}" for number in range(count)]
    one = listing(Origin.SNAPSHOT, **dict.fromkeys(names, 1))
    return Batch(PROTOCOL, seq, 0, [one, *more]), names


def listed(claims: list[dict[str, Any]]) -> list[str]:
    return [entry["name"] for claim in claims for entry in claim.get("entries", ())]


# -- what is sent


def test_it_keeps_every_promise_of_a_sink(served: Any) -> None:
    sink_kit(WebhookSink, served.sink().config)


@pytest.mark.parametrize("form", ["json", "ndjson"])
async def test_a_batch_is_one_signed_request(served: Any, form: str) -> None:
    sink = served.sink(format=form)
    assert isinstance(sink, Introduced)
    assert not isinstance(sink, Sessioned)
    await sink.begin(hello("p", "a/b"))
    assert (await sink.send(batch(1, b"x", b"y"))).acked == 1
    await sink.end()
    hook = served.hook
    assert hook.names == ["/x", "/y"]
    ((headers, body),) = hook.taken
    assert headers["Content-Type"] == f"application/{'x-nd' if form == 'ndjson' else ''}json"
    agent, pipe, start, seq, _ = headers["Idempotency-Key"].split("/")
    assert (agent, pipe, seq) == ("a%2Fb", "p", "1")
    assert hook.seen[0][0] == "/hook?token=canary"
    if form == "json":
        document = json.loads(body)
        assert {k: document[k] for k in ("agent", "pipe", "start", "seq")} == {
            "agent": "a/b",
            "pipe": "p",
            "start": start,
            "seq": 1,
        }


async def test_what_was_changed_on_its_way_is_found_out(served: Any) -> None:
    sink = served.sink()
    await sink.begin(hello())
    await sink.send(batch(1))
    await sink.end()
    verify = served.hook.verify
    ((headers, body),) = served.hook.taken
    assert verify(SECRET, headers, body)
    assert not verify(SECRET + "x", headers, body)
    assert not verify(SECRET, headers, body + b" ")
    assert not verify(SECRET, headers | {"Idempotency-Key": "other"}, body)
    assert not verify(SECRET, headers | {"Fustor-Timestamp": "1"}, body)
    assert not verify(SECRET, headers, body, tolerance_s=-1)


def test_both_pages_tell_the_same_way_to_verify() -> None:
    plugin = Path(__file__).parents[1]
    page = plugin.parents[1] / "docs" / "how-to" / "send-changes-elsewhere.md"
    told = (plugin / "README.md").read_text("utf-8").partition("```python\n")[2].partition("```")[0]
    assert "compare_digest" in told
    assert told in page.read_text("utf-8")


async def test_another_secret_is_for_a_person(served: Any) -> None:
    sink = served.sink(secret="not-that-of-the-other-end")
    await sink.begin(hello())
    with pytest.raises(Refused, match="status 401; do both ends have the same `secret`") as raised:
        await sink.send(batch(1))
    assert "canary" not in str(raised.value)
    assert "not-that" not in str(raised.value)
    assert len(served.hook.forged) == 1
    await sink.end()


async def test_a_repeat_has_the_same_key_and_is_dropped_there(served: Any) -> None:
    sink = served.sink()
    await sink.begin(hello())
    served.hook.lose_replies = 1
    with pytest.raises(Unreachable):
        await sink.send(batch(1, b"x"))
    await sink.send(one := batch(2, b"y"))
    await sink.send(one)
    repeated = batch(3, b"z")
    served.hook.lose_replies = 1
    with pytest.raises(Unreachable):
        await sink.send(repeated)
    await sink.send(repeated)
    await sink.end()
    assert served.hook.names == ["/x", "/y", "/z"]
    keys = [key for _, key, _ in served.hook.seen]
    assert keys[-1] == keys[-2]
    assert len(keys) == 4, "what was answered is not sent again"


async def test_each_start_is_another(served: Any) -> None:
    for _ in range(2):
        sink = served.sink()
        await sink.begin(hello())
        await sink.send(batch(1, b"x"))
        await sink.end()
    assert len(served.hook.taken) == 2


# -- sizes


@pytest.mark.parametrize("form", ["json", "ndjson"])
async def test_a_huge_directory_goes_in_several_requests(served: Any, form: str) -> None:
    sink = served.sink(max_body="64KiB", format=form)
    await sink.begin(hello())
    one, names = large(1, 20_000, cell(b"after"))
    assert (await sink.send(one)).acked == 1
    await sink.end()
    hook = served.hook
    assert len(hook.taken) > 10
    assert max(size for _, _, size in hook.seen) <= 64 << 10
    assert listed(hook.claims) == names
    assert [claim["more"] for claim in hook.claims if "more" in claim].count(False) == 1
    assert hook.claims[-1]["path"] == "/after"


async def test_a_server_that_takes_less_gets_less(served: Any) -> None:
    hook = served.hook
    hook.body_max = 40_000
    sink = served.sink()
    await sink.begin(hello())
    one, names = large(1, 5000)
    assert (await sink.send(one)).acked == 1
    assert listed(hook.claims) == names
    before = len(hook.seen)
    again, _ = large(2, 5000)
    await sink.send(again)
    assert all(size <= 40_000 for *_, size in hook.seen[before:]), "it has learnt"
    hook.body_max = 100
    with pytest.raises(TooLarge, match="lower `max_body`"):
        await sink.send(batch(3))
    await sink.end()


async def test_what_was_taken_of_a_batch_is_not_sent_again(served: Any) -> None:
    hook = served.hook
    sink = served.sink(max_body="64KiB")
    await sink.begin(hello())
    one, names = large(1, 3000)
    for _ in range(2):
        await sink.send(one)
    sent = len(hook.seen)
    assert len(hook.taken) == sent, "nothing twice"
    two, _ = large(2, 3000)
    hook.answers = [(500, {})]
    with pytest.raises(Unreachable):
        await sink.send(two)
    await sink.send(two)
    assert listed(hook.claims) == names * 2
    assert len(hook.seen) == 2 * sent + 1
    await sink.end()


# -- answers


@pytest.mark.parametrize(
    ("status", "headers", "kind", "text"),
    [
        (429, {"Retry-After": "7"}, SlowDown, "status 429"),
        (429, {}, SlowDown, "status 429"),
        (503, {"Retry-After": "7"}, SlowDown, "status 503"),
        (503, {}, Unreachable, "status 503; it is tried again"),
        (500, {"text": "out of  luck"}, Unreachable, r"500 \(out of luck\)"),
        (408, {}, Unreachable, "it is tried again"),
        (409, {}, Unreachable, "it is tried again"),
        (400, {"text": "<html>"}, Refused, "status 400; is `url` right"),
        (403, {}, Refused, "same `secret`"),
        (404, {}, Refused, "is `url` right"),
        (301, {"Location": "http://127.0.0.1:1/"}, Refused, "a redirect is not followed"),
        (413, {}, TooLarge, "lower `max_body`"),
    ],
)
async def test_answers(
    served: Any, status: int, headers: dict[str, str], kind: type[PipeError], text: str
) -> None:
    sink = served.sink()
    await sink.begin(hello())
    served.hook.answers = [(status, dict(headers))]
    with pytest.raises(kind, match=text) as raised:
        await sink.send(batch(1))
    assert type(raised.value) is kind
    assert "canary" not in str(raised.value)
    if isinstance(raised.value, SlowDown):
        assert raised.value.retry_after_s == (7 if headers else 1)
    assert (await sink.send(batch(1))).acked == 1
    await sink.end()


def test_retry_after_as_a_date_and_as_nonsense() -> None:
    def wait_s(text: str) -> float:
        error = error_for("http://h", 429, {"retry-after": text}, b"")
        assert isinstance(error, SlowDown)
        return error.retry_after_s

    assert 50 < wait_s(formatdate(time.time() + 60, usegmt=True)) <= 60
    assert wait_s(formatdate(0)) == 1
    assert wait_s("9" * 30) == SLOWEST_S
    assert [wait_s(text) for text in ("-5", "", "soon", "1.5", "٣")] == [1] * 5


@given(st.integers(100, 999), st.dictionaries(st.just("retry-after"), st.text()), st.binary())
def test_whatever_is_said_is_an_error_that_a_pipe_knows(
    status: int, headers: dict[str, str], body: bytes
) -> None:
    error = error_for("http://h", status, headers, body)
    assert isinstance(error, PipeError)
    if isinstance(error, SlowDown):
        assert 1 <= error.retry_after_s <= SLOWEST_S


async def test_a_server_that_says_nothing_is_given_up(served: Any) -> None:
    sink = served.sink(timeout="200ms")
    await sink.begin(hello())
    served.hook.answers = [(0, {})]
    with anyio.fail_after(LIMIT_S):
        with pytest.raises(Unreachable, match=r"no answer from http://127\.0\.0\.1.* within 0.2 s"):
            await sink.send(batch(1))
        assert (await sink.send(batch(1))).acked == 1
    await sink.end()


async def test_a_server_that_is_not_there(served: Any) -> None:
    sink = served.sink(url="http://127.0.0.1:1/x")
    await sink.begin(hello())
    with pytest.raises(Unreachable, match=r"cannot reach http://127\.0\.0\.1:1: Connection refuse"):
        await sink.send(batch(1))
    await sink.end()
    with pytest.raises(Unreachable, match="not in use"):
        await sink.send(batch(1))


async def test_a_cancelled_send_leaves_a_sink_that_works(served: Any) -> None:
    sink = served.sink()
    await sink.begin(hello())
    served.hook.answers = [(0, {})]
    with anyio.move_on_after(0.2):
        await sink.send(batch(1))
    assert (await sink.send(batch(1))).acked == 1
    assert served.hook.names == ["/n1"]
    await sink.end()


async def test_proxies_of_the_environment_see_nothing(
    served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    sink = served.sink()
    await sink.begin(hello())
    assert (await sink.send(batch(1))).acked == 1
    await sink.end()


# -- TLS


@pytest.fixture
def papers(tmp_path: Path) -> Path:
    """A folder with certificates that sign themselves."""
    for name in ("here", "other"):
        files = ("-keyout", f"{name}.key", "-out", f"{name}.pem")
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
             "-nodes", "-days", "30", *files, "-subj", f"/CN={name}",
             "-addext", "subjectAltName=IP:127.0.0.1"],
            check=True, cwd=tmp_path, capture_output=True, timeout=LIMIT_S,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    return tmp_path


@pytest.mark.skipif(
    shutil.which("openssl") is None, reason="the command openssl makes the certificates: not found"
)
async def test_over_tls_only_whom_it_trusts(serve: Any, papers: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(papers / "here.pem", papers / "here.key")
    served = serve(context)
    for ca in (None, "other.pem"):
        sink = served.sink(ca=ca and papers / ca)
        await sink.begin(hello())
        with pytest.raises(Unreachable, match=r"no trusted connection to https://.*`ca`"):
            await sink.send(batch(1))
        await sink.end()
    assert served.hook.seen == []
    for ca, text in (("here.key", "PEM file"), ("gone.pem", "No such file")):
        sink = served.sink(ca=papers / ca)
        await sink.begin(hello())
        with pytest.raises(Unreachable, match=f"cannot be used:.*{text}"):
            await sink.send(batch(1))
    sink = served.sink(ca=papers / "here.pem")
    await sink.begin(hello())
    assert (await sink.send(batch(1))).acked == 1
    await sink.end()


# -- options


def test_names_do_not_travel_in_the_clear() -> None:
    def made(url: str, **more: Any) -> Any:
        return WebhookSink.Config.model_validate({"url": url, "secret": SECRET, **more})

    for url in ("http://127.0.0.1/", "http://[::1]:8/x", "http://localhost", "https://h/x?y=z"):
        assert made(url)
    for url in ("http://h/", "http://10.0.0.1", "http://127.0.0.1.example.org"):
        with pytest.raises(ValidationError, match="names in the clear"):
            made(url)
        assert made(url, insecure=True)
    with pytest.raises(ValidationError, match="`ca` is for https"):
        made("http://127.0.0.1", ca="/x")


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "ftp://h"}, {"url": "https://u:canary@h"}, {"url": "https://"}, {"url": "h"},
        {"url": "https://h:x"}, {"url": "https://h/ x"}, {"url": "https://h/#x"},
        {"secret": ""}, {"secret": "canary"}, {"secret": None}, {"format": "xml"},
        {"max_body": 10}, {"timeout": 0}, {"odd": 1},
    ],
)  # fmt: skip
def test_options_that_make_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as raised:
        WebhookSink.Config.model_validate({"url": "https://h", "secret": SECRET, **wrong})
    assert "canary" not in str(raised.value)


def test_the_secret_is_told_to_nobody() -> None:
    config = WebhookSink.Config(url="https://h/canary", secret=f" {SECRET}\n")
    assert config.secret.get_secret_value() == SECRET
    for shown in (repr(config), str(config), config.model_dump_json()):
        assert SECRET not in shown
    assert "canary" not in repr(WebhookSink(config))
