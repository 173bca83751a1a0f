"""What happened, as one line of JSON each on stderr: never a word, a sound or a picture of anybody."""

from __future__ import annotations

import json
import logging
import os
import warnings
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

_STDERR = 2


def log_event(event: str, level: str = "info", **fields: Any) -> None:
    """Fields that are None are left away. A line that the log has no room for is lost: no request may fail by that."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    told = {name: value for name, value in fields.items() if value is not None}
    line = json.dumps({"time": now, "level": level, "event": event, **told}, default=str)
    with suppress(OSError):
        os.write(_STDERR, f"{line}\n".encode())


def log_libraries() -> None:
    """From now on say that a library had something to say, and where, but not what: it may quote what was sent."""
    logging.getLogger().addHandler(_LibraryLines())
    warnings.showwarning = _log_warning


class _LibraryLines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        place = f"{record.filename}:{record.lineno} in {record.funcName}"
        log_event("library", record.levelname.lower(), source=record.name, place=place)


def _log_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    log_event("library", "warning", source=category.__name__, place=f"{Path(filename).name}:{lineno}")
