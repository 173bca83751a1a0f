"""The name of a turn in answers, errors and logs: the client's own where it can be written anywhere, else a new one."""

from __future__ import annotations

import re
import secrets
from contextvars import ContextVar

_USABLE = re.compile(r"[!-~]{1,128}")  # printable ASCII without spaces: it goes into log lines and messages

# Of the turn that the running task or thread works for; calls of stages carry it on. None: of no turn, or in process
CURRENT: ContextVar[str | None] = ContextVar("request_id", default=None)


def choose(sent: str) -> str:
    return sent if _USABLE.fullmatch(sent) else secrets.token_hex(8)
