"""How a gateway is set up: where the server is, who is let in, and how much one request may bring."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from stream_omni_client.access import Tls


@dataclass(frozen=True)
class GatewayLimits:
    """What one request may ask for. The server behind has limits of its own (docs/limits.md), which hold as well."""

    max_body_bytes: int = 48_000_000  # a picture or a sound in base64 takes a third more than it is
    max_picture_fetch_bytes: int = 20_000_000  # the server's own limit of a picture
    picture_fetch_timeout_s: float = 10.0  # of one picture, redirects included
    max_picture_redirects: int = 3


@dataclass(frozen=True)
class Settings:
    """``api_keys``: the file that ``stream-omni keys`` writes, None lets everybody in. ``model``: the name that callers
    give. ``triton_*``: how the server behind is reached."""

    triton_url: str = "localhost:8001"
    triton_api_key: str | None = None  # None: the environment's, as for every client
    triton_tls: Tls | bool | None = None
    host: str = "127.0.0.1"
    port: int = 8080
    https_cert: Path | None = None
    https_key: Path | None = None
    api_keys: Path | None = None
    model: str = "stream-omni"
    fetch_pictures: bool = False  # pictures by http(s) URL
    first_event_timeout_s: float = 60.0
    idle_timeout_s: float = 30.0
    turn_timeout_s: float = 600.0
    drain_timeout_s: int = 30  # what running requests get to finish in
    limits: GatewayLimits = field(default_factory=GatewayLimits)
