"""A client of plain tritonclient, as anybody could write it: what the server says, unadorned."""

from __future__ import annotations

import io
import json
import queue
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from PIL import Image

OUTPUTS = ("event", "seq", "delta", "samples", "sample_rate", "start_ms", "marks", "units", "detail")
TIMEOUT_S = 60.0

Response = dict[str, Any]


@dataclass
class Answered:
    """Of a whole turn; ``error`` is the message of one that failed."""

    responses: list[Response]
    error: str | None = None

    def of(self, event: str) -> list[Response]:
        return [response for response in self.responses if response["event"] == event]

    def joined(self, event: str) -> str:
        return "".join(response["delta"] for response in self.of(event))

    @property
    def samples(self) -> np.ndarray[Any, np.dtype[np.int16]]:
        return np.concatenate([response["samples"] for response in self.responses])

    @property
    def units(self) -> list[int]:
        return [unit for response in self.responses for unit in response["units"].tolist()]

    @property
    def detail(self) -> dict[str, Any]:
        detail: dict[str, Any] = json.loads(self.responses[-1]["detail"])
        return detail


class Stream:
    """One turn on one gRPC stream. With a ``request_id``, which Triton returns, errors do not end with one."""

    def __init__(
        self,
        url: str,
        inputs: dict[str, Any],
        request_id: str = "a-test",
        headers: dict[str, str] | None = None,
        parameters: dict[str, Any] | None = None,
    ) -> None:
        self._answers: queue.SimpleQueue[tuple[Any, Any]] = queue.SimpleQueue()
        self._client = triton.InferenceServerClient(url)
        self._client.start_stream(lambda result, error: self._answers.put((result, error)), headers=headers)
        given = tensors(inputs)
        self.asked_s = time.monotonic()
        self._client.async_stream_infer("stream_omni", given, request_id=request_id, parameters=parameters or {})

    def next(self) -> Response | str:
        """A response, or the message of an error."""
        result, error = self._answers.get(timeout=TIMEOUT_S)
        return str(error.message()) if error is not None else _response(result)

    def rest(self) -> Answered:
        """All to the end, after which a server that dies of what has failed may break the connection."""
        answered = Answered([])
        while True:
            response = self.next()
            if isinstance(response, str):
                answered.error = response
                return answered
            answered.responses.append(response)
            if response["event"] == "done":
                return answered

    def finish(self) -> Answered:
        answered = self.rest()
        self.check_end()
        return answered

    def check_end(self) -> None:
        """Nothing follows the end. Closes the stream."""
        time.sleep(0.02)
        if not self._answers.empty():
            raise AssertionError(f"after the end came {self.next()}")
        self.close()

    def close(self, cancel: bool = False) -> None:
        self._client.stop_stream(cancel_requests=cancel)
        self._client.close()

    def vanish(self) -> None:
        """Break the connection without a word."""
        self._client._client_stub = None
        self._client._channel.close()


def ask(url: str, **inputs: Any) -> Answered:
    return Stream(url, inputs).finish()


def tensors(inputs: dict[str, Any]) -> list[triton.InferInput]:
    return [tensor(name, value) for name, value in inputs.items()]


def tensor(name: str, value: Any) -> triton.InferInput:
    """``value`` as the protocol's type of ``name`` where it is a plain number; arrays as they are."""
    if isinstance(value, str | bytes):
        value = [value]
    if isinstance(value, list):
        array = np.empty(len(value), object)
        array[:] = [item.encode() if isinstance(item, str) else item for item in value]
    elif isinstance(value, np.ndarray):
        array = value
    else:
        kinds = {"temperature": np.float32, "top_p": np.float32, "seed": np.uint64}
        array = np.array([value], kinds.get(name, np.int32))
    made = triton.InferInput(name, list(array.shape), triton.np_to_triton_dtype(array.dtype))
    made.set_data_from_numpy(array)
    return made


def _response(result: triton.InferResult) -> Response:
    found = {name: result.as_numpy(name) for name in OUTPUTS}
    assert all(array is not None for array in found.values()), "every response carries every output"
    many = ("samples", "units")
    response = {name: array if name in many else array[0] for name, array in found.items()}
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in response.items()}


def tone(seconds: float = 1.0, rate_hz: int = 16_000, hz: float = 220.0) -> np.ndarray[Any, np.dtype[np.float32]]:
    return (np.sin(np.arange(int(seconds * rate_hz)) * (2 * np.pi * hz / rate_hz)) / 2).astype(np.float32)


def picture(size: tuple[int, int] = (64, 48), kind: str = "PNG", seed: int = 0) -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), np.uint8)
    Image.fromarray(noise).save(file, kind)
    return file.getvalue()
