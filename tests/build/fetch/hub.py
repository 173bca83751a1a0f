"""A hub on loopback that speaks the interfaces of Hugging Face and ModelScope, as their own libraries use them, and
that can be told to misbehave. Large files of the former lie on another host, its CDN."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
_LARGE_BYTES = 20_000  # from here on a file is in LFS


@dataclass
class Hub:
    """``repositories``: name -> path -> content. The dictionaries below hold faults by path."""

    repositories: dict[str, dict[str, bytes]]
    breaks_after: dict[str, int] = field(default_factory=dict)  # once: the connection ends there
    stalls_after: dict[str, int] = field(default_factory=dict)  # once: nothing more comes there
    sends: dict[str, bytes] = field(default_factory=dict)  # instead of what is listed
    refuses: dict[str, int] = field(default_factory=dict)  # with this status
    listed_bytes: dict[str, int] = field(default_factory=dict)  # instead of the real size
    whole_only: bool = False  # no ranges
    private: bool = False
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)  # method, path, range
    tokens: dict[str, set[str | None]] = field(default_factory=lambda: {"hub": set(), "cdn": set()})
    stalled: threading.Event = field(default_factory=threading.Event)
    url: str = ""
    cdn_url: str = ""

    def asked(self, path: str) -> list[str | None]:
        """The ranges for which a file was asked, from whichever host."""
        return [r for method, url, r in self.requests if method == "GET" and path in unquote(url) and "tree" not in url]


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    servers = []
    for role in ("hub", "cdn"):
        handler = type("Handler", (_Handler,), {"hub": hub, "role": role})
        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=servers[-1].serve_forever, args=(0.05,), daemon=True).start()
    hub.url, hub.cdn_url = (f"http://127.0.0.1:{server.server_port}" for server in servers)
    try:
        yield hub
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


def files_of(*folders: Path) -> dict[str, bytes]:
    return {p.relative_to(f).as_posix(): p.read_bytes() for f in folders for p in sorted(f.rglob("*")) if p.is_file()}


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    role: str
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(has_body=False)

    def do_GET(self) -> None:
        self._answer(has_body=True)

    def _answer(self, has_body: bool) -> None:
        hub, address = self.hub, urlsplit(self.path)
        hub.requests.append((self.command, self.path, self.headers.get("Range")))
        hub.tokens[self.role].add(self.headers.get("Authorization"))
        if hub.private and self.role == "hub" and not self.headers.get("Authorization"):
            return self._send(401, b"who are you", has_body)
        parts = unquote(address.path).strip("/").split("/")
        if parts[:3] == ["api", "v1", "models"]:
            return self._modelscope("/".join(parts[3:5]), parts[5:], parse_qs(address.query), has_body)
        if parts[:2] == ["api", "models"]:
            return self._list("/".join(parts[2:4]), parts[4:], has_body)
        return self._resolve("/".join(parts[:2]), "/".join(parts[4:]), has_body)

    def _list(self, name: str, parts: list[str], has_body: bool) -> None:
        files = self.hub.repositories.get(name)
        if files is None or parts[1:] not in (["main"], [COMMIT]):
            return self._send(404, b"{}", has_body, {"X-Error-Code": "RepoNotFound"})
        if parts[0] == "revision":
            siblings = [{"rfilename": path} for path in files]
            return self._json({"id": name, "sha": COMMIT, "siblings": siblings}, has_body)
        entries = []
        for path, content in files.items():
            size = self.hub.listed_bytes.get(path, len(content))
            entry: dict[str, Any] = {"type": "file", "path": path, "size": size, "oid": _git(content)}
            if size >= _LARGE_BYTES:
                entry["lfs"] = {"oid": _sha256(content), "size": size, "pointerSize": 134}
            entries.append(entry)
        return self._json([{"type": "directory", "path": "folder", "oid": COMMIT, "size": 0}, *entries], has_body)

    def _resolve(self, name: str, path: str, has_body: bool) -> None:
        content = self.hub.repositories.get(name, {}).get(path)
        if status := self.hub.refuses.get(path):
            return self._send(status, b"refused", has_body)
        if content is None:
            return self._send(404, b"", has_body, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
        told = {"X-Repo-Commit": COMMIT, "ETag": f'"{_git(content)}"'}
        if len(content) >= _LARGE_BYTES and self.role == "hub":
            linked = {"X-Linked-Etag": f'"{_sha256(content)}"', "X-Linked-Size": str(len(content))}
            return self._send(302, b"", has_body, {**told, **linked, "Location": f"{self.hub.cdn_url}{self.path}"})
        return self._file(path, content, has_body, told)

    def _modelscope(self, name: str, parts: list[str], query: dict[str, list[str]], has_body: bool) -> None:
        files = self.hub.repositories.get(name)
        if files is None or query.get("Revision", ["master"]) != ["master"]:
            return self._json({"Code": 10010205001, "Message": "not found", "Success": False}, has_body, 404)
        if parts == ["repo"]:
            (path,) = query["FilePath"]
            if status := self.hub.refuses.get(path):
                return self._send(status, b"refused", has_body)
            return self._file(path, files[path], has_body, {})
        if parts != ["repo", "files"]:
            return self._json({"Code": 200, "Success": True, "Data": {"Name": name}}, has_body)
        entries = [
            {"Path": p, "Name": p, "Type": "blob", "Size": len(c), "Sha256": _sha256(c)} for p, c in files.items()
        ]
        entries.append({"Path": "asset", "Name": "asset", "Type": "tree", "Size": 0, "Sha256": ""})
        return self._json({"Code": 200, "Success": True, "Data": {"Files": entries}}, has_body)

    def _file(self, path: str, content: bytes, has_body: bool, told: dict[str, str]) -> None:
        content, status = self.hub.sends.get(path, content), 200
        wanted = self.headers.get("Range")
        if wanted and not self.hub.whole_only:
            first = int(wanted.removeprefix("bytes=").partition("-")[0])
            told = {**told, "Content-Range": f"bytes {first}-{len(content) - 1}/{len(content)}"}
            content, status = content[first:], 206
        if (end := self.hub.breaks_after.pop(path, None) if has_body else None) is not None:
            self.close_connection = True
            return self._send(status, content, has_body, told, end)
        if (end := self.hub.stalls_after.pop(path, None) if has_body else None) is not None:
            self._send(status, content, has_body, told, end)
            self.hub.stalled.set()
            self.rfile.read(1)  # until the client is gone
            self.close_connection = True
            return None
        return self._send(status, content, has_body, told)

    def _json(self, value: Any, has_body: bool, status: int = 200) -> None:
        self._send(status, json.dumps(value).encode(), has_body, {"Content-Type": "application/json"})

    def _send(
        self, status: int, content: bytes, has_body: bool, told: dict[str, str] | None = None, end: int | None = None
    ) -> None:
        self.send_response(status)
        for name, value in {**(told or {}), "Content-Length": str(len(content)), "Accept-Ranges": "bytes"}.items():
            self.send_header(name, value)
        self.end_headers()
        if has_body:
            self.wfile.write(content[:end])

    def log_message(self, *_: object) -> None:
        pass


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _git(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
