"""Whether and when a turn that brought nothing is asked again.

Only where the server has certainly not begun it: it was refused for want of room, or no connection came about. What
broke later may have cost a turn's work already, and is the caller's to decide.
"""

from __future__ import annotations

import random

from stream_omni_client.errors import ConnectionFailed, Overloaded, StreamOmniError

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 10.0
_NOT_BEGUN = ("UNREACHABLE", "NOT_FOUND")  # reasons of ConnectionFailed; a connection that broke has another


def pause_before_retry_s(error: StreamOmniError, tries: int) -> float | None:
    """After so many tries, the last of which ended with ``error``. None: it is not asked again.

    Clients that were refused together come back apart: the pause is the server's hint, or else doubles with each try,
    and up to half of it is added by chance. Who is told to come back later than in ten seconds has better things to do
    than to wait.
    """
    if isinstance(error, Overloaded):
        hint_s = error.retry_after
    elif isinstance(error, ConnectionFailed) and error.reason in _NOT_BEGUN:
        hint_s = None
    else:
        return None
    pause_s = _FIRST_PAUSE_S * 2 ** (tries - 1) if hint_s is None else hint_s
    return None if pause_s > _LONGEST_PAUSE_S else pause_s * random.uniform(1, 1.5)  # noqa: S311 (no secret)
