"""What happened, as one line of JSON each, for machines that collect logs: never what was said, unless asked for."""

from __future__ import annotations

import json
import logging
import os
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from stream_omni.serving.spans import CURRENT

CONTENT = "STREAM_OMNI_LOG_CONTENT"  # the environment variable that asks for it
_STDERR = 2  # of the server's processes: where Triton's own log goes


def log_event(event: str, level: str = "info", **fields: Any) -> None:
    """One write, so that lines of several processes do not mix. May wait for who reads the log; a line that the log has
    no room for is lost, for no turn may fail by that. What happens in a traced turn is found by its trace, too."""
    span = CURRENT.get()
    traced = {"trace_id": span.trace_id} if span else {}
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    line = json.dumps({"time": now, "level": level, "event": event, **traced, **fields}, default=str)
    with suppress(OSError):
        os.write(_STDERR, f"{line}\n".encode())


def trace_of(error: BaseException) -> str:
    """Where it came from, for the log. What it says may quote a user: that is told only where content is wanted."""
    if content_is_wanted():
        return "".join(traceback.format_exception(error))
    return "".join(traceback.format_tb(error.__traceback__)) + type(error).__name__


class EventLines(logging.Handler):
    """What a program logs by the standard library, as such lines."""

    def __init__(self, event: str) -> None:
        super().__init__()
        self._event = event

    def emit(self, record: logging.LogRecord) -> None:
        log_event(self._event, record.levelname.lower(), message=self.format(record))


def content_is_wanted() -> bool:
    return bool(os.environ.get(CONTENT))
