"""What is trained on, and what is held out for judging: told by a hash, so that it never depends on an order."""

from __future__ import annotations

import hashlib
from typing import Literal

Split = Literal["train", "held_out"]

_HELD_OUT_EVERY = 8


def split_of(description: str) -> Split:
    """Of a paraphrase with its slots open ("What colour is {it}?"), or of what a scene shows."""
    digest = hashlib.sha256(description.encode()).digest()
    return "held_out" if int.from_bytes(digest[:4], "big") % _HELD_OUT_EVERY == 0 else "train"
