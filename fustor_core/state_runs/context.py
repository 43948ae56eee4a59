"""What may be told of the surroundings of a run: no secret. Pure.

Two nets: values of the environment are shown by an allow-list only, and every text that is kept is
searched for the secrets that are known, wherever it came from.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from fustor_core.config.unspoken import urls_masked

MASK = "***"
ALLOWED = frozenset(
    """DEBUG FUSTOR_HOME FUSTOR_VIEW FUSTOR_CONFIG FUSTOR_LOG_LEVEL FUSTOR_LOG_FORMAT FUSTOR_SERVER
    LANG LC_ALL TZ PYTHONPATH VIRTUAL_ENV NO_COLOR FORCE_COLOR CI""".split()
)
"""Variables whose values are kept, beside those that the configuration names."""
SECRET_NAME = re.compile(
    r"(^|_)(key|password|passwd|pwd|secret|token|credentials?|passphrase|auth)(_|$)", re.IGNORECASE
)
PLACE_NAME = re.compile(r"^(OLD)?PWD$|_(file|path|dir|sock)$", re.IGNORECASE)
"""Named like a secret, but a place: where a shell stands, where a key lies."""
LEAST_SECRET = 6
"""What is shorter is no secret, and would be found in every second word."""
HASH_DIGITS = 16


def config_hash(values: Mapping[str, Any]) -> str:
    """What tells whether two runs had the same configuration.

    Args:
        values: dotted key → value, with secrets masked: nobody can try secrets out on the hash.
    """
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:HASH_DIGITS]


def shown_environment(environ: Mapping[str, str], more: Iterable[str] = ()) -> dict[str, str]:
    """The environment as it is kept: values of an allow-list, the others masked.

    Args:
        more: names that the configuration allows beside `ALLOWED`.
    """
    allowed = ALLOWED | set(more)
    return {name: environ[name] if name in allowed else MASK for name in sorted(environ)}


def secrets_of(environ: Mapping[str, str], more: Iterable[str] = ()) -> frozenset[str]:
    """The values of variables that are named like secrets, unless they are allowed."""
    allowed = ALLOWED | set(more)
    return frozenset(
        value
        for name, value in environ.items()
        if name not in allowed
        and SECRET_NAME.search(name)
        and not PLACE_NAME.search(name)
        and len(value) >= LEAST_SECRET
    )


class Scrubber:
    """Takes the secrets that are known out of what is kept.

    Args:
        secrets: their values; those shorter than `LEAST_SECRET` do not count.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        found = {form for one in secrets if len(one) >= LEAST_SECRET for form in _forms(one)}
        # The longest first: one may be a part of another.
        parts = [re.escape(form) for form in sorted(found, key=len, reverse=True)]
        self._pattern = re.compile("|".join(parts)) if parts else None

    def __repr__(self) -> str:
        return f"<Scrubber {'with' if self._pattern else 'without'} secrets>"

    def text(self, text: str) -> str:
        """A text without them, and without the passwords of URLs."""
        text = text.encode("utf-8", "backslashreplace").decode()  # bytes of a name that are no text
        text = urls_masked(text, MASK)
        return self._pattern.sub(MASK, text) if self._pattern is not None else text

    def clean(self, value: Any) -> Any:
        """The same of everything inside a value, names of keys too."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, bytes):
            return self.text(value.decode("utf-8", "backslashreplace"))
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.clean(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [self.clean(one) for one in value]
        return value if value is None or isinstance(value, int | float) else self.text(str(value))


def _forms(secret: str) -> Iterable[str]:
    """A secret as it may stand in a text: as it is, in a URL, in JSON, in base64."""
    yield secret
    yield "".join(_quoted(byte) for byte in secret.encode("utf-8", "surrogateescape"))
    yield json.dumps(secret)[1:-1]
    yield base64.b64encode(secret.encode("utf-8", "surrogateescape")).decode()


def _quoted(byte: int) -> str:
    """A byte as URLs have it."""
    letter = chr(byte)
    plain = letter.isascii() and (letter.isalnum() or letter in "-._~")
    return letter if plain else f"%{byte:02X}"
