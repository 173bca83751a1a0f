"""Speech in: samples to CosyVoice speech units, 25 a second."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream_omni.audio import SAMPLE_RATE_HZ, log_mel, resample
from stream_omni.runtime.outputs import GraphError
from stream_omni.runtime.session import Session


def tokenize_speech(speech_tokenizer: Session, samples: NDArray[np.float32], sample_rate_hz: int) -> NDArray[np.int32]:
    """Units [ceil(ceil(frames / 2) / 2)] of mono ``samples`` [N] in -1..1; ``frames`` are 10 ms each.

    Raises GraphError where the graph, which comes with the checkpoint, makes another number of them.
    """
    features = log_mel(resample(samples, sample_rate_hz, SAMPLE_RATE_HZ))
    length = np.array([features.shape[-1]], np.int32)
    (units,) = speech_tokenizer.run({"feats": features[None], "feats_length": length}).values()
    count = -(-int(length[0]) // 4)
    if units.size != count or units.dtype.kind != "i":
        given = f"{units.dtype} {list(units.shape)}"
        raise GraphError(f"the speech tokenizer gave {given} for {length[0]} frames, instead of {count} units")
    return units.reshape(-1).astype(np.int32)
