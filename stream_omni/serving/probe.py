"""Readiness by a real inference: one tiny turn that passes through every stage."""

from __future__ import annotations

import queue
import re
import time
from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from PIL import Image
from tritonclient.grpc import model_config_pb2
from tritonclient.utils import triton_to_np_dtype

_AUDIO_S = 0.5
_SAMPLE_RATE_HZ = 16000
_ENDING_S = 5.0  # for the end of the stream behind the turn's; nobody may wait for a dead server
_REASON = re.compile(r"[A-Z_]+( retry_after_ms=\d+)?: ")  # how the front door's own errors begin
NOT_IN_TIME = "the turn was not answered in time"


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
    for answer in _ask(grpc_url, inputs, timeout_s, options, parameters):
        if answer.as_numpy("event")[0] == b"done":
            return
    raise ConnectionError("the turn ended without an end")


def is_answered_at_all(grpc_url: str, timeout_s: float, options: Mapping[str, Any]) -> bool:
    """Whether the front door says anything: a turn without a question is refused without asking any stage. What Triton
    says in its place, of a process that is dead or stopped, does not count."""
    try:
        next(_ask(grpc_url, [_input("task", np.array([b"answer"], object), "BYTES")], timeout_s, options, {}))
    except ConnectionError as error:
        return is_refusal(str(error))
    return True


def step_answers(
    grpc_url: str, step: str, timeout_s: float, options: Mapping[str, Any], parameters: Mapping[str, str]
) -> bool:
    """Whether a step of the unary turn says anything: what it is sent it refuses without asking any stage."""
    try:
        with triton.InferenceServerClient(grpc_url, **options) as client:
            wanted = client.get_model_config(step, client_timeout=timeout_s).config.input
            needed = [tensor for tensor in wanted if not tensor.optional] or wanted[:1]
            inputs = [_nothing(tensor) for tensor in needed]
            client.infer(step, inputs, parameters=dict(parameters), client_timeout=timeout_s)
    except triton.InferenceServerException as error:
        return is_refusal(error.message())
    return True


def is_refusal(message: str) -> bool:
    """Whether these are the words of the front door, not of Triton or gRPC."""
    return _REASON.match(message) is not None


def _ask(
    grpc_url: str,
    inputs: list[triton.InferInput],
    timeout_s: float,
    options: Mapping[str, Any],
    parameters: Mapping[str, str],
) -> Iterator[triton.InferResult]:
    """A turn's events. Raises ConnectionError: with the server's error, or why there is no answer."""
    answers: queue.SimpleQueue[tuple[triton.InferResult | None, triton.InferenceServerException | None]]
    answers = queue.SimpleQueue()
    client = triton.InferenceServerClient(grpc_url, **options)
    deadline_s, ended = time.monotonic() + timeout_s, False
    try:
        client.start_stream(lambda result, error: answers.put((result, error)), stream_timeout=timeout_s + _ENDING_S)
        client.async_stream_infer("stream_omni", inputs, parameters=dict(parameters))
        while not ended:
            result, error = answers.get(timeout=max(0.0, deadline_s - time.monotonic()))
            if error is not None:
                raise ConnectionError(error.message())
            assert result is not None
            ended = result.as_numpy("event")[0] == b"done"
            yield result
    except queue.Empty:
        raise ConnectionError(NOT_IN_TIME) from None
    except triton.InferenceServerException as error:
        raise ConnectionError(error.message()) from error
    finally:
        client.stop_stream(cancel_requests=not ended)
        client.close()


def _nothing(wanted: model_config_pb2.ModelInput) -> triton.InferInput:
    """Of the right type and shape, for an input of a model's configuration."""
    kind = model_config_pb2.DataType.Name(wanted.data_type).removeprefix("TYPE_").replace("STRING", "BYTES")
    shape = [max(size, 1) for size in wanted.dims]
    return _input(wanted.name, np.zeros(shape, triton_to_np_dtype(kind)), kind)


def _input(name: str, values: np.ndarray, datatype: str) -> triton.InferInput:  # type: ignore[type-arg]
    tensor = triton.InferInput(name, list(values.shape), datatype)
    tensor.set_data_from_numpy(values)
    return tensor
