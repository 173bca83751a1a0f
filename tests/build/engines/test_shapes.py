"""Optimisation profiles: what a deployment allows, and nothing of what it serves left out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from stream_omni_build.deployment import Deployment, read_deployment, shipped
from stream_omni_build.engines.shapes import Profile, profiles

from stream_omni.graphs import Graph, graphs
from stream_omni.speech_chunks import flow_window, vocoder_window
from stream_omni.speech_stream import SpeechStream
from tests.build.engines.tiny import Tiny


def graphs_of(deployment: Deployment, tiny: Tiny) -> Iterator[Graph]:
    described = graphs(tiny.info)
    for stage in deployment.stages.values():
        yield from (described[name] for name in stage.graphs)


def profile(tiny: Tiny, deployment: Deployment, graph: str, name: str) -> Profile:
    return next(p for p in profiles(graphs(tiny.info)[graph], tiny.info, deployment) if p.name == name)


@pytest.mark.parametrize("name", shipped())
def test_every_input_has_a_span_that_grows(name: str, tiny: Tiny) -> None:
    deployment = read_deployment(name)
    for graph in graphs_of(deployment, tiny):
        for found in profiles(graph, tiny.info, deployment):
            assert list(found.inputs) == [*(t.name for t in graph.inputs), *graph.cache_names()]
            for least, best, most in found.inputs.values():
                assert all(a <= b <= c for a, b, c in zip(least, best, most, strict=True))


def test_a_step_is_of_all_turns_and_a_prompt_alone(tiny: Tiny, deployment: Deployment) -> None:
    hidden, kv_heads, size = tiny.info.llama.hidden, tiny.info.llama.kv_heads, tiny.info.llama.head_size
    step, prompt = (profile(tiny, deployment, "llm", name) for name in ("step", "prompt"))
    assert step.inputs["embeds"] == ((1, 1, hidden), (16, 1, hidden), (16, 1, hidden))
    assert prompt.inputs["embeds"] == ((1, 2, hidden), (1, 512, hidden), (1, 512, hidden))
    assert prompt.inputs["rows"] == ((0,), (1,), (1,))
    assert step.inputs["keys_0"][2] == (16, kv_heads, 8192 + 4096, size)


def test_tiles_and_batches_are_the_deployments(tiny: Tiny, deployment: Deployment) -> None:
    side = tiny.info.vision.image_size_px
    assert profile(tiny, deployment, "vision_encoder", "tiles").inputs["pixels"].most == (8, 3, side, side)
    estimator = profile(tiny, deployment, "flow_estimator", "pieces").inputs["time"]
    assert estimator == ((2,), (2,), (8,))  # four pieces, with a condition and without


@pytest.mark.parametrize("units", [1, 2, 5, 6, 17, 40, 90, 333, 1000])
def test_every_piece_of_an_answer_fits(units: int, tiny: Tiny, deployment: Deployment) -> None:
    """Of answers of any length, made by the very schedule that serves."""
    info = tiny.info
    assert info.flow is not None
    stream = SpeechStream(info, np.zeros(info.flow.speaker_size, np.float32), 0, deployment.chunks)
    encoder = profile(tiny, deployment, "flow_encoder", "pieces").inputs
    vocoder = profile(tiny, deployment, "vocoder", "pieces").inputs["mel"]
    stream.append([unit % 7 for unit in range(units)])
    stream.finish()
    while (chunk := stream.next_chunk()) is not None:
        count, frames = flow_window(info, chunk)
        heard = vocoder_window(chunk)
        assert encoder["units"].least[1] <= count <= encoder["units"].most[1]
        assert encoder["left"].least[1] <= frames <= encoder["left"].most[1]
        assert vocoder.least[2] <= heard <= vocoder.most[2]
        mel = np.zeros((info.flow.mel_channels, frames), np.float32)  # only sizes matter here
        stream.accept({"mel": mel, "samples": np.zeros(0, np.int16), "next_phase": chunk["phase"]})
    assert stream.done
