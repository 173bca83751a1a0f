"""The server's log as JSON lines throughout: tritonserver 2.51 itself writes text only."""

from __future__ import annotations

import json
import os
import re
import threading
from contextlib import suppress

_TRITON = re.compile(r'(?P<time>\S+Z) (?P<level>[IWEF]) \d+ (?P<source>[\w.]+:\d+)\] "?(?P<message>.*?)"?')
_LEVELS = {"I": "info", "W": "warning", "E": "error", "F": "fatal"}


def to_json(line: str) -> str:
    """A line of the server's, which may be JSON already."""
    if _is_json(line):
        return line
    found = _TRITON.fullmatch(line)
    if found is None:  # what a library prints, the next line of a longer message
        return json.dumps({"level": "info", "event": "output", "message": line})
    fields = {"time": found["time"], "level": _LEVELS[found["level"]], "event": "triton"}
    return json.dumps({**fields, "source": found["source"], "message": found["message"]})


def _is_json(line: str) -> bool:
    if not line.startswith("{"):
        return False
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


class JsonLog:
    """A file that the server writes to; what arrives goes to the file number ``sink`` as JSON lines, or is lost where
    that has no room: a pipe that nobody empties would hold the server up. Close it after the server."""

    def __init__(self, sink: int) -> None:
        source, self._end = os.pipe()
        self.file = os.fdopen(self._end, "wb")
        self._thread = threading.Thread(target=_convert, args=(source, sink), daemon=True, name="log")
        self._thread.start()

    def close(self) -> None:
        """Returns when every line is through."""
        self.file.close()
        self._thread.join(timeout=5)  # a process that outlived the server would hold it for ever


def _convert(source: int, sink: int) -> None:
    with os.fdopen(source, "rb") as lines:
        for line in lines:
            text = line.decode("utf-8", "replace").rstrip("\r\n")
            if text:
                _write_all(sink, to_json(text).encode() + b"\n")


def _write_all(sink: int, line: bytes) -> None:
    with suppress(OSError):
        while line:
            line = line[os.write(sink, line) :]
