"""The tensors of the served model ``stream_omni``: a turn's inputs out, its events in.

Raw users of Triton need none of this: the tensors are plain and named. The names and types here are the protocol.
"""

from __future__ import annotations

import json
import secrets
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2

from stream_omni_client.errors import InvalidRequest, ServerError
from stream_omni_client.events import AudioDelta, Done, Event, Mark, TextDelta, Timings, TranscriptDelta
from stream_omni_client.grpc_channel import MODEL
from stream_omni_client.trace_context import HEADER, is_sampled

_INPUT_TYPES = {
    "task": "BYTES",
    "text": "BYTES",
    "audio": "FP32",
    "sample_rate": "INT32",
    "image": "BYTES",
    "output": "BYTES",
    "history": "BYTES",
    "system": "BYTES",
    "voice": "BYTES",
    "max_tokens": "INT32",
    "max_audio_ms": "INT32",
    "temperature": "FP32",
    "top_p": "FP32",
    "seed": "UINT64",
}
_TICKET_BYTES = 16  # whoever knows a ticket may end the turn
_STRUCT_FORMATS = {"FP32": "<f", "INT32": "<i", "UINT64": "<Q"}
_OUTPUT_TYPES: dict[str, np.dtype[Any]] = {"INT16": np.dtype("<i2"), "INT32": np.dtype("<i4")}


@dataclass(frozen=True)
class TurnRequest:
    """A turn as it is sent: its message, and the gRPC metadata that goes with it; ``departure`` is the message that
    ends it, on a stream of its own."""

    request_id: str
    message: service_pb2.ModelInferRequest
    metadata: tuple[tuple[str, str], ...]
    departure: service_pb2.ModelInferRequest


def turn_request(
    request_id: str, inputs: Mapping[str, Any], metadata: tuple[tuple[str, str], ...], traceparent: str | None
) -> TurnRequest:
    """Of a trace that is not recorded, the ``traceparent`` goes as a parameter of the request: what comes as a header,
    tritonserver 2.51 traces in any case.

    Errors come as messages on the stream. Triton can send them as the stream's status instead (metadata
    ``triton_grpc_error``), but tritonserver 2.51 crashed on that: 5 of 13 servers that failed up to 3000 turns each in
    the middle, none of 13 without it.
    """
    message = encode_request(MODEL, request_id, inputs)
    if traceparent is not None and is_sampled(traceparent):
        metadata = (*metadata, (HEADER, traceparent))
    elif traceparent is not None:
        message.parameters[HEADER].string_param = traceparent
    departure, ticket = service_pb2.ModelInferRequest(model_name=MODEL), secrets.token_hex(_TICKET_BYTES)
    message.parameters["ticket"].string_param = departure.parameters["leave"].string_param = ticket
    return TurnRequest(request_id, message, metadata, departure)


def encode_request(model: str, request_id: str, inputs: Mapping[str, Any]) -> service_pb2.ModelInferRequest:
    """The message that starts the turn. Raises :class:`InvalidRequest` for a value that its type cannot hold."""
    request = service_pb2.ModelInferRequest(model_name=model, id=request_id)
    for name, value in inputs.items():
        triton_type = _INPUT_TYPES[name]
        try:
            length, content = _encode(triton_type, value)
        except (AttributeError, OverflowError, TypeError, ValueError, struct.error) as error:
            message = f"{name} = {value!r} cannot be sent as {triton_type}: {error}"
            raise InvalidRequest(message, reason="INVALID_ARGUMENT", request_id=request_id) from error
        request.inputs.add(name=name, datatype=triton_type, shape=[length])
        request.raw_input_contents.append(content)
    return request


def _encode(triton_type: str, value: Any) -> tuple[int, bytes]:
    if triton_type == "BYTES":
        elements = value if isinstance(value, list) else [value.encode()]
        return len(elements), b"".join(len(element).to_bytes(4, "little") + element for element in elements)
    if isinstance(value, np.ndarray):
        return len(value), value.astype("<f4", copy=False).tobytes()
    return 1, struct.pack(_STRUCT_FORMATS[triton_type], value)  # unlike NumPy it never wraps what does not fit


def decode_event(response: service_pb2.ModelInferResponse, elapsed_s: float, request_id: str) -> Event:
    """Raises :class:`ServerError` where the response is no event of the protocol."""
    try:
        return _decode(_Outputs(response), elapsed_s)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
        message = f"the server sent what is no event ({reason})"
        raise ServerError(message, reason="PROTOCOL", request_id=request_id) from error


def _decode(outputs: _Outputs, elapsed_s: float) -> Event:
    kind, seq = outputs.text("event"), outputs.integer("seq")
    if kind == "transcript":
        return TranscriptDelta(seq, elapsed_s, outputs.text("delta"))
    if kind == "text":
        return TextDelta(seq, elapsed_s, outputs.text("delta"))
    if kind == "audio":
        return AudioDelta(
            seq,
            elapsed_s,
            samples=outputs.array("samples"),
            sample_rate_hz=outputs.integer("sample_rate"),
            start_ms=outputs.integer("start_ms"),
            marks=tuple(Mark(*mark) for mark in json.loads(outputs.text("marks") or "[]")),
            units=outputs.array("units"),
        )
    if kind == "done":
        return _decode_done(seq, elapsed_s, json.loads(outputs.text("detail")))
    raise ValueError(f"unknown event {kind!r}")


def _decode_done(seq: int, elapsed_s: float, detail: dict[str, Any]) -> Done:
    return Done(
        seq,
        elapsed_s,
        finish_reason=detail["finish_reason"],
        text_finish=detail.get("text_finish"),
        audio_finish=detail.get("audio_finish"),
        transcript=detail["transcript"],
        text=detail["text"],
        usage=detail["usage"],
        timings=Timings(**{name: detail["timings"].get(name) for name in Timings.__dataclass_fields__}),
        effective=detail["effective"],
    )


class _Outputs:
    """A response's tensors by name; they travel as raw bytes, in the order of their descriptions."""

    def __init__(self, response: service_pb2.ModelInferResponse) -> None:
        self._raw: dict[str, tuple[str, bytes]] = {
            output.name: (output.datatype, content)
            for output, content in zip(response.outputs, response.raw_output_contents, strict=True)
        }

    def array(self, name: str) -> NDArray[Any]:
        triton_type, content = self._raw[name]
        return np.frombuffer(content, _OUTPUT_TYPES[triton_type])

    def integer(self, name: str) -> int:
        return int(self.array(name)[0])

    def text(self, name: str) -> str:
        """The first element of a BYTES tensor (after its four bytes of length); "" where there is none."""
        content = self._raw[name][1]
        return content[4 : 4 + int.from_bytes(content[:4], "little")].decode()
