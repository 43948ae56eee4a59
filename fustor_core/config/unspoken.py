"""What of a configuration is not said aloud: which keys hold secrets, and lines without them."""

from __future__ import annotations

import re

_WORDS = r"(?:key|password|passwd|secret|token|credential|passphrase)"
SECRET_KEY = re.compile(rf"(^|_)({_WORDS}|credentials)$", re.IGNORECASE)
SECRETS_KEY = re.compile(rf"(^|_){_WORDS}s$", re.IGNORECASE)
"""Names what maps ids to secrets."""
URL_SECRET = re.compile(r"(?<=://)([^/@\s:]*):([^/@\s]*)@")
QUERY_SECRET = re.compile(
    rf"([?&](?:[\w.-]*[_-])?(?:{_WORDS}|sig|signature|auth)=)([^&#\s\"'}}\],]+)", re.IGNORECASE
)
_GIVEN = re.compile(
    rf"((?<![a-z])(?:[\w-]*[_-])?{_WORDS}s?[\"']?\s*[:=]\s*)"
    r"(\$\{[^}]*\}|\{[^}]*\}?|\[[^\]]*\]?|\"[^\"]*\"?|'[^']*'?|[^\s,}\]#]+)",
    re.IGNORECASE,
)
_REFERENCE = re.compile(
    r"[\"']?(\$\{(?:file:)?[^}:]*\}|env:.*|file:.*|/.*|null|~)[\"']?", re.DOTALL
)
_LETTERS = re.compile(r"[^\s,:{}\[\]\"']")


def urls_masked(text: str, mask: str) -> str:
    """A text without the passwords and tokens in its URLs."""
    return QUERY_SECRET.sub(rf"\g<1>{mask}", URL_SECRET.sub(rf"\1:{mask}@", text))


def in_urls(text: str) -> list[str]:
    """The passwords and tokens in the URLs of a text."""
    found = [hit[2] for hit in URL_SECRET.finditer(text)]
    return found + [hit[2] for hit in QUERY_SECRET.finditer(text)]


def line_masked(line: str) -> str:
    """A line of a file as it may stand in an error: as long as before, secrets as stars."""
    line = URL_SECRET.sub(lambda hit: f"{hit[1]}:{_stars(hit[2])}@", line)
    line = QUERY_SECRET.sub(lambda hit: hit[1] + _stars(hit[2]), line)
    return _GIVEN.sub(_hidden, line)


def _hidden(hit: re.Match[str]) -> str:
    return hit[0] if _REFERENCE.fullmatch(hit[2]) else hit[1] + _stars(hit[2])


def _stars(text: str) -> str:
    return _LETTERS.sub("*", text)
