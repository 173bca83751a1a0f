"""The text engine on TensorRT-LLM behind the operations that the front door calls: START, POLL and CANCEL, on an
executor that takes and gives what the release documents."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from stream_omni.model_info import ModelInfo
from stream_omni.runtime.events import Batch, Event
from stream_omni.runtime.session import Array
from stream_omni.runtime.slots import Full
from stream_omni.serving.engine_operations import EngineOperations, read_text_request
from stream_omni.serving.errors import OverloadedError
from stream_omni.serving.operations import Operation
from stream_omni.tensorrt_llm_engine import TensorRtLlmEngine
from stream_omni.text_engine import TextRequest
from tests.llm_executor import ExecutorApi, FakeExecutor

HIDDEN, OWNER = 3, 8
STOPS = (7, 9)
PATIENCE_S = 10.0


@pytest.fixture
def info(voice_info: ModelInfo) -> ModelInfo:
    """Of few words and few positions."""
    vocabulary = dataclasses.replace(voice_info.vocabulary, text_size=50)
    return dataclasses.replace(voice_info, vocabulary=vocabulary, context_tokens=20)


@pytest.fixture
def executor() -> FakeExecutor:
    return FakeExecutor()


@pytest.fixture
def engine(executor: FakeExecutor, info: ModelInfo) -> TensorRtLlmEngine:
    table = np.arange(50 * HIDDEN, dtype=np.float16).reshape(50, HIDDEN)
    return TensorRtLlmEngine(executor, ExecutorApi(), table, info, 2, as_tensor=lambda rows: ("tensor", rows))


@pytest.fixture
def stage(engine: TensorRtLlmEngine) -> Iterator[Stage]:
    operations = EngineOperations(engine, read_text_request)
    yield Stage(operations)
    operations.close()


class Stage:
    """The stage ``llm`` as its callers see it."""

    def __init__(self, operations: EngineOperations) -> None:
        self._operations = operations

    def start(self, turn: int, prompt: tuple[int, ...] = (1, 2, 3), max_tokens: int = 8) -> None:
        inputs = {
            "ids": np.array(prompt),
            "embeds": np.zeros((0, HIDDEN), np.float32),
            "max_tokens": np.array([max_tokens]),
            "stop_ids": np.array(STOPS),
            "temperature": np.zeros(1, np.float32),
            "top_p": np.ones(1, np.float32),
            "seed": np.zeros(1, np.int64),
        }
        self._ask(Operation.START, turn=np.array([turn]), **inputs)

    def cancel(self, turn: int) -> None:
        self._ask(Operation.CANCEL, turn=np.array([turn]))

    def poll(self) -> list[Event]:
        found = self._ask(Operation.POLL)
        messages = tuple(message.decode() for message in found.pop("messages"))
        return list(Batch(**found, messages=messages).events())

    def until(
        self, done: Callable[[dict[int, list[int]], dict[int, Event]], bool]
    ) -> tuple[dict[int, list[int]], dict]:
        """Poll until ``done`` with the ids and the last events of all turns that were heard of."""
        ids: dict[int, list[int]] = {}
        ends: dict[int, Event] = {}
        give_up_s = time.monotonic() + PATIENCE_S
        while not done(ids, ends):
            assert time.monotonic() < give_up_s, (ids, ends)
            for event in self.poll():
                ids.setdefault(event.turn, []).extend(event.ids)
                if event.finish:
                    ends[event.turn] = event
        return ids, ends

    def _ask(self, operation: Operation, **inputs: Array) -> dict[str, Array]:
        return self._operations.answer({"op": np.array([operation]), "owner": np.array([OWNER]), **inputs})


def ended(*turns: int) -> Callable[[dict[int, list[int]], dict[int, Event]], bool]:
    return lambda ids, ends: ends.keys() >= set(turns)


def taken_in(executor: FakeExecutor, count: int) -> None:
    """By the engine's own thread."""
    give_up_s = time.monotonic() + PATIENCE_S
    while len(executor.requests) < count:
        assert time.monotonic() < give_up_s
        time.sleep(0.001)


def test_turns_answer_at_once_and_end_by_their_stop_ids_and_lengths(stage: Stage, executor: FakeExecutor) -> None:
    stage.start(5)
    stage.start(6, max_tokens=3)
    taken_in(executor, 2)
    executor.says(100, [10])
    executor.says(101, [20, 21])
    executor.says(100, [11, STOPS[1], 12])  # a step was under way when it ended
    executor.says(101, [22], last=True)
    ids, ends = stage.until(ended(5, 6))
    assert ids == {5: [10, 11, STOPS[1]], 6: [20, 21, 22]}
    assert (ends[5].finish, ends[6].finish) == ("stop", "length")
    assert sorted(executor.cancelled) == [100, 101]  # nothing of them is made any more


def test_an_answer_ends_where_the_context_does_and_the_executor_knows(stage: Stage, executor: FakeExecutor) -> None:
    stage.start(1, prompt=tuple(range(17)), max_tokens=8)
    taken_in(executor, 1)
    assert executor.requests[100].max_tokens == 3
    executor.says(100, [10, 11, 12], last=True)
    ids, ends = stage.until(ended(1))
    assert ids[1] == [10, 11, 12] and ends[1].finish == "length"


def test_a_cancel_frees_the_slot_and_what_comes_late_is_dropped(stage: Stage, executor: FakeExecutor) -> None:
    stage.start(1)
    stage.start(2)
    with pytest.raises(OverloadedError):
        stage.start(3)
    taken_in(executor, 2)
    stage.cancel(1)
    assert executor.cancelled == [100]
    stage.start(3)  # its place is there at once
    taken_in(executor, 3)
    executor.says(100, [10, 11], last=True)
    executor.says(101, [20, STOPS[0]])
    executor.says(102, [30, STOPS[0]])
    ids, _ = stage.until(ended(2, 3))
    assert ids == {2: [20, STOPS[0]], 3: [30, STOPS[0]]}
    stage.cancel(2)  # over long since
    assert executor.cancelled.count(101) == 1


def test_what_the_executor_fails_with_ends_one_turn_and_tells_nobody_its_words(
    stage: Stage, executor: FakeExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    stage.start(1)
    stage.start(2)
    taken_in(executor, 2)
    executor.fails(100, "assertion in /home/builder/batchManager.cpp")
    executor.says(101, [20, STOPS[0]])
    ids, ends = stage.until(ended(1, 2))
    assert (ends[1].finish, ends[1].message) == ("error", "the LLM engine failed")
    assert ids[2] == [20, STOPS[0]] and ends[2].finish == "stop"
    assert "batchManager.cpp" in caplog.text  # of the server's own log
    stage.start(3)


def test_a_number_that_is_in_use_and_a_prompt_that_cannot_be_are_refused(stage: Stage) -> None:
    stage.start(1)
    with pytest.raises(ValueError, match="turn 1 is already running"):
        stage.start(1)
    with pytest.raises(ValueError, match="outside the text vocabulary of 50 ids"):
        stage.start(2, prompt=(1, 50))
    with pytest.raises(ValueError, match="the prompt has 20 positions; 1 to 19 fit"):
        stage.start(2, prompt=(1,) * 20)


# --- what the executor is asked, by the engine alone


def asked(engine: TensorRtLlmEngine, executor: FakeExecutor, **changed: Any) -> Any:
    request = TextRequest(np.array([4, -1, 0]), np.full((1, HIDDEN), 7, np.float32), 8, STOPS)
    engine.start(1, dataclasses.replace(request, **changed))
    return executor.requests[100]


def test_a_prompt_is_virtual_ids_of_a_table_of_its_own(engine: TensorRtLlmEngine, executor: FakeExecutor) -> None:
    found = asked(engine, executor)
    assert found.input_token_ids == [50, 51, 52]  # beyond the vocabulary
    kind, rows = found.prompt_tuning_config.embedding_table
    assert kind == "tensor" and rows.dtype == np.float32
    assert rows.tolist() == [[12, 13, 14], [7, 7, 7], [0, 1, 2]]
    assert found.streaming and found.output_config.exclude_input_from_output
    assert found.max_tokens == 8
    assert not hasattr(found, "end_id") and not hasattr(found, "stop_words")  # which are left out of what comes


def test_temperature_0_is_greedy_and_any_other_samples_as_asked(
    engine: TensorRtLlmEngine, executor: FakeExecutor
) -> None:
    assert vars(asked(engine, executor).sampling_config) == {"beam_width": 1, "top_k": 1}
    engine.cancel(1)
    request = TextRequest(np.array([4]), np.zeros((0, HIDDEN), np.float32), 8, STOPS, 0.7, 0.9, seed=11)
    engine.start(2, request)
    sampling = {"beam_width": 1, "top_p": 0.9, "temperature": 0.7, "seed": 11}
    assert vars(executor.requests[101].sampling_config) == sampling


def test_the_engine_itself_holds_its_slots_and_numbers(engine: TensorRtLlmEngine, executor: FakeExecutor) -> None:
    """The operations ask it to, and rely on it to do so."""
    request = TextRequest(np.array([4]), np.zeros((0, HIDDEN), np.float32), 8, STOPS)
    engine.start(1, request)
    with pytest.raises(ValueError, match="turn 1 is already running"):
        engine.start(1, request)
    engine.start(2, request)
    with pytest.raises(Full):
        engine.start(3, request)
    assert (engine.active, engine.has_work, len(executor.requests)) == (2, True, 2)
    engine.cancel(1)
    engine.cancel(2)
    assert (engine.active, engine.has_work) == (0, False)
    assert executor.cancelled == [100, 101]


def test_an_argument_that_the_release_has_not_is_refused() -> None:
    with pytest.raises(TypeError, match="prompt_table"):
        ExecutorApi().Request([1], 2, prompt_table=None)
    with pytest.raises(TypeError):
        ExecutorApi().SamplingConfig(1, 1)
    with pytest.raises(AttributeError):
        ExecutorApi().GenerationRequest()
