"""The same questions to the model `turn`, which answers in one call, and makes the sound of an answer in one piece."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray
from stream_omni_client.errors import StreamOmniError
from stream_omni_client.turn import turn_inputs
from stream_omni_client.wire import encode_request
from tritonclient.grpc import service_pb2, service_pb2_grpc

from stream_omni_eval.asking import Job

_TIMEOUT_S = 300.0
_UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]

Samples = NDArray[np.int16]


def speak_whole(url: str, jobs: Sequence[Job], say: Callable[[str], None]) -> list[Samples | None]:
    """The sound of each job's answer; None where there was none."""
    found: list[Samples | None] = []
    with grpc.insecure_channel(url, options=_UNLIMITED) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        for job in jobs:
            try:
                found.append(_ask(stub, job))
            except (grpc.RpcError, StreamOmniError, OSError) as error:
                say(f"  {job.item.name} in one piece: {error}")
                found.append(None)
    return found


def _ask(stub: Any, job: Job) -> Samples:
    item, spoken = job.item, job.mode.spoken
    text, audio = (None, item.audio) if spoken else (item.text, None)
    inputs = turn_inputs(text, audio, list(item.images) or None, "speech", "answer", {})
    response: service_pb2.ModelInferResponse = stub.ModelInfer(
        encode_request("turn", item.name, inputs), timeout=_TIMEOUT_S
    )
    outputs = zip(response.outputs, response.raw_output_contents, strict=True)
    (samples,) = (content for output, content in outputs if output.name == "samples")
    return np.frombuffer(samples, "<i2")
