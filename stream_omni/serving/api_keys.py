"""API keys: who may ask, and how much of the server each may have. The file holds hashes; the keys only their owners.

A key is 256 random bits, so a plain SHA-256 hides it: slow hashes protect words that people choose, which can be
guessed, and would cost the front door a tenth of a second a turn.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import re
import secrets
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stream_omni.serving.errors import UnauthenticatedError

log = logging.getLogger(__name__)

ENVIRONMENT = "STREAM_OMNI_API_KEYS"  # the file, for the server's processes
HEADER = "authorization"  # "Bearer KEY", as gRPC metadata, HTTP header or request parameter
_PREFIX = "so_"  # by which scanners of published code can find a key
_NAME = re.compile(r"[\w.@-]{1,64}")
_HASH = re.compile(r"[0-9a-f]{64}")


class KeyFileError(ValueError):
    """The file cannot be used. The message is meant for the operator."""


@dataclass(frozen=True)
class Holder:
    """Who asks. ``turns`` at once and ``waiting`` more; None: as many as the server has for all."""

    name: str
    turns: int | None = None
    waiting: int = 0


@dataclass(frozen=True)
class StoredKey:
    """One line of the file. Keys of one name share its quota, so that a new one can take over from an old one."""

    name: str
    sha256: str
    created: str  # ISO 8601, UTC
    turns: int | None = None
    waiting: int = 0

    @property
    def short(self) -> str:
        """Names the key for its operator."""
        return self.sha256[:8]

    @property
    def holder(self) -> Holder:
        return Holder(self.name, self.turns, self.waiting)


def make_key(name: str, turns: int | None, waiting: int) -> tuple[str, StoredKey]:
    """A new key, which is not kept anywhere, and what the file holds of it. Raises KeyFileError."""
    key = _PREFIX + secrets.token_urlsafe(32)
    stored = StoredKey(name, _hash(key), datetime.now(UTC).isoformat(timespec="seconds"), turns, waiting)
    _check(stored)
    return key, stored


def read_keys(path: Path) -> tuple[StoredKey, ...]:
    """Raises KeyFileError."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        keys = tuple(StoredKey(**entry) for entry in content["keys"])
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise KeyFileError(f"{path} is no file of keys ({error}); make one with: stream-omni keys make") from error
    for key in keys:
        _check(key)
    quotas: dict[str, Holder] = {}
    for key in keys:
        if quotas.setdefault(key.name, key.holder) != key.holder:
            raise KeyFileError(f"{path}: the keys of {key.name} differ in turns or waiting, which they share")
    return keys


def write_keys(path: Path, keys: Sequence[StoredKey]) -> None:
    """At once or not at all: a server that reads meanwhile finds the old file or the new one."""
    content = json.dumps({"keys": [asdict(key) for key in keys]}, indent=1) + "\n"
    number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # readable for its owner only
    with os.fdopen(number, "w", encoding="utf-8") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    if path.exists():
        Path(name).chmod(path.stat().st_mode & 0o777)
    Path(name).replace(path)


class ApiKeys:
    """The keys of ``path`` as they are now: the file is read again when it has changed. One that cannot be read lets
    nobody in, or deleting it would revoke nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._version: tuple[int, ...] | None = ()  # none that a file can have
        self._keys: tuple[StoredKey, ...] = ()

    def holder(self, parameters: Mapping[str, Any]) -> Holder:
        """Whose key is in a request's ``parameters``. Raises UnauthenticatedError."""
        self._refresh()
        sent = [str(value) for name, value in parameters.items() if name.lower() == HEADER]
        if not sent:
            raise UnauthenticatedError("this server wants an API key; send the header authorization: Bearer KEY")
        found = None
        for value in sent:
            scheme, _, key = value.partition(" ")
            digest = _hash(key.strip())
            for stored in self._keys:  # all of them, so that the time tells nothing
                if hmac.compare_digest(stored.sha256, digest) and scheme.lower() == "bearer":
                    found = stored.holder
        if found is None:
            raise UnauthenticatedError("the API key is not known to this server; check it, or ask for another one")
        return found

    def _refresh(self) -> None:
        try:
            status = self._path.stat()
            version: tuple[int, ...] | None = (status.st_mtime_ns, status.st_size, status.st_ino)
        except OSError:
            version = None
        if version is not None and version == self._version:
            return
        try:
            self._keys = read_keys(self._path)
        except KeyFileError as error:
            if self._keys or version != self._version:
                log.error("no key is accepted: %s", error)
            self._keys = ()
        self._version = version


def _check(key: StoredKey) -> None:
    if not (isinstance(key.name, str) and _NAME.fullmatch(key.name)):
        raise KeyFileError(f"{key.name!r} is no name: take 1 to 64 letters, digits or any of . _ @ -")
    if not (isinstance(key.sha256, str) and _HASH.fullmatch(key.sha256)):
        raise KeyFileError(f"the key of {key.name} has no SHA-256 of 64 hexadecimal digits")
    if key.turns is not None and not (isinstance(key.turns, int) and key.turns >= 1):
        raise KeyFileError(f"turns of {key.name} is {key.turns!r}; it can be a whole number from 1, or left away")
    if not (isinstance(key.waiting, int) and key.waiting >= 0):
        raise KeyFileError(f"waiting of {key.name} is {key.waiting!r}; it can be a whole number from 0")
    if key.waiting and key.turns is None:
        raise KeyFileError(f"waiting of {key.name} needs turns as well: without a quota nothing waits for one")


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
