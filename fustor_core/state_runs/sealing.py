"""Files of a history that nobody can read or change without a key: AES-256-GCM, one file at a time.

Each file is sealed together with the id of its run and its name: one that was changed, cut, or put
in the place of another does not open. Keys have ids, which follow from them: a file says by which
one it was sealed, and a list of keys, the one in use first, is all there is to rotating them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from fustor_core.config.model import is_key_reference
from fustor_core.errors import ConfigError, StateError

ALGORITHM = "A256GCM"
KEY_BYTES = 32
NONCE_BYTES = 12
ENVELOPE = frozenset({"alg", "kid", "nonce", "ct"})
FORMS = "env:NAME or file:PATH"
MAKE = "head -c 32 /dev/urandom | base64 > FILE; chmod 600 FILE"
_FILE_BYTES_MAX = 64 << 10


class Unreadable(StateError):
    """A file of a history that cannot be trusted or read; names it."""


class Locked(Unreadable):
    """A sealed file, and no key was given."""


class Keyring:
    """Keys by their ids; the first one seals.

    Args:
        keys: of 32 bytes each.

    Raises:
        ConfigError: the library for it is not installed.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        try:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError as error:
            raise ConfigError(
                "to encrypt a history, the package cryptography is needed",
                remedy="pip install 'fustor[encryption]'",
            ) from error
        self._ciphers = {key_id(key): AESGCM(key) for key in keys}
        self.first = key_id(keys[0])

    def __repr__(self) -> str:
        return f"<Keyring {' '.join(self._ciphers)}>"

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of the keys, that of the one in use first."""
        return tuple(self._ciphers)

    def seal(self, run: str, name: str, content: bytes) -> bytes:
        """A file as it is written.

        Args:
            run: id of its run. name: of the file.
        """
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._ciphers[self.first].encrypt(nonce, content, bound_to(run, name))
        envelope = {
            "alg": ALGORITHM,
            "kid": self.first,
            "nonce": base64.b64encode(nonce).decode(),
            "ct": base64.b64encode(sealed).decode(),
        }
        return msgspec.json.encode(envelope) + b"\n"

    def open(self, run: str, name: str, envelope: Mapping[str, Any]) -> bytes:
        """What was sealed.

        Raises:
            Unreadable: with another key, for another file or run, or it was changed since.
        """
        from cryptography.exceptions import InvalidTag

        try:
            kid, algorithm = str(envelope["kid"]), envelope["alg"]
            nonce = base64.b64decode(envelope["nonce"], validate=True)
            sealed = base64.b64decode(envelope["ct"], validate=True)
        except (KeyError, TypeError, ValueError, binascii.Error) as error:
            raise Unreadable(f"{name} was changed: it is no sealed file any more") from error
        if algorithm != ALGORITHM:
            raise Unreadable(f"{name} is sealed by {algorithm!r}, which is not known here")
        cipher = self._ciphers.get(kid)
        if cipher is None:
            raise Unreadable(
                f"{name} is sealed with the key {kid}, which was not given",
                remedy=f"give it too: all keys one a line, the one in use first; given:"
                f" {' '.join(self._ciphers)}",
            )
        try:
            return cipher.decrypt(nonce, sealed, bound_to(run, name))
        except (InvalidTag, ValueError) as error:
            raise Unreadable(
                f"{name} was changed, cut, or is of another run or place: it does not open"
            ) from error


def bound_to(run: str, name: str) -> bytes:
    """What a file is sealed together with."""
    return f"fustor state history 1\n{run}\n{name}".encode()


def key_id(key: bytes) -> str:
    """Names a key and says nothing of it: 12 hexadecimal digits."""
    return hashlib.sha256(b"fustor state key id\n" + key).hexdigest()[:12]


def read_keyring(reference: str, environ: Mapping[str, str]) -> tuple[Keyring, frozenset[str]]:
    """The keys behind a reference.

    Args:
        reference: ``env:NAME`` or ``file:PATH``. What stands there is one key a line, the one in
            use first: 32 bytes as base64 or as 64 hexadecimal digits; of a file also the 32 bytes.

    Returns:
        The keys, and the texts that nobody may be told.

    Raises:
        ConfigError: it is no reference, nothing usable stands there, or others can read it.
    """
    kind, _, place = reference.partition(":")
    if not is_key_reference(reference):
        raise ConfigError(
            f"a state encryption key is named, not written out: {FORMS}",
            remedy="a key on a command line shows in ps; keep it in a file that only you can read",
        )
    if kind == "env":
        if not environ.get(place):
            raise ConfigError(f"the environment variable {place} is not set", remedy=MAKE)
        content = environ[place].encode("utf-8", "surrogateescape")
    else:
        content = _read(Path(place).expanduser())
    if kind == "file" and len(content) == KEY_BYTES:
        keys, texts = [content], []
    else:
        texts = content.decode("utf-8", "replace").replace(",", " ").split()
        keys = [_key(text, reference, number) for number, text in enumerate(texts, 1)]
    if not keys:
        raise ConfigError(f"{reference} holds no key", remedy=MAKE)
    secrets = {form for key in keys for form in (key.hex(), base64.b64encode(key).decode())}
    return Keyring(keys), frozenset({*secrets, *texts})


def _key(text: str, reference: str, number: int) -> bytes:
    """One key; what is wrong with it is told without it."""
    try:
        if re.fullmatch(r"[0-9A-Fa-f]{64}", text):
            return bytes.fromhex(text)
        plain = text.replace("-", "+").replace("_", "/")
        key = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != KEY_BYTES:
        raise ConfigError(
            f"{reference}: key {number} is not of {KEY_BYTES} bytes, in base64 or hexadecimal",
            remedy=MAKE,
        )
    return key


def _read(path: Path) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(fd, "rb") as file:
            found = os.fstat(fd)
            if stat.S_ISREG(found.st_mode) and found.st_mode & 0o077:
                raise ConfigError(
                    f"others may read the key file {path} (mode {stat.S_IMODE(found.st_mode):04o})",
                    remedy=f"chmod 600 {path}; if somebody may have read it, put a new key first",
                )
            return file.read(_FILE_BYTES_MAX)
    except OSError as error:
        raise ConfigError(
            f"the key file {path} cannot be read: {error.strerror or error}", remedy=MAKE
        ) from error
