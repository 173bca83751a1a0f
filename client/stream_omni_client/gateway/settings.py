"""How a gateway is set up: where the server is, who is let in, and how much one request may bring."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from stream_omni_client.access import Tls
from stream_omni_client.gateway.realtime.limits import RealtimeLimits


@dataclass(frozen=True)
class GatewayLimits:
    """Of requests. The server behind has limits of its own (docs/limits.md), which hold as well."""

    max_requests: int = 64  # at once; several times what one server answers, each with a body in memory
    quota_wait_s: float = 3.0  # for a place of a key's, as at the server's own door
    max_body_bytes: int = 32_000_000  # three large photographs in base64; a body is held three times while it is read
    body_timeout_s: float = 60.0
    max_question_s: float = 60.0  # only to bound what a small file may unpack to: the server takes 30 s
    max_fetched_bytes: int = 20_000_000  # of a picture by URL: the server's own limit of a picture
    fetch_timeout_s: float = 10.0  # of a picture by URL, redirects included
    max_redirects: int = 3


@dataclass(frozen=True)
class Settings:
    """``api_keys``: the file that ``stream-omni keys`` writes, None lets everybody in. ``model`` and ``aliases``: the
    names that callers may give. ``triton_*``: how the server behind is reached."""

    triton_url: str | None = None  # these three: None is the environment's, as for every client
    triton_api_key: str | None = None
    triton_tls: Tls | bool | None = None
    host: str = "127.0.0.1"
    port: int = 8080
    https_cert: Path | None = None
    https_key: Path | None = None
    https_client_ca: Path | None = None  # who signs callers' certificates, which are then demanded
    api_keys: Path | None = None
    model: str = "stream-omni"
    aliases: tuple[str, ...] = ()
    notice: str | None = None  # a line that the page shows
    examples: tuple[str, ...] = ()  # questions that the page proposes
    fetch_pictures: bool = False  # pictures by http(s) URL
    first_event_timeout_s: float = 60.0
    idle_timeout_s: float = 30.0
    turn_timeout_s: float = 600.0
    ready_for_s: float = 5.0  # how long an answer of /health holds
    ready_timeout_s: float = 10.0
    drain_timeout_s: int = 30  # what running requests get to finish in
    limits: GatewayLimits = field(default_factory=GatewayLimits)
    realtime: RealtimeLimits = field(default_factory=RealtimeLimits)
