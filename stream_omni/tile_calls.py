"""The stage ``vision_encoder``: tiles of several calls through one run of its graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from stream_omni.runtime.session import Array, Session


def tiles_of(call: Mapping[str, Array]) -> int:
    """How many a call brings. Calls of equally many run together, so that their sum is bounded by their number."""
    return len(call["pixels"])


def encode_tiles(encoder: Session, calls: Sequence[Mapping[str, Array]]) -> list[dict[str, Array]]:
    """``pixels`` [P, 3, S, S] of each call -> its ``projected`` [P, patches, H]."""
    ends = np.cumsum([tiles_of(call) for call in calls])[:-1]
    found = encoder.run({"pixels": np.concatenate([call["pixels"] for call in calls])})
    return [{"projected": part} for part in np.split(found["projected"], ends)]
