"""A stage of independent calls as a Triton model."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from stream_omni.serving.edge import inputs_of, parameters_of, respond
from stream_omni.serving.spans import HEADER, own_tracer, reason_of
from stream_omni.serving.stage_queue import Stage, StageQueue
from stream_omni.serving.stage_secret import StageSecret
from stream_omni.serving.triton_metrics import TritonRecorder


class StageModel:
    """Takes requests in as they come and answers each when it is done, so that the stage's queue is all that waits: an
    order that Triton's own queue cannot be given."""

    def __init__(self, stage: Stage) -> None:
        self._name, self._secret = stage.name, StageSecret.own()
        self._recorder = TritonRecorder(stage.name)
        self._queue = StageQueue(stage, self._recorder)
        self._tracer = own_tracer()

    def execute(self, requests: Sequence[Any]) -> None:
        for request in requests:
            answer = partial(respond, self._name, request.get_response_sender(), request.request_id())
            span = None
            try:
                parameters = parameters_of(request)
                self._secret.check(parameters)
                span = self._tracer.join(self._name, parameters.get(HEADER))
                self._queue.submit(inputs_of(request), answer, span)
            except Exception as error:
                if span:
                    span.end(reason_of(error))
                answer(error)

    def close(self) -> None:
        self._queue.close()
        self._recorder.close()
        self._tracer.close()
