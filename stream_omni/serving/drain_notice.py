"""How the front doors learn that their server is about to stop: a file that appears in the launcher's own directory.

Only the user who runs the server can make it, no client can; and a front door that is loaded again finds it, too.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from stream_omni.serving.errors import DrainingError

SENTENCE = "the server is about to stop; send the turn to another one, or again later"
_HAND_OVER_S = 5.0  # from one step of a turn to the next, far more than it takes
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
        draft.write_text(f"{deadline_s!r} {time.monotonic()!r}")
        draft.replace(self._path)  # whole or not at all

    def deadline_s(self) -> float | None:
        """None while nothing was given."""
        times_s = self._times_s()
        return times_s[0] if times_s else None

    def refuse_what_was_made(self, made_s: float) -> None:
        """Raises DrainingError for a half of a turn that was made before this was given, and comes only now."""
        times_s = self._times_s()
        if times_s and made_s < times_s[1] - _HAND_OVER_S:
            raise DrainingError(SENTENCE, self.retry_after_ms(times_s[0]))

    def _times_s(self) -> list[float]:
        """The deadline, and when it was given; nothing while it was not."""
        if self._path is None or not self._path.exists():
            return []
        return [float(time_s) for time_s in self._path.read_text().split()]

    @staticmethod
    def retry_after_ms(deadline_s: float) -> int:
        """When this server is gone for sure, and another may be in its place."""
        return max(1000, round(1000 * (deadline_s - time.monotonic())))
