"""The stacks against what the reference recorded, however the positions are cut into runs and put into batches."""

from __future__ import annotations

import numpy as np
import pytest

from stream_omni.graphs import WINDOW_TOKENS
from stream_omni.model_info import ModelInfo, Rope
from stream_omni.networks.llama import rope_frequencies
from stream_omni.runtime.session import Array, Session
from stream_omni.runtime.torch_runtime import TorchRuntime
from tests.recorded_turns import recorded, torch_runtime

CAPACITY = 192
WHOLE, CHUNKED, STEPPED = "in one run", "32 and the rest", "32, then one by one"


@pytest.fixture(scope="module")
def runtime(tiny_checkpoint):
    return torch_runtime(tiny_checkpoint)


def new_caches(info: ModelInfo, layers: int, batch: int = 1) -> list[Array]:
    shape = (batch, info.llama.kv_heads, CAPACITY, info.llama.head_size)
    return [np.zeros(shape, np.float32) for _ in range(2 * layers)]


def cut(length: int, how: str) -> list[slice]:
    begins = {WHOLE: [0], CHUNKED: [0, 32], STEPPED: [0, *range(32, length)]}[how]
    return [slice(a, b) for a, b in zip(begins, [*begins[1:], length], strict=True)]


def positions(span: slice) -> Array:
    return np.arange(span.start, span.stop)[None]


def run_bottom(runtime: TorchRuntime, ids: Array, how: str) -> dict[str, Array]:
    session, caches = runtime.session("speech_bottom"), new_caches(runtime.info, runtime.info.llama.bottom_layers)
    runs = [session.run({"ids": ids[:, s], "positions": positions(s)}, caches) for s in cut(ids.shape[1], how)]
    return {name: np.concatenate([run[name] for run in runs], 1)[0] for name in runs[0]}


def run_llm(runtime: TorchRuntime, ids: Array, embeds: Array, how: str) -> tuple[dict[str, Array], list[Array]]:
    """The last run's outputs, and the caches; all runs before it ask for no logits."""
    session, caches = runtime.session("llm"), new_caches(runtime.info, runtime.info.llama.llm_layers)
    for s in cut(ids.shape[1], how):
        rows = np.arange(1 if s.stop == ids.shape[1] else 0)
        out = session.run({"ids": ids[:, s], "embeds": embeds[:, s], "positions": positions(s), "rows": rows}, caches)
    return out, caches


def top_inputs(hidden: Array, window: list[int], window_positions: list[int]) -> dict[str, Array]:
    padding = [0] * (WINDOW_TOKENS - len(window))
    return {
        "hidden": hidden[None],
        "rows": np.array([0]),
        "window_ids": np.array([window + padding]),
        "window_positions": np.array([window_positions + padding]),
        "window_length": np.array([len(window)]),
    }


@pytest.mark.parametrize("how", [WHOLE, CHUNKED, STEPPED])
@pytest.mark.parametrize("name", ["s2s", "s2t", "asr_only"])
def test_the_bottom_stack_hears_what_was_recorded(runtime, name, how):
    fields, arrays = recorded(name)
    ids = fields["prompt_ids"][: len(arrays["bottom_output"])]
    found = run_bottom(runtime, np.array([ids]), how)
    assert np.abs(found["hidden"] - arrays["bottom_output"]).max() < 1e-4
    assert found["ctc_ids"][:, 0].tolist() == fields["ctc_ids"]
    assert (found["ctc_values"][:, 0] >= found["ctc_values"][:, 1]).all()
    if "soft_embeds" in arrays:
        assert np.abs(found["soft_embeds"] - arrays["soft_embeds"]).max() < 1e-4


def test_a_step_gives_what_the_prompts_pass_gives(runtime):
    ids, at = np.array([[128000, 882, 128260]]), np.arange(3)[None]
    layers = runtime.info.llama.bottom_layers
    prompt = runtime.session("speech_bottom").run({"ids": ids, "positions": at}, new_caches(runtime.info, layers))
    step = runtime.session("speech_bottom_step").run({"ids": ids, "positions": at}, new_caches(runtime.info, layers))
    assert step.keys() == prompt.keys() - {"soft_embeds"}
    assert all(np.array_equal(step[name], prompt[name]) for name in step)


@pytest.mark.parametrize("how", [WHOLE, CHUNKED, STEPPED])
@pytest.mark.parametrize("name", ["t2t", "s2t"])
def test_the_llm_continues_a_prompt_as_recorded(runtime, name, how):
    fields, arrays = recorded(name)
    ids = np.array([fields["prompt_ids"]])
    if "soft_embeds" in arrays:
        ids, embeds = np.full_like(ids, -1), arrays["soft_embeds"][None]
    else:
        embeds = np.zeros((1, ids.shape[1], runtime.info.llama.hidden), np.float32)
    out, caches = run_llm(runtime, ids, embeds, how)
    assert np.abs(out["last_hidden"][0] - arrays["llm_prefill_last_hidden"]).max() < 1e-3
    top5 = fields["text_top5"]
    assert np.argsort(-out["logits"][0])[:5].tolist() == top5["ids"]
    assert np.abs(out["logits"][0, top5["ids"]] - top5["values"]).max() < 1e-3
    text, length = [], ids.shape[1]
    for _ in fields["llm_ids"]:
        text.append(int(out["logits"][0].argmax()))
        step = {"ids": np.array([text[-1:]]), "embeds": embeds[:, :1] * 0, "rows": np.array([0])}
        at = np.array([[length + len(text) - 1]])
        out = runtime.session("llm").run({**step, "positions": at}, caches)
    assert text == fields["llm_ids"]


@pytest.mark.parametrize("how", [WHOLE, CHUNKED])
@pytest.mark.parametrize("name", ["s2s", "t2s"])
def test_the_top_stack_starts_to_speak_as_recorded(runtime, name, how):
    fields, arrays = recorded(name)
    given = top_inputs(arrays["bottom_output"], fields["step0_window"], fields["step0_text_positions"])
    caches = new_caches(runtime.info, runtime.info.llama.top_layers)
    length = len(arrays["bottom_output"])
    for s in cut(length, how):
        # only the prompt's last position hears the text
        chosen = given if s.stop == length else {name: value[:0] for name, value in given.items()}
        inputs = {**chosen, "hidden": given["hidden"][:, s], "positions": positions(s)}
        out = runtime.session("speech_top").run(inputs, caches)
    assert np.abs(out["last_hidden"][0] - arrays["top_hidden_last"]).max() < 1e-3
    top5 = fields["speech_top5"][0]
    assert np.argsort(-out["logits"][0])[:5].tolist() == top5["ids"]
    assert np.abs(out["logits"][0, top5["ids"]] - top5["values"]).max() < 1e-3


def test_a_batch_of_unequal_lengths_equals_each_alone(runtime):
    random = np.random.default_rng(7)
    lengths, layers = (9, 14), runtime.info.llama.bottom_layers
    ids = random.integers(0, runtime.info.vocabulary.size, (2, max(lengths)))
    session, caches = runtime.session("speech_bottom_step"), new_caches(runtime.info, layers, batch=2)
    # the shorter one's padding writes where its next step will write again
    at = np.minimum(np.arange(max(lengths)), np.array(lengths)[:, None])
    together = session.run({"ids": ids, "positions": at}, caches)["hidden"]
    steps = np.array([[11], [12]])
    next_at = np.array(lengths)[:, None]
    stepped = session.run({"ids": steps, "positions": next_at}, caches)["hidden"]
    for i, length in enumerate(lengths):
        own = new_caches(runtime.info, layers)
        alone = session.run({"ids": ids[i : i + 1, :length], "positions": np.arange(length)[None]}, own)["hidden"]
        assert np.abs(together[i, :length] - alone[0]).max() < 1e-5
        step = session.run({"ids": steps[i : i + 1], "positions": next_at[i : i + 1]}, own)["hidden"]
        assert np.abs(stepped[i] - step[0]).max() < 1e-5


def test_the_top_stack_ignores_the_windows_padding_and_other_rows(runtime):
    random = np.random.default_rng(3)
    session, layers = runtime.session("speech_top"), runtime.info.llama.top_layers
    hidden = random.standard_normal((3, 4, runtime.info.llama.hidden)).astype(np.float32)

    def speak(chosen: list[int], padding: int) -> Array:
        inputs = {
            "hidden": hidden,
            "positions": np.tile(np.arange(4), (3, 1)),
            "rows": np.array(chosen),
            "window_ids": np.array([[40 + row, 50, padding, padding, padding] for row in chosen]),
            "window_positions": np.array([[3, 4, padding, padding, padding] for _ in chosen]),
            "window_length": np.array([2 for _ in chosen]),
        }
        return session.run(inputs, new_caches(runtime.info, layers, batch=3))["logits"]

    both, alone = speak([2, 0], padding=0), speak([2], padding=77)
    assert np.abs(both[0] - alone[0]).max() < 1e-5
    assert np.abs(both[1] - speak([0], padding=9)[0]).max() < 1e-5


def test_caches_are_updated_in_the_callers_memory_and_only_where_written(runtime):
    caches = new_caches(runtime.info, runtime.info.llama.bottom_layers)
    session: Session = runtime.session("speech_bottom_step")
    session.run({"ids": np.array([[1, 2]]), "positions": np.array([[3, 4]])}, caches)
    for cache in caches:
        written = np.abs(cache[0]).sum((0, 2)).nonzero()[0]
        assert written.tolist() == [3, 4]


def test_rope_keeps_fast_frequencies_and_divides_slow_ones():
    rope = Rope(theta=500000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_positions=8192)
    scaled = np.array(rope_frequencies(rope, 128))
    plain = np.array(rope_frequencies(Rope(theta=500000.0), 128))
    turns = 8192 * plain / (2 * np.pi)
    assert np.array_equal(scaled[turns > 4], plain[turns > 4])
    assert np.allclose(scaled[turns < 1] * 8, plain[turns < 1], rtol=1e-6)
    between = (turns > 1) & (turns < 4)
    assert between.any() and ((scaled < plain) & (scaled * 8 > plain))[between].all()
