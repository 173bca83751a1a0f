"""What the two hubs say of a repository: its files, with sizes, digests and addresses.

Both are asked over plain HTTPS, as their own libraries do: Hugging Face's `GET /api/models/NAME/revision/REVISION` and
`.../tree/COMMIT`, ModelScope's `GET /api/v1/models/NAME/repo/files`. HF_ENDPOINT and MODELSCOPE_ENDPOINT name mirrors,
HF_TOKEN and MODELSCOPE_API_TOKEN let in where a repository asks who one is.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from stream_omni_build.fetch.checkpoints import Source
from stream_omni_build.fetch.connection import Connection, FetchError


@dataclass(frozen=True)
class RemoteFile:
    """``digest``: "sha256:..." or, for a small file of Hugging Face, "git:...", as git names contents; with nothing
    behind the colon where the hub tells none. ``url`` begins behind the hub's endpoint."""

    path: str
    size: int
    digest: str
    url: str


@dataclass(frozen=True)
class Listing:
    """The files of a repository at ``revision``, which is a commit where the hub tells one."""

    revision: str
    files: tuple[RemoteFile, ...]


def connect(hub: str) -> Connection:
    if hub == "hf":
        return Connection(os.environ.get("HF_ENDPOINT") or "https://huggingface.co", os.environ.get("HF_TOKEN"))
    endpoint = os.environ.get("MODELSCOPE_ENDPOINT") or "https://modelscope.cn"
    return Connection(endpoint, os.environ.get("MODELSCOPE_API_TOKEN"))


def list_files(connection: Connection, source: Source) -> Listing:
    """Raises FetchError: no network, no such repository or revision, no access, or an answer that is none of a hub."""
    ask = _ask_hugging_face if source.hub == "hf" else _ask_modelscope
    return ask(source, lambda path: _json(connection, path))


def _json(connection: Connection, path: str) -> Any:
    text = connection.read(f"{connection.endpoint}{path}")
    try:
        return json.loads(text)
    except ValueError as error:
        raise FetchError(f"{connection.endpoint} is no hub: its answer to {path} is no JSON") from error


def _ask_hugging_face(source: Source, ask: Callable[[str], Any]) -> Listing:
    api = f"/api/models/{source.repository}"
    try:
        commit = ask(f"{api}/revision/{quote(source.revision, safe='')}")["sha"]
        entries = ask(f"{api}/tree/{commit}?recursive=True&expand=False")
        files = [
            RemoteFile(
                entry["path"],
                entry["size"],
                f"sha256:{entry['lfs']['oid']}" if entry.get("lfs") else f"git:{entry['oid']}",
                f"/{source.repository}/resolve/{commit}/{quote(entry['path'])}",
            )
            for entry in entries
            if entry["type"] == "file"
        ]
    except (KeyError, TypeError) as error:
        raise FetchError(f"the list of {source} is not as Hugging Face's: it has no {error}") from error
    return Listing(commit, tuple(files))


def _ask_modelscope(source: Source, ask: Callable[[str], Any]) -> Listing:
    api = f"/api/v1/models/{source.repository}/repo"
    try:
        entries = ask(f"{api}/files?{urlencode({'Revision': source.revision, 'Recursive': 'True'})}")["Data"]["Files"]
        files = [
            RemoteFile(
                entry["Path"],
                entry["Size"],
                f"sha256:{entry.get('Sha256') or ''}",
                f"{api}?{urlencode({'Revision': source.revision, 'FilePath': entry['Path']})}",
            )
            for entry in entries
            if entry["Type"] != "tree"
        ]
    except (KeyError, TypeError) as error:
        raise FetchError(f"the list of {source} is not as ModelScope's: it has no {error}") from error
    return Listing(source.revision, tuple(files))
