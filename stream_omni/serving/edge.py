"""The edge between Triton and a stage: arrays in and out, errors as a code and a sentence without paths."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb

from stream_omni.request_error import RequestError
from stream_omni.runtime.session import Array
from stream_omni.serving.errors import InvalidRequestError, StageError, TurnError
from stream_omni.serving.stage_runtime import Chosen, Place, place_of


class _TritonLog(logging.Handler):
    """What the library logs goes into the server's own log."""

    def emit(self, record: logging.LogRecord) -> None:
        write = pb.Logger.log_error if record.levelno >= logging.ERROR else pb.Logger.log_warn
        write(self.format(record))


def artifacts_of(args: Mapping[str, str]) -> Path:
    """The built directory that a served model belongs to, from the arguments of ``initialize``."""
    if not any(isinstance(handler, _TritonLog) for handler in logging.getLogger("stream_omni").handlers):
        logging.getLogger("stream_omni").addHandler(_TritonLog())
    return Path(args["model_repository"]).parents[1]


def parameter(args: Mapping[str, str], name: str) -> Any:
    """A parameter of the model's configuration, whose string is JSON."""
    return json.loads(json.loads(args["model_config"])["parameters"][name]["string_value"])


def stage_runtime(args: Mapping[str, str]) -> tuple[Chosen, Place]:
    """What a stage runs on, and where."""
    return Chosen(**parameter(args, "runtime")), place_of(args, artifacts_of(args), parameter(args, "threads"))


def parameters_of(request: Any) -> dict[str, Any]:
    """What travels beside the tensors: the client's own, and the headers that the server forwards."""
    try:
        parameters: dict[str, Any] = json.loads(request.parameters() or "{}")
    except ValueError:  # bytes that are no text
        return {}
    return parameters


def header_of(parameters: Mapping[str, Any], name: str) -> Any:
    """What a client sent as a header or parameter ``name``, in whatever case; None where it sent none, or several."""
    sent = [value for key, value in parameters.items() if key.lower() == name]
    return sent[0] if len(sent) == 1 else None


def inputs_of(request: Any) -> dict[str, Array]:
    """By name, copied: the request's memory is Triton's."""
    return {tensor.name(): np.array(tensor.as_numpy()) for tensor in request.inputs()}


def respond(stage: str, sender: Any, request_id: str, answer: Mapping[str, Array] | Exception) -> None:
    """The only response of ``stage`` to a request, from any thread: outputs by name, or an error."""
    try:
        sender.send(_response(stage, answer, request_id), flags=pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
    except Exception as error:
        pb.Logger.log_warn(f"an answer could not be sent: {error}")


def _response(stage: str, answer: Mapping[str, Array] | Exception, request_id: str) -> Any:
    if not isinstance(answer, Exception):
        try:
            return pb.InferenceResponse([pb.Tensor(name, array) for name, array in answer.items()])
        except Exception as error:
            answer = error
    # raised, Triton would send file names to the client
    return pb.InferenceResponse(error=_triton_error(stage, answer, request_id))


def _triton_error(stage: str, error: BaseException, request_id: str) -> Any:
    """The nearest of Triton's codes. Only a RequestError speaks to the client; others are logged."""
    if isinstance(error, RequestError):
        error = InvalidRequestError(str(error))
    if not isinstance(error, TurnError):
        logging.getLogger(__name__).error("request %s failed", request_id, exc_info=error)
        error = StageError(stage, str(error))  # by name: of an ensemble, its caller knows no more
    return pb.TritonError(str(error), getattr(pb.TritonError, error.code))
