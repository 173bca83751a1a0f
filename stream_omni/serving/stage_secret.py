"""The word by which a stage knows the front door: random at each start, known to the server's own processes only.

Triton lets whoever reaches its port call any model. So every stage refuses calls without the word, which the launcher
puts into the server's environment (its models' processes inherit it) and the front door sends as a parameter of its
calls; Triton hands a request's parameters on to the steps of an ensemble.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping
from typing import Any

from stream_omni.runtime.session import Array
from stream_omni.serving.errors import UnauthenticatedError

ENVIRONMENT = "STREAM_OMNI_STAGE_SECRET"
PARAMETER = "stage_secret"


class StageSecret:
    """Of one start of the server."""

    def __init__(self, word: str) -> None:
        self.word = word

    @classmethod
    def make(cls) -> StageSecret:
        return cls(secrets.token_hex(32))

    @classmethod
    def own(cls) -> StageSecret:
        """That of the server which this process belongs to. Raises RuntimeError where nobody gave it one."""
        word = os.environ.get(ENVIRONMENT, "")
        if not word:
            raise RuntimeError(f"{ENVIRONMENT} is not set: start the server with `stream-omni serve`, which sets it")
        return cls(word)

    @property
    def parameters(self) -> dict[str, str]:
        """Of a request that comes from the server itself."""
        return {PARAMETER: self.word}

    def is_in(self, parameters: Mapping[str, Any]) -> bool:
        """In constant time."""
        return hmac.compare_digest(str(parameters.get(PARAMETER, "")).encode(), self.word.encode())

    def check(self, parameters: Mapping[str, Any]) -> None:
        """Raises UnauthenticatedError for a request of an outsider."""
        if not self.is_in(parameters):
            raise UnauthenticatedError("this model is a part of stream_omni, which alone may call it; call stream_omni")

    def seal(self, tensors: Mapping[str, Array]) -> str:
        """A mark on what one model of the server makes and another gets through the client's hands or an ensemble's."""
        digest = hashlib.blake2b(key=self.word.encode(), digest_size=32)
        for name in sorted(tensors):
            array = tensors[name]
            parts = [bytes(part) for part in array.tolist()] if array.dtype == object else [array.tobytes()]
            for part in (f"{name} {array.dtype} {array.shape} {len(parts)}".encode(), *parts):
                digest.update(len(part).to_bytes(8, "little"))
                digest.update(part)
        return digest.hexdigest()

    def check_seal(self, tensors: Mapping[str, Array], seal: bytes) -> None:
        """Raises UnauthenticatedError for tensors that are not as they were sealed."""
        if not hmac.compare_digest(self.seal(tensors).encode(), seal):
            raise UnauthenticatedError("this model takes only what prepare has made for it; call turn")
