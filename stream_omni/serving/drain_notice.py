"""How the front doors learn that their server is about to stop: a file that appears in the launcher's own directory.

Only the user who runs the server can make it, no client can; and a front door that is loaded again finds it, too.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

_VARIABLE = "STREAM_OMNI_DRAIN_NOTICE"  # in the environment of the server, and so of its models


class DrainNotice:
    """``path``: where the file is to appear; None: this server is never drained."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    @classmethod
    def of_environment(cls) -> DrainNotice:
        """That of the server to which this process belongs."""
        path = os.environ.get(_VARIABLE)
        return cls(Path(path) if path else None)

    def environment(self) -> dict[str, str]:
        """What a server must find in its environment."""
        return {_VARIABLE: str(self._path)}

    def give(self, deadline_s: float) -> None:
        """Tell the front doors to refuse turns from now on and to end those that still run at ``deadline_s``
        (time.monotonic, which all processes of a machine share)."""
        assert self._path is not None
        draft = self._path.with_suffix(".draft")
        draft.write_text(repr(deadline_s))
        draft.replace(self._path)  # whole or not at all

    def deadline_s(self) -> float | None:
        """None while nothing was given."""
        if self._path is None or not self._path.exists():
            return None
        return float(self._path.read_text())

    @staticmethod
    def retry_after_ms(deadline_s: float) -> int:
        """When this server is gone for sure, and another may be in its place."""
        return max(1000, round(1000 * (deadline_s - time.monotonic())))
