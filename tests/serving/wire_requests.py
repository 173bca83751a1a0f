"""Requests that a fuzzer writes as gRPC's messages, which no client library would: what Triton itself has to stand."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from tritonclient.grpc import service_pb2

from stream_omni.serving.request import INPUTS

Request = service_pb2.ModelInferRequest

DOORS = ("stream_omni", "turn", "prepare", "answer")
STAGES = ("speech_tokenizer", "vision_encoder", "speech_bottom", "llm", "speech_top", "cosyvoice_flow", "vocoder")
_MODELS = st.sampled_from((*DOORS * 3, *STAGES, "token2wav", "none"))
_VERSIONS = st.sampled_from(("", "", "", "1", "2", "-1", "x"))
_NAMES = st.sampled_from((*INPUTS, "op", "owner", "turn", "seal", "units", "speaker", "pixel_values", "none", ""))
_TYPES = st.sampled_from(("BYTES", "FP32", "INT32", "UINT64", "INT64", "FP16", "BF16", "BOOL", "FP64", "INT4", ""))
_SIDES = st.sampled_from((0, 1, 1, 1, 1, 2, 3, 7, 16_000, -1, -2, 2**31, 2**32, 2**62, 2**63 - 1, -(2**63)))
_SHAPES = st.lists(_SIDES, max_size=3) | st.lists(_SIDES, min_size=20, max_size=40)
_LENGTHS = st.sampled_from((0, 2, 5, 2**31, 2**32 - 1)).map(lambda length: length.to_bytes(4, "little") + b"hi")
_CONTENTS = st.one_of(st.binary(max_size=70), _LENGTHS, st.sampled_from((4, 8, 64_000)).map(bytes))
_PARAMETERS = (  # what Triton reads itself, ours, and what is nobody's
    *("binary_data", "binary_data_size", "classification", "shared_memory_region", "shared_memory_byte_size"),
    *("shared_memory_offset", "sequence_id", "sequence_start", "sequence_end", "priority", "timeout", "headers"),
    *("triton_enable_empty_final_response", "authorization", "traceparent", "stream_omni", "none", ""),
)
_WHOLE = st.sampled_from((0, 1, 5, 2**63 - 1))
_VALUES: dict[str, Any] = {
    "bool_param": st.booleans(),
    "int64_param": _WHOLE | _WHOLE.map(lambda number: -number),
    "uint64_param": _WHOLE | st.just(2**64 - 1),
    "double_param": st.floats(),
    "string_param": st.sampled_from(("", "x", "é", "a" * 5000, "../../etc")),
}
_TYPED: dict[str, Any] = {  # contents that are no raw bytes
    "bool_contents": st.booleans(),
    "int_contents": st.integers(-1, 3),
    "uint64_contents": st.integers(0, 3),
    "fp32_contents": st.floats(width=32),
    "bytes_contents": st.sampled_from((b"hi", b"", b"[]")),
}


@st.composite
def wire_requests(draw: DrawFn) -> Request:
    """Half of them hold a good turn, beside whatever else they hold."""
    request = Request(model_name=draw(_MODELS), model_version=draw(_VERSIONS), id=draw(st.text(max_size=200)))
    _fill(draw, request.parameters, 2)
    if is_good := draw(st.booleans()):
        _add(request, "text", "BYTES", [1], (2).to_bytes(4, "little") + b"hi")
        _add(request, "max_tokens", "INT32", [1], (2).to_bytes(4, "little"))
    ways = draw(st.sampled_from(("raw", "raw", "typed", "both")))
    for _ in range(draw(st.sampled_from((0, 0, 0, 1, 2) if is_good else (0, 1, 2, 3, 4)))):
        tensor = request.inputs.add(name=draw(_NAMES), datatype=draw(_TYPES), shape=draw(_SHAPES))
        _fill(draw, tensor.parameters, 1)
        if ways != "raw":
            kind = draw(st.sampled_from([*_TYPED]))
            getattr(tensor.contents, kind).extend(draw(st.lists(_TYPED[kind], max_size=4)))
        if ways != "typed":
            request.raw_input_contents.append(draw(_CONTENTS))
    for name in draw(st.just([]) | st.lists(st.sampled_from(("event", "reply", "samples", "none", "")), max_size=3)):
        _fill(draw, request.outputs.add(name=name).parameters, 1)
    if request.raw_input_contents and draw(st.integers(0, 4)) == 0:
        del request.raw_input_contents[-1]
    return request


def _add(request: Request, name: str, kind: str, shape: list[int], content: bytes) -> None:
    request.inputs.add(name=name, datatype=kind, shape=shape)
    request.raw_input_contents.append(content)


def _fill(draw: DrawFn, parameters: Any, most: int) -> None:
    for name in draw(st.lists(st.sampled_from(_PARAMETERS), max_size=most)):
        kind = draw(st.sampled_from([*_VALUES]))
        setattr(parameters[name], kind, draw(_VALUES[kind]))
