"""Through ONNX Runtime a turn's numbers are the same bytes in any company, at any capacity and however it waits."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import numpy as np
import pytest
from stream_omni_build.export import export_graphs, write_graphs
from stream_omni_build.progress import silent

from stream_omni.checkpoint import open_sources
from stream_omni.runtime import prompt_reader
from stream_omni.runtime.onnx_runtime import OnnxRuntime
from stream_omni.runtime.prefixes import Prefixes
from stream_omni.speech_engine import SpeechEngine, SpeechRequest, SpeechStep
from stream_omni.speech_prompt import read_prompt
from stream_omni.text_engine import FROM_EMBEDS, TextEngine, TextRequest, TextStep
from tests.recorded_turns import drive, speakable, spoken_case

Steps = list[tuple[bytes, ...]]
LENGTHS = (1, 2, 5, 20, 33, 40, 50, 64, 65, 77, 90, 128, 129, 130, 200, 300)


@pytest.fixture(scope="module")
def runtime(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> OnnxRuntime:
    out = tmp_path_factory.mktemp("artifacts")
    export_graphs(tiny_checkpoint, None, out)
    return OnnxRuntime(out)


def text_request(length: int) -> TextRequest:
    generator = np.random.default_rng(length)
    ids = np.where(np.arange(length) % 5 == 4, FROM_EMBEDS, generator.integers(0, 128000, length))
    embeds = generator.standard_normal((int((ids == FROM_EMBEDS).sum()), 64)).astype(np.float32)
    return TextRequest(ids, embeds, 10, (), seed=length)


def text_steps(
    runtime: OnnxRuntime, requests: list[TextRequest], slots: int, seed: int = 0, prefix_bytes: int = 0
) -> list[Steps]:
    """Every step's hidden state and logits for each request; they start at random moments."""
    found: list[Steps] = [[] for _ in requests]

    def probe(step: TextStep) -> None:
        found[step.turn].append((step.last_hidden.tobytes(), step.logits.tobytes()))

    engine = TextEngine(runtime.session("llm"), runtime.info, slots, probe, prefix_bytes)
    todo, chance = list(enumerate(requests)), random.Random(seed)
    chance.shuffle(todo)

    def between(step: int) -> None:
        while todo and engine.active < slots and (not engine.has_work or chance.random() < 0.5):
            engine.start(*todo.pop())

    drive(engine, between)
    return found


def speech_steps(
    runtime: OnnxRuntime, turns: list[tuple[SpeechRequest, list[int]]], slots: int, prefix_bytes: int = 0
) -> list[Steps]:
    """The same for speech, whose text comes in random pieces when there is company."""
    found: list[Steps] = [[] for _ in turns]

    def probe(step: SpeechStep) -> None:
        margin = np.float32(step.ctc_margin).tobytes()
        found[step.turn].append((step.last_hidden.tobytes(), step.logits.tobytes(), margin))

    sessions = runtime.session("speech_bottom_step"), runtime.session("speech_top")
    engine = SpeechEngine(*sessions, runtime.info, speakable(132352), slots, probe=probe, prefix_bytes=prefix_bytes)
    todo, chance = list(range(len(turns))), random.Random(0)
    unsent: dict[int, list[int]] = {}
    while todo or engine.active:
        while todo and engine.active < slots and (not engine.active or chance.random() < 0.3):
            turn = todo.pop()
            engine.start(turn, turns[turn][0])
            unsent[turn] = list(turns[turn][1])
        for turn, left in unsent.items():
            size = len(left) if slots == 1 else chance.choice([0, 0, 1, 3])
            engine.append(turn, left[:size], final=size >= len(left))
            del left[:size]
        engine.step()
    return found


@pytest.mark.parametrize("slots", [3, 16])
def test_text(runtime: OnnxRuntime, slots: int) -> None:
    requests = [text_request(length) for length in LENGTHS]
    alone = [text_steps(runtime, [wish], slots=1)[0] for wish in requests]
    assert text_steps(runtime, requests, slots, seed=slots) == alone


@pytest.mark.parametrize("slots", [3, 8])
def test_speech(runtime: OnnxRuntime, tiny_checkpoint: Path, slots: int) -> None:
    cases = [spoken_case(tiny_checkpoint, name) for name in ("s2s", "t2s", "s2s_img_anyres_max9", "s2s_long")]
    turns = [(dataclasses.replace(c.request, max_units=25), c.fields["llm_ids"]) for c in cases] * 2
    alone = [speech_steps(runtime, [turn], slots=1)[0] for turn in turns]
    assert speech_steps(runtime, turns, slots) == alone


@pytest.mark.parametrize("size", [17, 1000])
def test_the_cut_of_a_prompt(runtime: OnnxRuntime, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of two positions or more: what allows a common prefix to be read once for many prompts."""
    requests = [text_request(length) for length in LENGTHS if length % size != 1]
    usual = [text_steps(runtime, [wish], slots=1)[0] for wish in requests]
    monkeypatch.setattr(prompt_reader, "chunk_end", lambda begin, length, most: min(begin + size, length))
    assert [text_steps(runtime, [wish], slots=1)[0] for wish in requests] == usual


def test_the_logits_of_a_head_without_text_ids(
    runtime: OnnxRuntime, tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    out, info = tmp_path_factory.mktemp("units"), dataclasses.replace(runtime.info, only_units=True)
    write_graphs(info, open_sources(tiny_checkpoint), out, silent())
    small, generator = OnnxRuntime(out), np.random.default_rng(0)
    assert small.info.only_units
    cases = [spoken_case(tiny_checkpoint, name) for name in ("s2s", "t2s", "s2s_long")]
    for batch in (1, 2, 3, 8):
        inputs = {
            "hidden": np.stack([cases[b % 3].request.hidden[-1:] for b in range(batch)]),
            "positions": np.zeros((batch, 1), np.int64),
            "rows": np.arange(batch),
            "window_ids": generator.integers(0, 128000, (batch, 5)),
            "window_positions": np.tile(np.arange(5), (batch, 1)),
            "window_length": np.full(batch, 5),
        }
        found = []
        for built in (runtime, small):
            llama = built.info.llama
            shape = (batch, llama.kv_heads, 128, llama.head_size)
            caches = [np.zeros(shape, np.float32) for _ in range(2 * llama.top_layers)]
            found.append(built.session("speech_top").run(inputs, caches)["logits"])
        assert found[0][:, list(info.speech_ids)].tobytes() == found[1].tobytes()


@pytest.mark.parametrize("slots", [1, 8])
def test_text_after_a_beginning_that_another_turn_has_read(runtime: OnnxRuntime, slots: int) -> None:
    """Of random lengths, in and between the chunks of the turn that reads it first."""
    chance, requests = random.Random(slots), []
    for length in LENGTHS[3:]:
        wish, shared = text_request(length), chance.randrange(1, length + 1)
        rest = text_request(shared + chance.choice([1, 2, 3, 65]))
        end = int((wish.ids[:shared] == FROM_EMBEDS).sum())
        other = dataclasses.replace(
            wish,
            ids=np.concatenate([wish.ids[:shared], rest.ids]),
            embeds=np.concatenate([wish.embeds[:end], rest.embeds]),
        )
        requests += [dataclasses.replace(asked, shared_tokens=shared) for asked in (wish, other, wish)]
    alone = [text_steps(runtime, [wish], slots=1)[0] for wish in requests]
    assert text_steps(runtime, requests, slots, seed=slots, prefix_bytes=1 << 22) == alone


@pytest.mark.parametrize("slots", [1, 5])
def test_speech_after_a_beginning_that_another_turn_has_read(
    runtime: OnnxRuntime, tiny_checkpoint: Path, slots: int
) -> None:
    chance, turns = random.Random(slots), []
    for name in ("s2s", "t2s", "s2s_img_anyres_max9", "s2s_long"):
        case = spoken_case(tiny_checkpoint, name)
        asked, length = dataclasses.replace(case.request, max_units=6), len(case.request.hidden)
        for shared in (46, chance.randrange(1, length), length):
            cut = chance.randrange(shared + 1, length + 1) if shared < length else length
            shorter = dataclasses.replace(asked, hidden=asked.hidden[:cut], keys_values=asked.keys_values[:, :, :cut])
            turns += [
                (dataclasses.replace(wish, shared_tokens=shared), case.fields["llm_ids"])
                for wish in (asked, shorter, asked)
            ]
    alone = [speech_steps(runtime, [turn], slots=1)[0] for turn in turns]
    assert speech_steps(runtime, turns, slots, prefix_bytes=1 << 22) == alone


def test_a_prompts_pass_after_a_beginning_that_another_has_read(runtime: OnnxRuntime) -> None:
    session, info, generator = runtime.session("speech_bottom"), runtime.info, np.random.default_rng(0)
    prefixes = Prefixes(1 << 22)
    for length in (2, 3, 50, 64, 65, 66, 130):
        ids = generator.integers(0, 132352, length)
        for shared in {1, 46, int(generator.integers(1, length + 1)), length - 1, length}:
            others = [ids, np.append(ids[:shared], generator.integers(0, 132352, 3)), ids]
            for asked in others:
                usual = read_prompt(session, info, asked)
                found = read_prompt(session, info, asked, shared, prefixes)
                for field in dataclasses.fields(usual):
                    expected, array = getattr(usual, field.name), getattr(found, field.name)
                    assert array.tobytes() == expected.tobytes() and array.shape == expected.shape
                    assert array.flags.writeable, "what is remembered stays as it is"
