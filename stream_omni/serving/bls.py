"""Calls from one model to another inside the server (Triton's business logic scripting)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import triton_python_backend_utils as pb

from stream_omni.runtime.session import Array
from stream_omni.serving import request_id, spans
from stream_omni.serving.errors import error_from_stage
from stream_omni.serving.stage_secret import StageSecret


def infer(secret: StageSecret, model: str, inputs: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, Array]:
    """One blocking BLS call. Illegal before the model's first ``execute``."""
    span = spans.CURRENT.get()
    request = pb.InferenceRequest(
        model_name=model,
        requested_output_names=list(outputs),
        inputs=[pb.Tensor(name, array) for name, array in inputs.items()],
        request_id=request_id.CURRENT.get() or "",
        # a model on a GPU would answer in its memory
        preferred_memory=pb.PreferredMemory(pb.TRITONSERVER_MEMORY_CPU, 0),
        parameters=secret.parameters | ({spans.HEADER: span.traceparent} if span else {}),
    )
    response = request.exec()
    if response.has_error():
        raise error_from_stage(model, response.error().message())
    found = {}
    for name in outputs:
        tensor = pb.get_output_tensor_by_name(response, name)
        if tensor is None:  # Triton answers a request for a wrong name with success
            raise error_from_stage(model, f"no output {name}")
        found[name] = tensor.as_numpy().copy()  # the memory is the response's
    return found
