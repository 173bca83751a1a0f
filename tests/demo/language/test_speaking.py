"""The top stack in training is the served loop, all units at once: the same windows, the same logits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from stream_omni_demo.language.reading import padded
from stream_omni_demo.language.served import Trained
from stream_omni_demo.language.speaking import Prompts, Speaking, Spoken, share_said, speaking_losses
from stream_omni_demo.language.windows import counted, counts_of, disturbed, window_mask
from stream_omni_demo.trainee import Tensors

from stream_omni.model_info import ModelInfo
from stream_omni.prompt import Question, build_prompt, speech_prefill_ids
from stream_omni.runtime.session import Array
from stream_omni.speech_engine import SpeechEngine, SpeechRequest, SpeechStep
from stream_omni.speech_prompt import read_prompt
from stream_omni.tokenizer import Tokenizer, speakable_mask
from tests.demo.language.small_house import some_units

STEPS = 40


class EndsNever:
    """The top stack, with a bias that keeps the loop going and its units changing."""

    def __init__(self, session, info: ModelInfo) -> None:
        self._session, self._info = session, info
        self._units = np.random.default_rng(5).integers(0, info.vocabulary.units, 1000)
        self._calls = 0

    def run(self, inputs, caches=()):
        outputs = self._session.run(inputs, caches)
        self._calls += len(inputs["rows"])
        outputs["logits"] = outputs["logits"].copy()
        outputs["logits"][:, self._info.vocabulary.unit_offset + self._units[self._calls]] += 1000
        return outputs


def generated(
    info: ModelInfo, runtime: Trained, speakable: Array, ids: Array, text: list[int], text_in: bool
) -> tuple[Array, list[SpeechStep]]:
    prompt = read_prompt(runtime.session("speech_bottom"), info, ids)
    steps: list[SpeechStep] = []
    top = EndsNever(runtime.session("speech_top"), info)
    engine = SpeechEngine(runtime.session("speech_bottom_step"), top, info, speakable, slots=1, probe=steps.append)
    engine.start(0, SpeechRequest(prompt.hidden, prompt.keys_values, text_in, max_units=STEPS))
    engine.append(0, text, final=True)
    while engine.active:
        engine.step()
    return prompt.hidden, steps


@pytest.fixture
def cases(info, tokenizer: Tokenizer, tensors: Tensors):
    """Generations by the served loop: prompt ids, text, whether it is text-to-speech, the prompt's states, steps."""
    with torch.no_grad():  # labels that come and go, as those of a trained head
        tensors.get("audio_to_text_proj.weight")[info.vocabulary.blank] *= 3.0
    runtime = Trained(info, tensors, as_written=None)
    speakable = speakable_mask(tokenizer, info.vocabulary.text_size)
    spoken = build_prompt(tokenizer, info, Question(units=some_units(np.random.default_rng(0), 11))).spoken_ids
    eot = info.vocabulary.eot
    found = []
    for ids, text, text_in in (
        (spoken, "A blue star is on the left.", False),
        (speech_prefill_ids(tokenizer, info), "The circle is red.", True),
        (spoken, "Hello.", False),
        (speech_prefill_ids(tokenizer, info), "Hello - I see and talk. There are two stars.", True),
    ):
        text_ids = [*tokenizer.encode(text), eot]
        found.append((ids, text_ids, text_in, *generated(info, runtime, speakable, ids, text_ids, text_in)))
    return speakable, found


def test_counts_and_windows_are_the_loops(info, cases):
    speakable, found = cases
    for _, text, _, _, steps in found:
        labels = np.array([step.label for step in steps[1:]])
        counts = counts_of(counted(labels, info.vocabulary.blank))
        spoken = [i for i in text if speakable[i]]
        mask = window_mask(torch.from_numpy(counts)[None], torch.tensor([len(spoken)]), len(spoken))[0]
        assert [at.nonzero().flatten().tolist() for at in mask] == [step.window_positions for step in steps]
        assert [np.array(spoken)[at].tolist() for at in mask.numpy()] == [step.window_ids for step in steps]
    assert counts.max() >= 3, "a test with too few labels shows nothing"


def test_all_units_at_once_have_the_served_steps_logits(info, tensors: Tensors, cases):
    speakable, found = cases
    width = info.llama.hidden
    lengths = [len(hidden) - 1 for *_, hidden, _ in found]
    prompts = torch.zeros(len(found), max(lengths), width)
    spoken = torch.zeros(len(found), STEPS, width)
    runtime, counts = Trained(info, tensors, as_written=None), []
    for row, (ids, *_, steps) in enumerate(found):
        units = np.array([step.id for step in steps[:-1]])
        whole = read_prompt(runtime.session("speech_bottom"), info, np.concatenate([ids, units]))
        prompts[row, : lengths[row]] = torch.from_numpy(whole.hidden[: len(ids) - 1])
        spoken[row] = torch.from_numpy(whole.hidden[len(ids) - 1 :])
        counts.append(counts_of(counted(whole.ctc_ids[len(ids) :], info.vocabulary.blank)))
    text, text_lengths = padded([[i for i in text if speakable[i]] for _, text, *_ in found])
    answers = Spoken(
        hidden=spoken,
        lengths=torch.full((len(found),), STEPS),
        parents=torch.arange(len(found)),
        counts=torch.from_numpy(np.stack(counts)),
        text=text,
        text_lengths=text_lengths,
        targets=torch.zeros(len(found), STEPS, dtype=torch.int64),
    )

    logits = tensors.run(Speaking(info), Prompts(prompts, torch.tensor(lengths)), answers).detach()
    for row, (*_, steps) in enumerate(found):
        for at, step in enumerate(steps):
            theirs = step.logits.copy()
            theirs[step.id] -= 1000
            np.testing.assert_allclose(logits[row, at], theirs, atol=2e-4)


def test_disturbed_counts_end_nearly_where_true_ones_do():
    generator = np.random.default_rng(0)
    moves = np.zeros(60, np.bool_)
    moves[[5, 17, 30, 31, 59]] = True
    same = disturbed(moves, generator, share=0.0, units=0)
    assert same.tolist() == counts_of(moves).tolist()
    ends = set()
    for _ in range(200):
        counts = disturbed(moves, generator, share=0.2)
        assert counts[0] == 0 and len(counts) == 61 and (np.diff(counts) >= 0).all()
        ends.add(int(counts[-1]))
    assert ends == {4, 5, 6}


def test_steps_lower_the_losses(info, tensors: Tensors):
    torch.manual_seed(0)
    width, eot = info.llama.hidden, info.vocabulary.eot
    prompts = Prompts(torch.randn(2, 6, width), torch.tensor([6, 4]))
    lengths = torch.tensor([9, 5, 7])
    targets = torch.randint(info.vocabulary.unit_offset, info.vocabulary.size, (3, 9))
    targets[torch.arange(3), lengths - 1] = eot
    answers = Spoken(
        hidden=torch.randn(3, 9, width),
        lengths=lengths,
        parents=torch.tensor([1, 0, 0]),
        counts=torch.arange(9).repeat(3, 1) // 3,
        text=torch.randint(0, 100, (3, 6)),
        text_lengths=torch.tensor([6, 4, 5]),
        targets=targets,
    )
    speaking = Speaking(info)
    parameters = tensors.used_by(speaking)
    optimizer = torch.optim.AdamW(parameters, lr=5e-3)
    found = []
    assert share_said(tensors.run(speaking, prompts, answers), answers) < 0.3
    for _ in range(15):
        losses = speaking_losses(tensors.run(speaking, prompts, answers), answers)
        found.append({key: value.item() for key, value in losses.items()})
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
    assert all(found[-1][key] < 0.7 * found[0][key] for key in ("units", "end"))
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in parameters)
