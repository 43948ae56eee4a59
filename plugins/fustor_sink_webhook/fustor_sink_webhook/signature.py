"""What a receiver knows a request by: whose it is, and whether it came before."""

from __future__ import annotations

import hashlib
import hmac
from urllib.parse import quote

from fustor_core.telling import Teller

TIMESTAMP = "Fustor-Timestamp"
SIGNATURE = "Fustor-Signature"
KEY = "Idempotency-Key"


def signature(secret: str, timestamp: int, key: str, body: bytes) -> str:
    """HMAC-SHA-256 over time, key and body, as `v1=` and hexadecimal digits.

    Args:
        timestamp: seconds since 1970.
    """
    message = b".".join((str(timestamp).encode(), key.encode(), body))
    return "v1=" + hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def idempotency_key(teller: Teller, seq: int, body: bytes) -> str:
    """The same for the same bytes of the same batch, and for nothing else.

    A batch may go in several requests, and cut in another way when it is sent again.
    """
    digest = hashlib.blake2b(body, digest_size=8).hexdigest()
    parts = (teller.agent, teller.pipe, teller.start, str(seq), digest)
    return "/".join(quote(part, safe="") for part in parts)
