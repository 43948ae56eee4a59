"""TLS on TCP, with certificates as people make them."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from anyio.streams.tls import TLSAttribute
from fustor_receiver_http import HttpReceiver
from fustor_receiver_http.tls import Tls, server_context

from fustor_core.client import Client
from fustor_core.contracts import Hello
from fustor_core.errors import ConfigError, QueryError, Unreachable
from fustor_core.wire import write_hello

pytestmark = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="the command openssl makes the certificates: not found"
)
KEY = "fst_test_a-secret-of-the-tests"
BEARER = {"Authorization": f"Bearer {KEY}"}
LIMIT_S = 20.0
CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass
class Papers:
    """A folder with a CA and what it has signed: `server` and `client`, each .pem and .key."""

    folder: Path

    def file(self, name: str) -> str:
        return str(self.folder / name)

    def run(self, *arguments: str) -> None:
        done = subprocess.run(
            ["openssl", *arguments],
            check=False,
            cwd=self.folder,
            capture_output=True,
            timeout=LIMIT_S,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, done.stderr.decode()

    def authority(self, name: str) -> None:
        subject = ("-subj", f"/CN={name}", "-days", "30")
        self.run("req", "-x509", *CURVE, "-keyout", f"{name}.key", "-out", f"{name}.pem", *subject)

    def signed(self, name: str, by: str, common: str = "x") -> None:
        subject = ("-subj", f"/CN={common}")
        self.run("req", *CURVE, "-keyout", f"{name}.key", "-out", "asked.csr", *subject)
        (self.folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        authority = ("-CA", f"{by}.pem", "-CAkey", f"{by}.key", "-CAcreateserial")
        out = ("-out", f"{name}.pem", "-days", "30", "-extfile", "names")
        self.run("x509", "-req", "-in", "asked.csr", *authority, *out)

    def server(self, **more: str) -> dict[str, str]:
        return {"cert": self.file("server.pem"), "key": self.file("server.key"), **more}


@pytest.fixture(scope="session")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    made = Papers(tmp_path_factory.mktemp("papers"))
    for name in ("ca", "stranger"):
        made.authority(name)
    made.signed("server", "ca")
    made.signed("client", "ca")
    made.signed("agent", "ca", "agent-1")
    made.signed("foreigner", "stranger")
    made.run("ec", "-in", "server.key", "-aes256", "-passout", "pass:x", "-out", "locked.key")
    return made


def trusting(papers: Papers, own: str = "") -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=papers.file("ca.pem"))
    if own:
        context.load_cert_chain(papers.file(f"{own}.pem"), papers.file(f"{own}.key"))
    return context


def address(served: Any) -> str:
    (found,) = (a for a in served.receiver.addresses if not a.startswith("unix:"))
    return str(found)


async def test_tcp_is_tls_and_the_socket_is_not(serve: Any, papers: Papers) -> None:
    async with serve(tcp=True, tls=papers.server()) as served:
        url = address(served)
        assert url.startswith("https://127.0.0.1:")
        async with httpx.AsyncClient(base_url=url, verify=trusting(papers)) as client:
            assert (await client.get("/api/v1/views", headers=BEARER)).status_code == 200
            assert (await client.get("/api/v1/views")).status_code == 401
            foreign = {**BEARER, "Host": "evil.example"}
            assert (await client.get("/api/v1/views", headers=foreign)).status_code == 421
        assert (await served.unix.get("/api/v1/views")).status_code == 200


async def test_plain_http_is_not_answered_there(serve: Any, papers: Papers) -> None:
    async with serve(tcp=True, tls=papers.server()) as served:
        plain = address(served).replace("https:", "http:")
        async with httpx.AsyncClient(base_url=plain, timeout=LIMIT_S) as client:
            with pytest.raises(httpx.TransportError):
                await client.get("/api/v1/views", headers=BEARER)
        assert served.ask.told == []


@pytest.mark.parametrize(("own", "passes"), [("client", True), ("", False), ("foreigner", False)])
async def test_a_client_s_certificate_may_be_needed_beside_the_key(
    serve: Any, papers: Papers, own: str, passes: bool
) -> None:
    tls = papers.server(client_ca=papers.file("ca.pem"))
    async with serve(tcp=True, tls=tls) as served:
        context = trusting(papers, own)
        async with httpx.AsyncClient(base_url=address(served), verify=context) as client:
            if passes:
                assert (await client.get("/api/v1/views", headers=BEARER)).status_code == 200
                assert (await client.get("/api/v1/views")).status_code == 401
            else:
                with pytest.raises(httpx.TransportError):
                    await client.get("/api/v1/views", headers=BEARER)


@pytest.mark.parametrize(
    ("own", "agent_id", "bound", "status"),
    [
        ("agent", "agent-1", True, 201),
        ("agent", "agent-2", True, 403),
        ("agent", "localhost", True, 201),
        ("client", "agent-1", True, 403),
        ("client", "agent-1", False, 201),
    ],
)
async def test_key_and_certificate_may_have_to_name_the_same_agent(
    serve: Any, papers: Papers, own: str, agent_id: str, bound: bool, status: int
) -> None:
    tls = papers.server(client_ca=papers.file("ca.pem"))
    hello = Hello(agent_id, "p", "v", {"driver": "fs"}, {"boot": "b"}, {"realtime": True})
    async with serve(tcp=True, tls={**tls, "client_names": bound}) as served:
        context = trusting(papers, own)
        async with httpx.AsyncClient(base_url=address(served), verify=context) as client:
            headers = {**BEARER, "Content-Type": "application/json"}
            body = write_hello(hello)
            reply = await client.post("/api/v1/pipe/sessions/", content=body, headers=headers)
        assert reply.status_code == status, reply.text
        body = write_hello(hello)
        reply = await served.unix.post(
            "/api/v1/pipe/sessions/", content=body, headers={"Content-Type": "application/json"}
        )
        assert reply.status_code == 201, "the socket shows no certificate"


async def test_the_command_line_s_client_trusts_the_ca_that_it_is_given(
    serve: Any, papers: Papers, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve(tcp=True, tls=papers.server()) as served:
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)
        stranger = Client(address(served), key=KEY)
        with pytest.raises(Unreachable, match="is not trusted") as caught:
            await anyio.to_thread.run_sync(stranger.get, "/views")
        assert "SSL_CERT_FILE" in caught.value.remedy
        monkeypatch.setenv("SSL_CERT_FILE", papers.file("ca.pem"))
        client = Client(address(served), key=KEY)
        found = await anyio.to_thread.run_sync(client.get, "/views")
        client.close()
        assert found == {"views": served.ask.views()}


async def test_the_command_line_s_client_shows_a_certificate(
    serve: Any, papers: Papers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = tmp_path / "own.pem"
    both = [Path(papers.file(name)).read_text() for name in ("client.pem", "client.key")]
    own.write_text("".join(both))
    monkeypatch.setenv("SSL_CERT_FILE", papers.file("ca.pem"))
    async with serve(tcp=True, tls=papers.server(client_ca=papers.file("ca.pem"))) as served:
        for cert, words in ((None, "--cert of yours"), (Path(papers.file("client.key")), "PEM")):
            client = Client(address(served), key=KEY, cert=cert)
            with pytest.raises((Unreachable, QueryError)) as caught:
                await anyio.to_thread.run_sync(client.get, "/views")
            assert words in caught.value.remedy
        client = Client(address(served), key=KEY, cert=own)
        found = await anyio.to_thread.run_sync(client.get, "/views")
        client.close()
        assert found == {"views": served.ask.views()}


async def serial(url: str, context: ssl.SSLContext) -> int:
    """Of the certificate that a new connection is shown."""
    host, _, port = url.removeprefix("https://").partition(":")
    with anyio.fail_after(LIMIT_S):
        stream = await anyio.connect_tcp(host, int(port), ssl_context=context, tls_hostname=host)
        async with stream:
            shown = stream.extra(TLSAttribute.peer_certificate)
            return int(str(shown["serialNumber"]), 16)


async def test_renewed_certificates_are_taken_at_a_reload(
    serve: Any, papers: Papers, tmp_path: Path
) -> None:
    mine = Papers(tmp_path)
    for name in ("ca.pem", "ca.key", "stranger.pem", "server.pem", "server.key"):
        shutil.copy(papers.file(name), mine.file(name))
    shutil.copy(papers.file("ca.pem"), mine.file("clients.pem"))
    tls = mine.server(client_ca=mine.file("clients.pem"))
    async with serve(tcp=True, tls=tls) as served:
        url, context = address(served), trusting(papers, "client")
        first = await serial(url, context)
        async with httpx.AsyncClient(base_url=url, verify=context) as before:
            assert (await before.get("/api/v1/views", headers=BEARER)).status_code == 200
            assert not served.receiver.renew(), "they are as they were"
            mine.signed("server", "ca")
            assert served.receiver.renew()
            second = await serial(url, context)
            assert second != first
            assert (await before.get("/api/v1/views", headers=BEARER)).status_code == 200
            Path(mine.file("server.pem")).write_text("broken")
            with pytest.raises(ConfigError, match="cannot be used"):
                served.receiver.renew()
            assert await serial(url, context) == second, "those before go on"
        mine.signed("server", "ca")
        shutil.copy(mine.file("stranger.pem"), mine.file("clients.pem"))
        assert served.receiver.renew()
        for own, passes in (("client", False), ("foreigner", True)):
            async with httpx.AsyncClient(base_url=url, verify=trusting(papers, own)) as client:
                if passes:
                    assert (await client.get("/api/v1/views", headers=BEARER)).status_code == 200
                    continue
                with pytest.raises(httpx.TransportError):
                    await client.get("/api/v1/views", headers=BEARER)


async def test_a_server_without_tls_is_told_from_one_with(serve: Any) -> None:
    async with serve(tcp=True) as served:
        client = Client(address(served).replace("http:", "https:"), key=KEY)
        with pytest.raises(Unreachable, match="no TLS with"):
            await anyio.to_thread.run_sync(client.get, "/views")


def test_only_what_is_modern_is_spoken(papers: Papers) -> None:
    context = server_context(Tls.model_validate(papers.server()))
    assert context is not None
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    suites = [suite["name"] for suite in context.get_ciphers()]
    assert suites
    assert all(name.startswith(("TLS_", "ECDHE-")) for name in suites), suites
    assert all("GCM" in name or "CHACHA20" in name for name in suites), suites
    assert context.verify_mode == ssl.CERT_NONE


def test_without_files_there_is_no_tls() -> None:
    assert server_context(Tls()) is None


def test_with_tls_it_may_listen_beyond_loopback(papers: Papers) -> None:
    options = {"listen": ["0.0.0.0:0"], "tls": papers.server()}
    receiver = HttpReceiver(HttpReceiver.Config.model_validate(options))
    receiver.bind()
    assert receiver.addresses[0].startswith("https://0.0.0.0:")


FAULTS: list[tuple[dict[str, str], str, str]] = [
    ({"cert": "server.pem"}, "tls.key", "no `key` is given"),
    ({"key": "server.key"}, "tls.cert", "no `cert` is given"),
    ({"client_ca": "ca.pem"}, "tls.cert", "no `cert` is given"),
    (
        {"cert": "server.pem", "key": "server.key", "client_names": True},
        "tls.client_names",
        "nobody is asked for",
    ),
    ({"cert": "gone.pem", "key": "server.key"}, "tls.cert", "No such file"),
    ({"cert": "server.pem", "key": "gone.key"}, "tls.key", "No such file"),
    ({"cert": ".", "key": "server.key"}, "tls.cert", "Is a directory"),
    ({"cert": "server.key", "key": "server.key"}, "tls.cert", "cannot be used"),
    ({"cert": "server.pem", "key": "client.key"}, "tls.cert", "cannot be used"),
    ({"cert": "server.pem", "key": "locked.key"}, "tls.cert", "cannot be used"),
    ({"cert": "server.pem", "key": "open.key"}, "tls.key", "read by every user"),
    (
        {"cert": "server.pem", "key": "server.key", "client_ca": "names"},
        "tls.client_ca",
        "no certificate",
    ),
]


@pytest.mark.parametrize(("files", "key", "words"), FAULTS)
def test_files_that_cannot_be_used_are_named(
    papers: Papers, files: dict[str, Any], key: str, words: str
) -> None:
    shutil.copy(papers.file("server.key"), papers.file("open.key"))
    Path(papers.file("open.key")).chmod(0o644)
    tls = {
        name: papers.file(file) if isinstance(file, str) else file for name, file in files.items()
    }
    config = HttpReceiver.Config.model_validate({"listen": ["127.0.0.1:0"], "tls": tls})
    receiver = HttpReceiver(config)
    with pytest.raises(ConfigError, match=words) as caught:
        receiver.bind()
    assert caught.value.key == key
    assert caught.value.remedy
    assert receiver.addresses == []


def test_a_relative_path_is_refused() -> None:
    with pytest.raises(ConfigError, match="no absolute path"):
        server_context(Tls.model_validate({"cert": "a.pem", "key": "a.key"}))
