"""An engine as a Triton model: one unary operation a request (see :mod:`stream_omni.serving.operations`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import partial
from typing import Any

import numpy as np
import triton_python_backend_utils as pb

from stream_omni.runtime.engine import EngineLoop
from stream_omni.runtime.session import Array
from stream_omni.runtime.slots import Full
from stream_omni.serving.daemon_threads import DaemonThreads
from stream_omni.serving.edge import inputs_of, triton_error
from stream_omni.serving.errors import InvalidRequestError, OverloadedError
from stream_omni.serving.operations import HEARTBEAT_S, Operation

_RETRY_AFTER_MS = 1000  # about a short answer's time


class EngineModel:
    """``read_request`` makes the engine's request of a START's inputs."""

    def __init__(self, engine: Any, read_request: Callable[[Mapping[str, Array]], Any]) -> None:
        self._loop: EngineLoop[Any] = EngineLoop(engine)
        self._read_request = read_request
        self._threads = DaemonThreads("poll")

    def execute(self, requests: Sequence[Any]) -> None:
        """Answers through the response sender, so that a POLL may wait without holding up what comes behind it."""
        for request in requests:
            sender, inputs = request.get_response_sender(), inputs_of(request)
            if inputs["op"][0] == Operation.POLL:
                self._threads.submit(partial(_respond, sender, partial(self._poll, inputs)))
            else:
                _respond(sender, partial(self._control, inputs))

    def close(self) -> None:
        self._loop.close()

    def _poll(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        batch = self._loop.poll(int(inputs["owner"][0]), HEARTBEAT_S)
        messages = np.array([message.encode() for message in batch.messages], object)
        return {field.name: getattr(batch, field.name) for field in fields(batch)} | {"messages": messages}

    def _control(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        if "turn" not in inputs:
            raise InvalidRequestError("the operation needs a turn")
        owner, turn = int(inputs["owner"][0]), int(inputs["turn"][0])
        match int(inputs["op"][0]):
            case Operation.START:
                self._start(owner, turn, inputs)
            case Operation.APPEND:
                self._loop.append(owner, turn, inputs["ids"].tolist(), bool(inputs["final"][0]))
            case Operation.CANCEL:
                self._loop.cancel(owner, turn)
            case unknown:
                raise InvalidRequestError(f"there is no operation {unknown}")
        return {"turns": inputs["turn"]}

    def _start(self, owner: int, turn: int, inputs: Mapping[str, Array]) -> None:
        try:
            self._loop.start(owner, turn, self._read_request(inputs))
        except Full as full:
            raise OverloadedError(f"{full}; come again later", _RETRY_AFTER_MS) from full
        except KeyError as missing:
            raise InvalidRequestError(f"START needs the input {missing}") from missing


def _respond(sender: Any, work: Callable[[], Mapping[str, Array]]) -> None:
    try:
        response = pb.InferenceResponse([pb.Tensor(name, array) for name, array in work().items()])
    except Exception as error:
        response = pb.InferenceResponse(error=triton_error(error))
    try:
        sender.send(response, flags=pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
    except Exception as error:
        pb.Logger.log_warn(f"an answer could not be sent: {error}")
