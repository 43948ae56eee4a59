"""What describes the routes is loaded when it is asked for, and not before."""

from __future__ import annotations

import subprocess
import sys

ASK = """
import sys
import anyio, httpx
from fustor_receiver_http.app import build
from fustor_receiver_http.bodies import Limits
from fustor_receiver_http.files import Files
from fustor_receiver_http.guard import Owner
from fustor_receiver_http.live import Live
from fustor_receiver_http.streams import Streams
from fustor_receiver_http.tickets import Tickets
from fustor_core.testing import MemoryDoor
from fustor_core.testing.receiver_kit import NoAnswers

ask = NoAnswers()
streams = Streams(heartbeat_s=1, stall_s=1, ended=ask.ended)
front = build(MemoryDoor(), ask, streams, Limits(), Live(ask, streams), Files(()), Tickets(1))

async def main():
    transport = httpx.ASGITransport(Owner(front))
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        for path in ("/livez", "/api/v1/views/none/ls", "/api/v1/pipes", "/openapi.json"):
            status = (await client.get(path)).status_code
            print(path, status, "fastapi" in sys.modules)

anyio.run(main)
"""


def test_questions_are_answered_without_fastapi() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ASK], check=True, capture_output=True, text=True, timeout=60
    )
    told = [line.split() for line in done.stdout.splitlines()]
    assert [(path, loaded) for path, _, loaded in told] == [
        ("/livez", "False"),
        ("/api/v1/views/none/ls", "False"),
        ("/api/v1/pipes", "False"),
        ("/openapi.json", "True"),
    ]
    assert told[0][1] == "200"
    assert told[-1][1] == "200"
