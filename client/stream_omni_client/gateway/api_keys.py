"""Who may ask: the file of keys that ``stream-omni keys`` writes, only read here. It holds hashes of them."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from dataclasses import dataclass
from pathlib import Path

from stream_omni_client.gateway.log import log_event

_NAME = re.compile(r"[\w.@-]{1,64}")
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Holder:
    """Who asks. ``turns`` at once and ``waiting`` more; None: as many as the gateway has for all."""

    name: str
    turns: int | None = None
    waiting: int = 0


EVERYBODY = Holder("")


class KeyFileError(ValueError):
    """The file cannot be used. The message is meant for the operator."""


def read_keys(path: Path) -> dict[str, Holder]:
    """Holders by the SHA-256 of their keys. Raises KeyFileError."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["keys"]
        keys = {
            entry["sha256"]: Holder(entry["name"], entry.get("turns"), entry.get("waiting", 0)) for entry in entries
        }
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from error
    except (AttributeError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise KeyFileError(f"{path} is no file of keys ({error}); make one with: stream-omni keys make") from error
    quotas: dict[str, Holder] = {}
    for digest, holder in keys.items():
        _check(path, digest, holder)
        if quotas.setdefault(holder.name, holder) != holder:
            raise KeyFileError(f"{path}: the keys of {holder.name} differ in turns or waiting, which they share")
    return keys


def _check(path: Path, digest: object, holder: Holder) -> None:
    name, turns, waiting = holder.name, holder.turns, holder.waiting
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise KeyFileError(f"{path}: {name!r} is no name")
    if not (isinstance(digest, str) and _HASH.fullmatch(digest)):
        raise KeyFileError(f"{path}: the key of {name} has no SHA-256 of 64 hexadecimal digits")
    if turns is not None and not (isinstance(turns, int) and turns >= 1):
        raise KeyFileError(f"{path}: turns of {name} is {turns!r}; it can be a whole number from 1, or left away")
    if not (isinstance(waiting, int) and waiting >= 0) or (waiting and turns is None):
        raise KeyFileError(f"{path}: waiting of {name} is {waiting!r}; it can be a whole number from 0, beside turns")


class ApiKeys:
    """The keys of ``path`` as they are now: the file is read again when it has changed. One that cannot be read lets
    nobody in, or deleting it would revoke nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._version: tuple[int, ...] | None = ()  # none that a file can have
        self._keys: dict[str, Holder] = {}

    def holder(self, key: str) -> Holder | None:
        """None: the key is not known."""
        self._refresh()
        digest, found = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest(), None
        for stored, holder in self._keys.items():  # all of them, so that the time tells nothing
            if hmac.compare_digest(stored, digest):
                found = holder
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
                log_event("keys", "error", message=f"no key is accepted: {error}")
            self._keys = {}
        self._version = version
