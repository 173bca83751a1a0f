"""The text engine on TensorRT-LLM 1.2.1: its C++ executor batches turns in flight, behind the methods of
:class:`stream_omni.text_engine.TextEngine`.

What is used of TensorRT-LLM is listed, with where its source states it, in tests/fixtures/tensorrt_llm_api.json.
No GPU has run this file yet (docs/production.md).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from stream_omni.model_info import ModelInfo
from stream_omni.runtime.engine_manifest import check_tensorrt_llm, find_plans
from stream_omni.runtime.events import Event
from stream_omni.runtime.session import Array
from stream_omni.runtime.slots import Full
from stream_omni.text_engine import FROM_EMBEDS, TextRequest, check_text_request

log = logging.getLogger(__name__)

ENGINE, TABLE = "engines/llm", "embed_tokens.npy"  # of a build: the engine's folder, and what prompts are made of there
WAIT_MS = 5  # for news of the executor; starts and cancels wait as long at the most


def version_here() -> str:
    """TensorRT-LLM's, and nothing without one: an engine is of one version."""
    try:
        return version("tensorrt_llm")
    except PackageNotFoundError:
        return ""


def prompt_table(request: TextRequest, table: Array) -> Array:
    """Every position's embedding [T, H]: of ``table`` [text vocabulary, H] or the next of the request's own."""
    given = request.ids == FROM_EMBEDS
    rows = np.empty((len(request.ids), table.shape[1]), np.float32)
    rows[~given] = table[request.ids[~given]]
    rows[given] = request.embeds
    return rows


def virtual_ids(length: int, text_size: int) -> list[int]:
    """Ids beyond the vocabulary, which TensorRT-LLM looks up in the request's own table: all of a prompt, since real
    and virtual ones in one prompt have been seen to go wrong."""
    return list(range(text_size, text_size + length))


@dataclass
class Answer:
    """A turn's ids so far. Whether it ends is decided here, by the rules of every text engine."""

    turn: int
    request: TextRequest
    context_tokens: int
    made: list[int] = field(default_factory=list)

    @property
    def room(self) -> int:
        """Ids that may come at the most."""
        return min(self.request.max_tokens, self.context_tokens - len(self.request.ids))

    def take(self, ids: Sequence[int], last: bool) -> Event:
        """What the executor made of the turn; ``last``: it makes no more. What comes after an end is dropped."""
        for i, made in enumerate(ids):
            self.made.append(made)
            if made in self.request.stop_ids:
                return Event(self.turn, ids[: i + 1], finish="stop")
            if len(self.made) >= self.room:
                return Event(self.turn, ids[: i + 1], finish="length")
        return Event(self.turn, ids, finish="length" if last else None)


class TensorRtLlmEngine:
    """``executor`` and ``api``: an Executor and the module that it is of (tensorrt_llm.bindings.executor); ``table``
    [text vocabulary, H]; ``as_tensor`` makes of rows what the executor takes. One thread calls it."""

    nonfinite = 0  # logits are not seen here

    def __init__(
        self, executor: Any, api: Any, table: Array, info: ModelInfo, slots: int, as_tensor: Callable[[Array], Any]
    ) -> None:
        self._executor, self._api, self._table, self._info = executor, api, table, info
        self._as_tensor = as_tensor
        self.capacity = slots
        self._answers: dict[int, Answer] = {}  # by the executor's number
        self._numbers: dict[int, int] = {}  # turn: the executor's number

    @classmethod
    def served(cls, artifacts: Path, info: ModelInfo, slots: int, gpu: int, precision: str) -> TensorRtLlmEngine:
        """Of a build, whose engine has this precision. Raises EngineMismatchError."""
        import torch

        from stream_omni.runtime.tensorrt_runtime import machine_here

        find_plans(artifacts, "llm", machine_here(gpu))  # for this machine, and the file that was built
        check_tensorrt_llm(artifacts, "llm", version_here())
        dtype = {"fp32": torch.float32, "fp16": torch.float16}.get(precision, torch.bfloat16)
        engine = artifacts / ENGINE
        table = np.load(engine / TABLE, mmap_mode="r")
        api = import_module("tensorrt_llm.bindings.executor")
        config = api.ExecutorConfig(
            max_beam_width=1,
            max_batch_size=slots,
            # prompts are all virtual ids, which are the same for all: reuse would mix up different prompts
            kv_cache_config=api.KvCacheConfig(enable_block_reuse=False, max_tokens=slots * info.context_tokens),
            parallel_config=api.ParallelConfig(device_ids=[gpu]),
        )
        executor = api.Executor(engine, api.ModelType.DECODER_ONLY, config)
        device = torch.device("cuda", gpu)
        return cls(executor, api, table, info, slots, lambda rows: torch.from_numpy(rows).to(device, dtype))

    @property
    def active(self) -> int:
        return len(self._answers)

    @property
    def has_work(self) -> bool:
        return bool(self._answers)

    def check(self, request: TextRequest) -> None:
        """Raises as :func:`check_text_request` does."""
        check_text_request(request, self._info)

    def start(self, turn: int, request: TextRequest) -> None:
        """Take a turn in. Raises Full without a free slot, and what :meth:`check` raises."""
        self.check(request)
        if turn in self._numbers:
            raise ValueError(f"turn {turn} is already running")
        if len(self._answers) >= self.capacity:
            raise Full(self.capacity)
        answer = Answer(turn, request, self._info.context_tokens)
        number = self._executor.enqueue_request(self._request(answer))
        self._answers[number], self._numbers[turn] = answer, number

    def cancel(self, turn: int) -> None:
        """Free a turn's slot at once; a turn that is already over is ignored."""
        if turn in self._numbers:
            self._release(self._numbers[turn])

    def step(self) -> list[Event]:
        """What has come of all turns, after a short wait where nothing has."""
        events = []
        for response in self._executor.await_responses(timeout=timedelta(milliseconds=WAIT_MS)):
            answer = self._answers.get(response.request_id)
            if answer is None:  # over, or cancelled: the executor's last words
                continue
            event = self._event(answer, response)
            if event.finish:
                self._release(response.request_id)
            events.append(event)
        return events

    def _event(self, answer: Answer, response: Any) -> Event:
        if response.has_error():
            log.error("turn %d failed: %s", answer.turn, response.error_msg)  # its words may hold paths
            return Event(answer.turn, finish="error", message="the LLM engine failed")
        result = response.result
        return answer.take(list(result.output_token_ids[0]), result.is_final)

    def _request(self, answer: Answer) -> Any:
        """No end id: the executor would leave it out of what it gives, and an answer may end with several."""
        api, request = self._api, answer.request
        return api.Request(
            input_token_ids=virtual_ids(len(request.ids), self._info.vocabulary.text_size),
            max_tokens=answer.room,
            streaming=True,
            sampling_config=self._sampling(request),
            output_config=api.OutputConfig(exclude_input_from_output=True),
            prompt_tuning_config=api.PromptTuningConfig(
                embedding_table=self._as_tensor(prompt_table(request, self._table))
            ),
        )

    def _sampling(self, request: TextRequest) -> Any:
        if not request.temperature:
            return self._api.SamplingConfig(beam_width=1, top_k=1)
        return self._api.SamplingConfig(
            beam_width=1, top_p=request.top_p, temperature=request.temperature, seed=request.seed
        )

    def _release(self, number: int) -> None:
        """An answer that ended by our rules may have a step under way, whose result is dropped."""
        answer = self._answers.pop(number)
        del self._numbers[answer.turn]
        self._executor.cancel_request(number)
