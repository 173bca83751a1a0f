"""An engine as a Triton model: one unary operation a request (see :mod:`stream_omni.serving.operations`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import triton_python_backend_utils as pb

from stream_omni.runtime.session import Array
from stream_omni.serving.daemon_threads import DaemonThreads
from stream_omni.serving.edge import inputs_of, triton_error
from stream_omni.serving.engine_operations import EngineOperations
from stream_omni.serving.operations import Operation


class EngineModel:
    """``read_request`` makes the engine's request of a START's inputs."""

    def __init__(self, engine: Any, read_request: Callable[[Mapping[str, Array]], Any]) -> None:
        self._operations = EngineOperations(engine, read_request)
        self._threads = DaemonThreads("poll")

    def execute(self, requests: Sequence[Any]) -> None:
        """Answers through the response sender, so that a POLL may wait without holding up what comes behind it."""
        for request in requests:
            sender, inputs = request.get_response_sender(), inputs_of(request)
            work = partial(_respond, sender, partial(self._operations.answer, inputs))
            if inputs["op"][0] == Operation.POLL:
                self._threads.submit(work)
            else:
                work()

    def close(self) -> None:
        self._operations.close()


def _respond(sender: Any, work: Callable[[], Mapping[str, Array]]) -> None:
    try:
        response = pb.InferenceResponse([pb.Tensor(name, array) for name, array in work().items()])
    except Exception as error:
        response = pb.InferenceResponse(error=triton_error(error))
    try:
        sender.send(response, flags=pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
    except Exception as error:
        pb.Logger.log_warn(f"an answer could not be sent: {error}")
