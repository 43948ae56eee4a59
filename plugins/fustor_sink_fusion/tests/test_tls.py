"""Over TLS, with certificates as people make them: only whom it should trust gets the key."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fustor_core.claims import PROTOCOL, Batch
from fustor_core.contracts import Pulse
from fustor_core.errors import Unreachable
from fustor_core.testing.promises import cell, hello

pytestmark = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="the command openssl makes the certificates: not found"
)
LIMIT_S = 20.0
CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30")


class Papers:
    """A folder with certificates that sign themselves."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __getitem__(self, name: str) -> Path:
        return self.folder / name

    def make(self, name: str, *names: str) -> None:
        """`name`.pem and `name`.key, for these names; and both in `name`.both."""
        extra = ("-addext", f"subjectAltName={','.join(names)}") if names else ()
        files = ("-keyout", f"{name}.key", "-out", f"{name}.pem")
        subprocess.run(
            ["openssl", "req", "-x509", *CURVE, *files, "-subj", f"/CN={name}", *extra],
            check=True,
            cwd=self.folder,
            capture_output=True,
            timeout=LIMIT_S,
            stdin=subprocess.DEVNULL,
        )
        self[f"{name}.both"].write_bytes(
            self[f"{name}.key"].read_bytes() + self[f"{name}.pem"].read_bytes()
        )

    def server(self, name: str, **more: Any) -> dict[str, Any]:
        """Options of a receiver."""
        pair = {"cert": str(self[f"{name}.pem"]), "key": str(self[f"{name}.key"])}
        return {"tls": {**pair, **more}}


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    made = Papers(tmp_path_factory.mktemp("papers"))
    made.make("here", "IP:127.0.0.1", "DNS:localhost")
    made.make("elsewhere", "DNS:elsewhere.example")
    made.make("agent")
    return made


async def test_a_session_over_tls(serve: Any, papers: Papers) -> None:
    async with serve(**papers.server("here")) as served:
        sink = served.sink(served.tcp, ca=papers["here.pem"], compress="always")
        await sink.open(hello())
        assert (await sink.send(Batch(PROTOCOL, 1, 0, [cell()]))).acked == 1
        await sink.beat(Pulse(state=2))
        await sink.close()
        assert served.door.callers[0].access.key_id == "kit"


@pytest.mark.parametrize(
    ("server", "ca"), [("here", None), ("here", "agent"), ("elsewhere", "elsewhere")]
)
async def test_whom_nobody_vouches_for_gets_nothing(
    serve: Any, papers: Papers, server: str, ca: str | None
) -> None:
    async with serve(**papers.server(server)) as served:
        sink = served.sink(served.tcp, ca=ca and papers[f"{ca}.pem"])
        with pytest.raises(Unreachable, match=r"no trusted connection to https://.*`ca`"):
            await sink.open(hello())
        await sink.close()
        assert served.door.callers == []


async def test_a_certificate_of_our_own_is_shown(serve: Any, papers: Papers) -> None:
    options = papers.server("here", client_ca=str(papers["agent.pem"]))
    async with serve(**options) as served:
        ca = papers["here.pem"]
        sink = served.sink(served.tcp, ca=ca, cert=papers["agent.both"])
        await sink.open(hello())
        await sink.close()
        for cert in (None, papers["elsewhere.both"]):
            sink = served.sink(served.tcp, ca=ca, cert=cert)
            with pytest.raises(Unreachable, match="https://"):
                await sink.open(hello())
            await sink.close()


async def test_a_certificate_without_its_key_is_said(serve: Any, papers: Papers) -> None:
    async with serve(**papers.server("here")) as served:
        sink = served.sink(served.tcp, ca=papers["here.pem"], cert=papers["agent.pem"])
        with pytest.raises(Unreachable, match=r"agent\.pem cannot be used.*`cert` names a PEM"):
            await sink.open(hello())


async def test_new_certificates_are_taken_without_a_restart(
    serve: Any, papers: Papers, tmp_path: Path
) -> None:
    trusted = tmp_path / "ca.pem"
    trusted.write_bytes(papers["agent.pem"].read_bytes())
    async with serve(**papers.server("here")) as served:
        sink = served.sink(served.tcp, ca=trusted)
        with pytest.raises(Unreachable):
            await sink.open(hello())
        trusted.write_bytes(papers["here.pem"].read_bytes())
        await sink.open(hello())
        await sink.close()
