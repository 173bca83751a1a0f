"""The client's side of a turn at the front door: what it sent, what it is sent, and whether it is still there."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import triton_python_backend_utils as pb

from stream_omni.runtime.session import Array
from stream_omni.serving import request_id
from stream_omni.serving.errors import InvalidRequestError, TurnError

_SENDERS = 4  # one is too few at 32 turns; more only compete for the interpreter


class Caller:
    """Answers to one request. Never call from the loop: sending waits for Triton."""

    def __init__(self, request: Any) -> None:
        self.began_s = time.monotonic()
        self.inputs: dict[str, Array] = {}
        self.input_bytes = 0
        self._sent_id = str(request.request_id())  # which Triton returns
        self.request_id = request_id.choose(self._sent_id)
        self._sender = request.get_response_sender()
        self._lock = threading.Lock()
        self._closed = False

    def read(self, request: Any, max_bytes: float) -> None:
        """Take the tensors over; whoever asks has been let in. Raises InvalidRequestError for too much."""
        tensors = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
        self.input_bytes = sum(map(_bytes_of, tensors.values()))
        if self.input_bytes > max_bytes:
            raise InvalidRequestError(
                f"the request has {self.input_bytes} bytes; the limit is {max_bytes:.0f}, send fewer or smaller files"
            )
        self.inputs = {name: np.array(array) for name, array in tensors.items()}  # the memory is Triton's

    def is_gone(self) -> bool:
        """Whether the client cancelled or disconnected.

        Under the lock, because asking during or after the last answer crashes the server.
        """
        with self._lock:
            return not self._closed and bool(self._sender.is_cancelled())

    def send(self, outputs: Mapping[str, Array], last: bool) -> None:
        """Where that fails, for want of shared memory, the turn ends with an error: what followed the gap would be a
        wrong answer."""
        if self._closed:
            return
        try:
            response = pb.InferenceResponse([pb.Tensor(name, array) for name, array in outputs.items()])
            if last:
                self._close(response)
            else:
                self._sender.send(response)
        except Exception as error:
            pb.Logger.log_warn(f"an event of request {self.request_id} could not be sent: {error}")
            self.fail(TurnError("a part of the answer could not be delivered; send the turn again"))

    def fail(self, error: TurnError | None) -> None:
        """End the turn with an error; None: with the cancellation that the client asked for."""
        if error is None:
            reason = pb.TritonError("CANCELLED: the client ended the turn", pb.TritonError.CANCELLED)
        else:
            told = "" if self.request_id == self._sent_id else f" (request {self.request_id})"
            reason = pb.TritonError(f"{error}{told}", getattr(pb.TritonError, error.code))
        self._close(pb.InferenceResponse(error=reason))

    def _close(self, response: Any) -> None:
        with self._lock:
            if not self._closed:
                self._sender.send(response, flags=pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
                self._closed = True


class LastWord:
    """The answer to a request that is no turn: none. Never call from the loop."""

    def __init__(self, request: Any) -> None:
        self._sender = request.get_response_sender()

    def say(self) -> None:
        self._sender.send(flags=pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL)


def _bytes_of(array: Array) -> int:
    return sum(map(len, array.flat)) if array.dtype == object else array.nbytes


class Senders:
    """Threads that send. A turn's answers go through one of them, in order."""

    def __init__(self) -> None:
        self._queues: list[queue.SimpleQueue[Callable[[], None] | None]] = []
        for number in range(_SENDERS):
            self._queues.append(queue.SimpleQueue())
            threading.Thread(target=self._serve, args=(self._queues[number],), daemon=True, name="sender").start()

    def submit(self, turn: int, work: Callable[[], None]) -> None:
        self._queues[turn % _SENDERS].put(work)

    def stop(self) -> None:
        for work in self._queues:
            work.put(None)

    def _serve(self, waiting: queue.SimpleQueue[Callable[[], None] | None]) -> None:
        while (work := waiting.get()) is not None:
            try:
                work()
            except Exception as error:
                pb.Logger.log_warn(f"an answer could not be sent: {error}")
