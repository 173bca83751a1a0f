"""What a request that was let in must be like."""

from __future__ import annotations

import numpy as np

from stream_omni.assets import Assets
from stream_omni.serving.request import TurnRequest


def check_good(request: TurnRequest, assets: Assets) -> None:
    """What was let in, held against the documented limits in figures of their own."""
    assert request.task in ("answer", "transcribe", "speak") and request.output in ("text", "speech")
    assert (request.text is None) != (request.audio is None)
    if request.audio is not None:
        assert 8000 <= request.sample_rate_hz <= 192_000
        assert 0.1 <= len(request.audio) / request.sample_rate_hz <= 30 and request.audio.dtype == np.float32
        assert 0.001 <= np.abs(request.audio).max() <= 2  # which NaN is not
    assert len(request.pictures) <= 4 and len(request.history) <= 200
    for width, height in (picture.size for picture in request.pictures):
        assert 0 < width <= 8192 and 0 < height <= 8192 and width * height <= 50_000_000
    assert {message.role for message in request.history} <= {"user", "assistant"}
    for words in (request.text, request.system, *(message.text for message in request.history)):
        if words is not None:
            assert len(words) <= 100_000 and words.encode() is not None  # which halves of characters cannot be
            assert not any(token in words for token in ("<|eot_id|>", "<|start_header_id|>", "<image>", "<Audio_1>"))
    assert request.text is None or request.text.strip()
    assert request.voice == "default" or request.voice in assets.voices
    assert request.max_tokens is None or 1 <= request.max_tokens <= 4096
    assert 40 <= request.max_audio_ms <= 163_840
    assert 0 <= request.temperature <= 2 and 0 < request.top_p <= 1 and 0 <= request.seed < 2**64
