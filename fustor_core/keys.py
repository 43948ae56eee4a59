"""Keys: how one is written, what it may do and until when, and the table of them.

A key is `fst_<id>_<secret>`. The secret is 256 random bits and stands nowhere: a table holds
HMAC-SHA-256 of the whole key under a pepper that is kept apart. That is enough for a secret which
nobody can guess; a slow hash is for passwords.

All functions give a new table and leave the old one as it is. Time is wall time in µs since 1970:
an end is a date that people write, and it holds while nothing runs.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from fustor_core.contracts import RIGHTS, Access, Right
from fustor_core.errors import NoSuchKey, QueryError, Unauthorized

PREFIX = "fst"
ID_PATTERN = r"[a-z0-9]{1,32}"
SECRET_PATTERN = r"[A-Za-z0-9_-]{16,128}"
GLOB_PATTERN = r"[a-z0-9_*?\[\]!-]{1,64}"
MOST_KEYS = 10_000
MOST_GLOBS = 100
MOST_TEXT = 256  # characters of a bearer text that are looked at at all
USE_STEP_US = 3_600_000_000  # `last_used` is told to the hour: nobody is watched by it

_KEY = re.compile(rf"{PREFIX}_({ID_PATTERN})_({SECRET_PATTERN})")
_NO_DIGEST = "0" * 64


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of a key; never its secret.

    Args:
        id: the part of the key that names it.
        digest: see `digest_of`.
        rights, views, pipes: as in `Access`.
        created_us, expires_us, revoked_us: it is good from the first to the earlier of the others;
            None = never. `revoked_us` may lie ahead: a rotated key lives on for an overlap.
        last_used_us: to the hour; None = never yet.
        stored: False = it lives and dies with this process.
    """

    id: str
    digest: str = field(repr=False)
    rights: frozenset[Right]
    views: tuple[str, ...] = ("*",)
    pipes: tuple[str, ...] = ("*",)
    created_us: int = 0
    expires_us: int | None = None
    revoked_us: int | None = None
    last_used_us: int | None = None
    stored: bool = True

    @property
    def ends_us(self) -> int | None:
        """When it is good no longer; None = it stays good."""
        ends = [end for end in (self.expires_us, self.revoked_us) if end is not None]
        return min(ends, default=None)

    def good(self, now_us: int) -> bool:
        """Whether it opens anything now."""
        ends_us = self.ends_us
        return ends_us is None or now_us < ends_us

    @property
    def access(self) -> Access:
        """What it may do while it is good."""
        return Access(self.id, self.rights, self.views, self.pipes)


Table = Mapping[str, Key]


def written(key_id: str, secret: str) -> str:
    """The key as its owner gets it, once."""
    return f"{PREFIX}_{key_id}_{secret}"


def id_of(text: str) -> str | None:
    """The id in a key's text; None when the text is no key."""
    found = _KEY.fullmatch(text) if len(text) <= MOST_TEXT else None
    return found[1] if found else None


def digest_of(pepper: bytes, text: str) -> str:
    """What is kept of a key, in hex: its HMAC-SHA-256 under the pepper."""
    return hmac.new(pepper, text.encode(), "sha256").hexdigest()


def checked(table: Table, pepper: bytes, text: str, now_us: int) -> Key:
    """The key that a bearer text is.

    Known and unknown ids cost the same, and one answer stands for all that is wrong.

    Raises:
        Unauthorized: it is none, not known, expired or revoked.
    """
    key_id = id_of(text)
    key = table.get(key_id or "")
    digest = digest_of(pepper, text if key_id else "")  # what is no key may be long, or no text
    same = hmac.compare_digest(digest, key.digest if key else _NO_DIGEST)
    if key is None or not same or not key.good(now_us):
        raise Unauthorized(
            "the key is not known here, or it has expired or was revoked",
            remedy="make one with `fustor key create` where the server runs",
        )
    return key


def asked(
    rights: Iterable[str], views: Iterable[str] = ("*",), pipes: Iterable[str] = ("*",)
) -> Access:
    """The rights that somebody asks for a new key.

    Raises:
        QueryError: a scope that there is not, none at all, or a glob that no id can match.
    """
    wanted = frozenset(rights)
    for right in sorted(wanted - RIGHTS):
        known = ", ".join(sorted(RIGHTS))
        raise QueryError(f"no scope {right!r}", remedy=f"scopes: {known}")
    if not wanted:
        raise QueryError("a key without a scope opens nothing", remedy="name one: --scope read")
    access = Access("", frozenset(r for r in RIGHTS if r in wanted), tuple(views), tuple(pipes))
    for kind, globs in (("view", access.views), ("pipe", access.pipes)):
        if not 0 < len(globs) <= MOST_GLOBS:
            raise QueryError(f"a key has 1 to {MOST_GLOBS} {kind} globs, not {len(globs)}")
        for glob in globs:
            if not re.fullmatch(GLOB_PATTERN, glob):
                raise QueryError(
                    f"no {kind} is named like {glob!r}",
                    remedy="a glob has small letters, digits, - _ and * ? [ ], 64 at most",
                )
    return access


def created(table: Table, key: Key, now_us: int) -> dict[str, Key]:
    """The table with one more key.

    Where it is full, the key that has been over for longest is forgotten.

    Raises:
        QueryError: it is full of keys that are good. ValueError: the id is in use.
    """
    if key.id in table:
        raise ValueError(f"key id {key.id} is in use")
    new = dict(table)
    if len(new) >= MOST_KEYS:
        over = [one for one in new.values() if not one.good(now_us)]
        if not over:
            raise QueryError(
                f"there are {len(new)} good keys, as many as there may be",
                remedy="revoke those that nobody uses: fustor key list, fustor key revoke ID",
            )
        del new[min(over, key=lambda one: one.ends_us or 0).id]
    new[key.id] = key
    return new


def revoked(table: Table, key_id: str, now_us: int) -> dict[str, Key]:
    """The table with a key that is no longer good; one that is over stays as it is.

    Raises:
        NoSuchKey: there is none of that id.
    """
    key = found(table, key_id)
    return {**table, key_id: _ending(key, now_us)}


def rotated(table: Table, key_id: str, new: Key, now_us: int, overlap_us: int) -> dict[str, Key]:
    """The table with a key that takes another's place.

    Args:
        new: its id and digest count; it gets the rights of the old one, and its end if it has one.
        overlap_us: for how long the old one goes on.

    Raises:
        NoSuchKey: there is none of that id. QueryError: it is over already, or was rotated.
    """
    old = found(table, key_id)
    if not old.good(now_us) or old.revoked_us is not None:
        raise QueryError(
            f"key {key_id} has expired, was revoked or was rotated already",
            remedy="make a new one: fustor key create",
        )
    heir = replace(
        old, id=new.id, digest=new.digest, created_us=now_us, last_used_us=None, stored=new.stored
    )
    return created({**table, key_id: _ending(old, now_us + overlap_us)}, heir, now_us)


def used(table: Table, key_id: str, now_us: int) -> Key | None:
    """The key with its use noted; None when there is nothing new to note."""
    key = table.get(key_id)
    hour_us = now_us - now_us % USE_STEP_US
    if key is None or key.last_used_us == hour_us:
        return None
    return replace(key, last_used_us=hour_us)


def ended(table: Table, now_us: int) -> frozenset[str]:
    """The ids of those that are good no longer."""
    return frozenset(key.id for key in table.values() if not key.good(now_us))


def next_end_us(table: Table, now_us: int) -> int | None:
    """When the next of those that are good will end."""
    ends = (key.ends_us for key in table.values())
    return min((end for end in ends if end is not None and end > now_us), default=None)


def found(table: Table, key_id: str) -> Key:
    """The key of that id.

    Raises:
        NoSuchKey: there is none.
    """
    key = table.get(key_id)
    if key is None:
        raise NoSuchKey(f"no key {key_id!r}", remedy="all keys: fustor key list")
    return key


def _ending(key: Key, end_us: int) -> Key:
    """The key with an end, unless it has an earlier one."""
    if key.revoked_us is not None and key.revoked_us <= end_us:
        return key
    return replace(key, revoked_us=end_us)
