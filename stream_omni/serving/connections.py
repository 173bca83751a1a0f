"""How long a client may stay: what bounds the memory for answers that nobody reads.

Triton keeps whatever its client does not fetch, and tells no model of it. So a connection ends at a certain age: first
it takes no further turns (gRPC clients open another one by themselves), and after the longest turn's time it is closed.
"""

from __future__ import annotations

import re
from pathlib import Path

CONNECTION_AGE_S = 600  # rarer would let unread answers pile up for longer; opening another one takes milliseconds
_TURN_TIMEOUT = re.compile(r'key: "turn_timeout_s" value: \{ string_value: "([\d.]+)" \}')
_UNKNOWN_TURN_S = 300.0  # of a repository that does not say it
_MARGIN_S = 5.0  # the wait for a place, and the end of an answer


def connection_arguments(repository: Path, age_s: float) -> list[str]:
    """Of tritonserver, by which connections of ``age_s`` seconds are ended without cutting a turn."""
    config = repository / "stream_omni" / "config.pbtxt"
    found = _TURN_TIMEOUT.search(config.read_text(encoding="utf-8")) if config.is_file() else None
    turn_s = float(found[1]) if found else _UNKNOWN_TURN_S
    return [
        f"--grpc-max-connection-age={round(1000 * age_s)}",
        f"--grpc-max-connection-age-grace={round(1000 * (turn_s + _MARGIN_S))}",
    ]
