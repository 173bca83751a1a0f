"""An engine as a Triton model: one unary operation a request (see :mod:`stream_omni.serving.operations`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from stream_omni.runtime.session import Array
from stream_omni.serving.daemon_threads import DaemonThreads
from stream_omni.serving.edge import inputs_of, parameters_of, respond
from stream_omni.serving.engine_meter import EngineMeter
from stream_omni.serving.engine_operations import EngineOperations
from stream_omni.serving.operations import Operation
from stream_omni.serving.stage_secret import StageSecret
from stream_omni.serving.triton_metrics import TritonRecorder


class EngineModel:
    """``read_request`` makes the engine's request of a START's inputs."""

    def __init__(self, stage: str, engine: Any, read_request: Callable[[Mapping[str, Array]], Any]) -> None:
        self._name, self._secret = stage, StageSecret.own()
        self._recorder = TritonRecorder(stage)
        meter = EngineMeter(self._recorder, stage, engine.capacity)
        self._operations = EngineOperations(engine, read_request, meter)
        self._threads = DaemonThreads("operation")

    def execute(self, requests: Sequence[Any]) -> None:
        """Answers through the response sender, so that an operation may wait without holding up what comes behind."""
        for request in requests:
            answer = partial(respond, self._name, request.get_response_sender(), request.request_id())
            try:
                self._secret.check(parameters_of(request))
                inputs = inputs_of(request)
            except Exception as error:
                answer(error)
                continue
            work = partial(self._answer, answer, inputs)
            if inputs["op"][0] in (Operation.POLL, Operation.CANCEL):
                self._threads.submit(work)
            else:
                work()

    def close(self) -> None:
        self._operations.close()
        self._recorder.close()

    def _answer(self, answer: Callable[[Any], None], inputs: Mapping[str, Array]) -> None:
        try:
            answer(self._operations.answer(inputs))
        except Exception as error:
            answer(error)
