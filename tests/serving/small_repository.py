"""A repository of trivial models under the names of real ones, on which a real server starts in a second."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tritonclient.grpc as triton

STAGE, OTHER, FRONT_DOOR, UNARY_DOOR = "vocoder", "llm", "stream_omni", "prepare"
MODELS = (FRONT_DOOR, OTHER, STAGE)
_CONFIG = """
backend: "python"
max_batch_size: 0
model_transaction_policy { decoupled: %s }
input [ { name: "x" data_type: TYPE_FP32 dims: [ 1 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 1 ] } ]
instance_group [ { kind: KIND_CPU count: 1 } ]
"""
# Answers at once; what is negative it keeps for ever, as a turn that goes on.
_MODEL = """
import triton_python_backend_utils as pb
from stream_omni.serving.guest_book import GuestBook
class TritonPythonModel:
    def initialize(self, args):
        self.kept, self.book = [], GuestBook.of_environment(args["model_name"])
    def execute(self, requests):
        for request in requests:
            x, sender = request.inputs()[0].as_numpy(), request.get_response_sender()
            if x[0] < 0:
                self.kept.append(sender)
                self.book.enter()
            else:
                flags = pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL
                sender.send(pb.InferenceResponse([pb.Tensor("y", x * 2)]), flags)
"""


def make_repository(folder: Path, with_unary_door: bool = False) -> Path:
    for name in (*MODELS, UNARY_DOOR) if with_unary_door else MODELS:
        (folder / name / "1").mkdir(parents=True)
        (folder / name / "config.pbtxt").write_text(_CONFIG % ("false" if name == UNARY_DOOR else "true"))
        (folder / name / "1" / "model.py").write_text(_MODEL)
    return folder


def probe(grpc_url: str, timeout_s: float) -> None:
    """All models answer; errors as the real front door puts them."""
    for model in MODELS:
        answered: list[triton.InferenceServerException | None] = []
        with triton.InferenceServerClient(grpc_url) as client:
            client.start_stream(lambda result, error, said=answered: said.append(error), stream_timeout=timeout_s)
            client.async_stream_infer(model, [number(1.0)])
            client.stop_stream()
        for error in answered or [triton.InferenceServerException("no answer")]:
            if error is not None:
                raise ConnectionError(f"INTERNAL: the stage {model} failed; send the turn again ({error.message()})")


def number(value: float) -> triton.InferInput:
    tensor = triton.InferInput("x", [1], "FP32")
    tensor.set_data_from_numpy(np.array([value], np.float32))
    return tensor
