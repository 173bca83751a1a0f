"""Sixteen turns at once, and readers that do not read: nobody is heard in anybody else's answer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.grpc import service_pb2

from stream_omni.assets import Assets
from stream_omni.chunk_schedule import ChunkSchedule
from stream_omni.noise import TurnNoise
from stream_omni.runtime.onnx_runtime import OnnxRuntime
from stream_omni.serving.launcher import TritonServer
from stream_omni.serving.metrics import AUDIO_SECONDS, BATCH_SIZE, STREAMS_ACTIVE
from stream_omni.speech_chunks import ChunkPlan
from stream_omni.speech_stream import SpeechStream
from stream_omni.token2wav import synthesize
from tests.serving.raw_client import Answered, ask, picture, tensors, tone
from tests.serving.scrape import Scrape, seconds_until
from tests.serving.variants import served_with

TURNS = 16
PARTS = ("_count", "_sum")  # of a histogram
READERS, UNREAD_S = 4, 30
UNREAD_BYTES_PER_SAMPLE = 6  # what the server may hold for each 16-bit sample that its client does not fetch


@pytest.fixture(scope="module")
def wide(built_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    with served_with(built_directory, tmp_path_factory.mktemp("wide"), slots=TURNS) as running:
        yield running


def mixed_turns() -> list[dict[str, Any]]:
    spoken = {"output": "speech", "max_audio_ms": 4000}
    kinds: list[dict[str, Any]] = [
        {"text": "What is this?", "image": [picture()], **spoken},
        {"audio": tone(), **spoken},
        {"audio": tone(0.6, hz=330), "image": [picture((90, 30), seed=4)], **spoken},
        {"text": "Count to ten", "temperature": 1.2, "top_p": 0.9, **spoken},
        {"text": "again", "task": "speak", "max_audio_ms": 6000},
        {"text": "Hi", "max_tokens": 40},
        {"audio": tone(2.0, hz=180), "max_tokens": 20},
        {"text": "read this", "task": "speak", "voice": "中文女", "max_audio_ms": 3000},
    ]
    return [{**kinds[number % len(kinds)], "seed": number} for number in range(TURNS)]


def test_sixteen_mixed_turns_at_once_are_what_each_is_alone(wide: TritonServer) -> None:
    turns = mixed_turns()
    alone = [ask(wide.grpc_url, **turn) for turn in turns]
    before = Scrape(wide.metrics_url)
    with ThreadPoolExecutor(TURNS) as threads:
        for order in (turns, turns[::-1]):
            together = list(threads.map(lambda turn: ask(wide.grpc_url, **turn), order))
            for one, other in zip(alone, together if order is turns else together[::-1], strict=True):
                check_same(one, other)
    after = Scrape(wide.metrics_url)
    for stage in ("llm", "speech_top", "cosyvoice_flow"):  # or it would prove nothing
        count, total = (after(BATCH_SIZE, part, stage=stage) - before(BATCH_SIZE, part, stage=stage) for part in PARTS)
        assert total > count, f"{stage} never worked for two turns at once"


def check_same(one: Answered, other: Answered) -> None:
    assert one.error is None and other.error is None
    assert other.joined("transcript") == one.joined("transcript")
    assert other.joined("text") == one.joined("text")
    assert other.units == one.units
    assert other.samples.tobytes() == one.samples.tobytes()
    assert [r["marks"] for r in other.of("audio")] == [r["marks"] for r in one.of("audio")]


def test_streamed_speech_has_as_many_samples_as_offline(wide: TritonServer, built_directory: Path) -> None:
    runtime, assets = OnnxRuntime(built_directory), Assets.load(built_directory)
    for max_audio_ms in (40, 400, 1000, 1040, 2840, 7000):  # one chunk, one chunk and a little, several
        streamed = ask(wide.grpc_url, text="again", task="speak", max_audio_ms=max_audio_ms)
        assert len(streamed.units) == max_audio_ms // 40
        offline = synthesize(runtime, assets.info, streamed.units, assets.speaker("default"), TurnNoise(0))
        assert len(streamed.samples) == len(offline)


def test_a_first_chunk_passes_the_later_chunks_that_wait(wide: TritonServer, built_directory: Path) -> None:
    """On the stage itself: long later chunks of sizes that cannot go together, then a first one."""
    assets, answered = Assets.load(built_directory), list[str]()

    def chunk(units: int, later: bool) -> dict[str, Any]:
        speech = SpeechStream(assets.info, assets.speaker("default"), 0, ChunkSchedule(units, largest_units=units))
        speech.append([1] * (units + 20))
        made = speech.next_chunk()
        assert made is not None
        plan = ChunkPlan.of(made)._replace(settled=int(later))
        return {name: made[name] for name in ("units", "speaker", "earlier", "seed")} | {"plan": plan.tensor()}

    def call(name: str, inputs: dict[str, Any]) -> None:
        with triton.InferenceServerClient(wide.grpc_url) as client:
            client.infer("cosyvoice_flow", tensors(inputs), parameters=wide.stage_secret.parameters)
            answered.append(name)

    with ThreadPoolExecutor(8) as threads:
        for number in range(6):
            threads.submit(call, f"later {number}", chunk(350 + number, later=True))
        time.sleep(0.1)  # all six are there, and one is being worked on
        assert len(answered) < 3, "too quick to prove anything"
        threads.submit(call, "first", chunk(15, later=False))
    assert len(answered) == 7 and answered.index("first") < 4


class Unread:
    """A turn whose responses its client does not fetch until it is told to."""

    def __init__(self, url: str, inputs: dict[str, Any]) -> None:
        self._client = triton.InferenceServerClient(url)
        request = service_pb2.ModelInferRequest(model_name="stream_omni")
        for tensor in tensors(inputs):
            request.inputs.append(tensor._get_tensor())
            request.raw_input_contents.append(tensor._get_content())
        self._responses = self._client._client_stub.ModelStreamInfer(iter([request]))

    def read(self, pause_s: float = 0.0) -> np.ndarray[Any, np.dtype[np.int16]]:
        """With a pause before each response."""
        found = []
        for response in self._responses:
            time.sleep(pause_s)
            assert not response.error_message
            names = [output.name for output in response.infer_response.outputs]
            found.append(np.frombuffer(response.infer_response.raw_output_contents[names.index("samples")], np.int16))
        self._client.close()
        return np.concatenate(found)


def test_readers_that_do_not_read_hold_up_nobody_and_cost_no_more_than_their_sound(wide: TritonServer) -> None:
    url, short = wide.grpc_url, {"text": "hi", "output": "speech", "max_audio_ms": 1000}
    endless = {"text": "again", "task": "speak", "max_audio_ms": 1000 * UNREAD_S}
    expected = ask(url, **endless).samples
    alone = ask(url, **short)
    memory, made_s = resident_bytes(wide), Scrape(wide.metrics_url)(AUDIO_SECONDS)
    unread = [Unread(url, endless) for _ in range(READERS)]
    seconds_until(wide.metrics_url, lambda now: now(STREAMS_ACTIVE, stage="stream_omni") == READERS, 5)
    for _ in range(3):  # while they are served, and while they are not read
        check_same(alone, ask(url, **short))
    seconds_until(
        wide.metrics_url, lambda now: now.in_use == 0, 60
    )  # they are made to their end, and free their places
    assert Scrape(wide.metrics_url)(AUDIO_SECONDS) - made_s == pytest.approx(
        READERS * UNREAD_S + 3 * len(alone.samples) / 22_050, 0.01
    )
    held = resident_bytes(wide) - memory
    assert held < UNREAD_BYTES_PER_SAMPLE * len(expected) * len(unread), held
    began_s = time.monotonic()
    check_same(alone, ask(url, **short))
    assert time.monotonic() - began_s < 2
    for reader in unread:
        assert reader.read().tobytes() == expected.tobytes()


def resident_bytes(server: TritonServer) -> int:
    """Of the server itself and of the front door: who could hold what is not read."""
    assert server.process is not None
    numbers = [server.process.pid]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if b"/stream_omni/1/model.py" in (process / "cmdline").read_bytes() and parent(process) == numbers[0]:
                numbers.append(int(process.name))
        except OSError:
            continue
    assert len(numbers) == 2
    fields = [Path(f"/proc/{number}/status").read_text().partition("VmRSS:")[2].split()[0] for number in numbers]
    return sum(int(field) * 1024 for field in fields)


def parent(process: Path) -> int:
    return int((process / "stat").read_text().rpartition(")")[2].split()[1])
