"""An engine behind the operations of :mod:`stream_omni.serving.operations`: tensors in, tensors out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from stream_omni.runtime.engine import EngineLoop
from stream_omni.runtime.session import Array
from stream_omni.runtime.slots import Full
from stream_omni.runtime.watch import Watch
from stream_omni.serving.errors import InvalidRequestError, OverloadedError
from stream_omni.serving.operations import HEARTBEAT_S, RELEASE_S, Operation
from stream_omni.speech_engine import SpeechRequest
from stream_omni.text_engine import TextRequest

_RETRY_AFTER_MS = 1000  # about a short answer's time


class EngineOperations:
    """``read_request`` makes the engine's request of a START's inputs."""

    def __init__(
        self, engine: Any, read_request: Callable[[Mapping[str, Array]], Any], watch: Watch | None = None
    ) -> None:
        self._loop: EngineLoop[Any] = EngineLoop(engine, watch=watch)
        self._read_request = read_request

    def close(self) -> None:
        self._loop.close()

    def answer(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """A POLL waits for events, a CANCEL for the end of a step; all else returns at once. Raises TurnError, and
        RequestError for a request that can never run."""
        return self._poll(inputs) if inputs["op"][0] == Operation.POLL else self._control(inputs)

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
                self._loop.cancel(owner, turn, RELEASE_S)
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


def read_text_request(inputs: Mapping[str, Array]) -> TextRequest:
    """Of a START of ``llm``. Raises KeyError for an input that is missing."""
    return TextRequest(
        ids=inputs["ids"],
        embeds=inputs["embeds"],
        max_tokens=int(inputs["max_tokens"][0]),
        stop_ids=tuple(inputs["stop_ids"].tolist()),
        temperature=float(inputs["temperature"][0]),
        top_p=float(inputs["top_p"][0]),
        seed=int(inputs["seed"][0]),
        shared_tokens=shared_tokens(inputs),
    )


def read_speech_request(inputs: Mapping[str, Array]) -> SpeechRequest:
    """Of a START of ``speech_top``. Raises KeyError for an input that is missing."""
    return SpeechRequest(
        hidden=inputs["hidden"],
        keys_values=inputs["keys_values"],
        text_in=bool(inputs["text_in"][0]),
        max_units=int(inputs["max_units"][0]),
        shared_tokens=shared_tokens(inputs),
    )


def shared_tokens(inputs: Mapping[str, Array]) -> int:
    """The optional input of all stages that read prompts: how many of the first positions other prompts have too."""
    return int(inputs["shared_tokens"][0]) if "shared_tokens" in inputs else 0
