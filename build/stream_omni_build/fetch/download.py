"""One file from a hub to the disk: goes on where it broke off, and is there only when it is whole and right.

The hubs' own libraries begin a file again when they are interrupted (huggingface_hub since its partial files carry the
process's name): for shards of 5 GB that is an hour lost on a slow line.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stream_omni_build.fetch.connection import Connection, FetchError, InterruptedTransferError
from stream_omni_build.fetch.hubs import RemoteFile

_BLOCK_BYTES = 1 << 20


def partial_path(file: RemoteFile, folder: Path) -> Path:
    """Where a download that is not complete lies. The name has the digest, so that parts of two versions do not mix."""
    target = folder / file.path
    return target.with_name(f"{target.name}.{file.digest.partition(':')[2][:12]}.partial")


def download(file: RemoteFile, folder: Path, connection: Connection, count: Callable[[int], None]) -> str:
    """Write ``folder``/path; returns its SHA-256. ``count`` hears of bytes that came.

    Raises FetchError where it cannot be had, or is not what the hub's list says; OSError where the disk fails.
    """
    partial = partial_path(file, folder)
    partial.parent.mkdir(parents=True, exist_ok=True)
    for stale in partial.parent.glob(f"{Path(file.path).name}.*.partial"):
        if stale != partial:
            stale.unlink()
    with partial.open("ab") as out:
        connection.persist(lambda: _transfer(file, connection, out, count), out.tell)
    digests = Digests(file)
    digests.read(partial)
    if not digests.right:
        partial.unlink()
        raise FetchError(
            f"{file.path} came with another content than {connection.host} lists (its digest differs): it was removed; "
            "run the same command again, and if that fails too, the hub or a proxy damages it"
        )
    partial.replace(folder / file.path)
    return digests.sha256


def _transfer(file: RemoteFile, connection: Connection, out: Any, count: Callable[[int], None]) -> None:
    """Append what is missing. Raises InterruptedTransferError where less comes."""
    have = out.tell()
    if have < file.size or not file.size:
        with connection.open(f"{connection.endpoint}{file.url}", have) as answer:
            if have and answer.status != 206:  # the host began at the beginning
                have = _empty(out)
            while block := answer.read(_BLOCK_BYTES):
                out.write(block)
                have += len(block)
                count(len(block))
                if have > file.size:
                    break
        out.flush()
    if have < file.size:
        raise InterruptedTransferError(f"it ended {file.path} after {have} of {file.size} bytes")
    if have > file.size:
        _empty(out)
        raise FetchError(f"{file.path} is longer at {connection.host} than the {file.size} bytes that it lists")


def _empty(out: Any) -> int:
    out.seek(0)
    out.truncate()
    return 0


class Digests:
    """Of a file's content, in one pass: its SHA-256, and what the hub's list gives."""

    def __init__(self, file: RemoteFile) -> None:
        self._kind, _, self._wanted = file.digest.partition(":")
        self._sha256 = hashlib.sha256()
        self._git = hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)

    def read(self, path: Path) -> None:
        with path.open("rb") as content:
            while block := content.read(_BLOCK_BYTES):
                self._sha256.update(block)
                if self._kind == "git":
                    self._git.update(block)

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()

    @property
    def right(self) -> bool:
        """True also where the list has no digest: then the size must do."""
        return self._wanted in ("", (self._git if self._kind == "git" else self._sha256).hexdigest())
