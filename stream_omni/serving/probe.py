"""Readiness by a real inference: one tiny turn that passes through every stage."""

from __future__ import annotations

import queue
import time
from collections.abc import Mapping
from io import BytesIO
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from PIL import Image

_AUDIO_S = 0.5
_SAMPLE_RATE_HZ = 16000


def answer_a_tiny_turn(
    grpc_url: str, timeout_s: float, options: Mapping[str, Any], parameters: Mapping[str, str]
) -> None:
    """Ask a half-second "spoken" question about a grey picture, and hear all of a spoken answer of at most 0.2 s.

    It also pays every stage's first-call costs, so that no user does. ``options`` of the connection and ``parameters``
    of the request let it pass where others need keys and certificates. Raises ConnectionError with the reason.
    """
    noise = np.random.default_rng(0).normal(0.0, 0.1, int(_AUDIO_S * _SAMPLE_RATE_HZ)).clip(-1, 1).astype(np.float32)
    picture = BytesIO()
    Image.new("RGB", (64, 64), (127, 127, 127)).save(picture, format="PNG")
    inputs = [
        _input("audio", noise, "FP32"),
        _input("image", np.array([picture.getvalue()], object), "BYTES"),
        _input("output", np.array([b"speech"], object), "BYTES"),
        _input("max_tokens", np.array([2], np.int32), "INT32"),
        _input("max_audio_ms", np.array([200], np.int32), "INT32"),
    ]
    answers: queue.SimpleQueue[tuple[triton.InferResult | None, triton.InferenceServerException | None]]
    answers = queue.SimpleQueue()
    client = triton.InferenceServerClient(grpc_url, **options)
    try:
        client.start_stream(lambda result, error: answers.put((result, error)))
        client.async_stream_infer("stream_omni", inputs, parameters=dict(parameters))
        deadline = time.monotonic() + timeout_s
        while True:
            result, error = answers.get(timeout=max(0.0, deadline - time.monotonic()))
            if error is not None:
                raise ConnectionError(error.message())
            assert result is not None
            if result.as_numpy("event")[0] == b"done":
                client.stop_stream()
                return
    except queue.Empty:
        client.stop_stream(cancel_requests=True)
        raise ConnectionError("the first turn was not answered in time") from None
    except triton.InferenceServerException as error:
        raise ConnectionError(error.message()) from error
    finally:
        client.close()


def _input(name: str, values: np.ndarray, datatype: str) -> triton.InferInput:  # type: ignore[type-arg]
    tensor = triton.InferInput(name, list(values.shape), datatype)
    tensor.set_data_from_numpy(values)
    return tensor
