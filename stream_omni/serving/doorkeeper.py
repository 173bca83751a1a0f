"""Who may pass a door of the server, and as whom."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stream_omni.serving.api_keys import ENVIRONMENT, ApiKeys, Holder
from stream_omni.serving.stage_secret import StageSecret

_EVERYBODY = Holder("")  # where no keys are asked for
SERVER = Holder("(server)")  # who proves readiness, for example


class Doorkeeper:
    """``keys`` None: everybody is let in."""

    def __init__(self, secret: StageSecret, keys: ApiKeys | None) -> None:
        self._secret, self._keys = secret, keys

    @classmethod
    def own(cls) -> Doorkeeper:
        """Of the server which this process belongs to. Raises RuntimeError."""
        path = os.environ.get(ENVIRONMENT, "")
        return cls(StageSecret.own(), ApiKeys(Path(path)) if path else None)

    def let_in(self, parameters: Mapping[str, Any]) -> Holder:
        """Who sends a request with such ``parameters``. Raises UnauthenticatedError."""
        if self._secret.is_in(parameters):
            return SERVER
        return _EVERYBODY if self._keys is None else self._keys.holder(parameters)
