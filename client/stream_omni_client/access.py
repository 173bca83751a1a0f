"""What lets a client in: its API key, and TLS. What the caller does not say, the environment does."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stream_omni_client.errors import InvalidRequest

API_KEY, API_KEY_FILE = "STREAM_OMNI_API_KEY", "STREAM_OMNI_API_KEY_FILE"
TLS_CA, TLS_CERT, TLS_KEY = "STREAM_OMNI_TLS_CA", "STREAM_OMNI_TLS_CERT", "STREAM_OMNI_TLS_KEY"


@dataclass(frozen=True)
class Tls:
    """PEM files. ``ca``: who signs the server's certificate, None: those whom gRPC trusts by itself. ``cert`` and
    ``key``: the client's own, for a server that demands one."""

    ca: str | Path | None = None
    cert: str | Path | None = None
    key: str | Path | None = None

    def __post_init__(self) -> None:
        if (self.cert is None) != (self.key is None):
            raise InvalidRequest("a client's certificate needs its key, and the key its certificate")

    def read(self) -> tuple[bytes | None, bytes | None, bytes | None]:
        """CA, key and certificate, as gRPC takes them. Raises OSError."""
        ca, key, cert = (None if file is None else Path(file).read_bytes() for file in (self.ca, self.key, self.cert))
        return ca, key, cert


def choose_tls(wanted: Tls | bool | None, environment: Mapping[str, str] = os.environ) -> Tls | None:
    """None: no TLS. Of ``wanted``, True means TLS with those whom gRPC trusts, None what the environment says."""
    if wanted is None:
        files = {"ca": TLS_CA, "cert": TLS_CERT, "key": TLS_KEY}
        given = {name: environment[variable] for name, variable in files.items() if environment.get(variable)}
        return Tls(**given) if given else None
    if isinstance(wanted, bool):
        return Tls() if wanted else None
    return wanted


def choose_metadata(api_key: str | None, environment: Mapping[str, str] = os.environ) -> tuple[tuple[str, str], ...]:
    """What goes with each call. Raises :class:`InvalidRequest` for a key that no header can hold, OSError for a file of
    one that cannot be read."""
    key = api_key or environment.get(API_KEY) or _key_in(environment.get(API_KEY_FILE))
    if not key:
        return ()
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise InvalidRequest("the API key holds characters that no key has: spaces, line breaks or such")
    return (("authorization", f"Bearer {key}"),)


def _key_in(file: str | None) -> str | None:
    """As secrets are mounted. Raises InvalidRequest, OSError."""
    if not file:
        return None
    try:
        return Path(file).read_text(encoding="ascii").strip()
    except UnicodeError as error:
        raise InvalidRequest(f"{file} ({API_KEY_FILE}) holds characters that no key has") from error
