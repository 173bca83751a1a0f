"""The speech tokenizer's training: spelling, what is heard and what is to be said again, and that it learns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from stream_omni_demo.loop import Recipe, train
from stream_omni_demo.pipeline import Workshop
from stream_omni_demo.sizes import UNIT_LEVELS
from stream_omni_demo.speech.spectrum import MEL_CHANNELS
from stream_omni_demo.speech.surroundings import augmentation
from stream_omni_demo.speech.takes_stage import open_takes
from stream_omni_demo.speech.teacher import AXES, at_times
from stream_omni_demo.speech.teacher_stage import open_heard
from stream_omni_demo.speech.tokenizer_batches import HeardMaker, Letters
from stream_omni_demo.speech.tokenizer_heads import HeadSizes
from stream_omni_demo.speech.tokenizer_network import UNIT_S, TokenizerSizes, unit_count
from stream_omni_demo.speech.tokenizer_training import TokenizerLearner, TokenizerTraining, measure
from stream_omni_demo.voices.augmentation import Augmentation, Surroundings
from stream_omni_demo.voices.cast import SMOKE_OUTPUT
from stream_omni_demo.voices.corpus import Corpus, Utterance
from stream_omni_demo.voices.stages import open_corpus

from stream_omni.audio import SAMPLE_RATE_HZ
from stream_omni.mel_clock import MelClock
from stream_omni.model_info import ModelInfo


@pytest.fixture(scope="module")
def corpus(workshop: Workshop) -> Corpus:
    return open_corpus(workshop).select(split="train")


@pytest.fixture(scope="module")
def maker(workshop: Workshop, corpus: Corpus, info: ModelInfo) -> HeardMaker:
    assert info.flow and info.vocoder
    clock = MelClock.of(info.flow, info.vocoder)
    return HeardMaker(augmentation(workshop, corpus), taught(workshop), clock, info.vocoder)


def taught(workshop: Workshop) -> dict[Utterance, NDArray[np.float16]]:
    return dict(zip(open_corpus(workshop), open_heard(workshop), strict=True))


def learner() -> TokenizerLearner:
    torch.manual_seed(0)
    heads = HeadSizes(len(UNIT_LEVELS), Letters.COUNT, AXES, MEL_CHANNELS)
    return TokenizerLearner(TokenizerSizes(UNIT_LEVELS), heads)


def test_text_is_spelled_and_heard_as_ctc_has_it():
    assert Letters.heard(np.array(Letters.of("Hello,  it's all.")))[:4] == "helo", "a letter that goes on is one"
    blanks = np.array([[letter, 0] for letter in Letters.of("Hello,  it's all.")]).flatten()
    assert Letters.heard(blanks) == "hello it's all"
    assert max(Letters.of("z")) == Letters.COUNT - 1


def test_clean_speech_is_to_be_said_as_the_vocoder_will_learn_it(workshop: Workshop, maker: HeardMaker):
    takes, everything = open_takes(workshop), open_corpus(workshop)
    heard = maker.clean([everything[take.place] for take in takes[:4]])
    for row, take in enumerate(takes[:4]):
        frames = int(heard.frames[row])
        wanted = torch.from_numpy(take.mel[: frames - 2].T.astype(np.float32))
        difference = (heard.mel[row, :, : frames - 2] - wanted).abs()
        assert float(difference[wanted > -7].mean()) < 0.1


def test_what_the_recogniser_made_of_a_moment_is_found_at_any_time():
    heard = np.repeat(np.arange(50, dtype=np.float16)[:, None], AXES, axis=1)  # one second
    found, inside = at_times(heard, np.array([-0.1, 0.01, 0.5, 0.62, 0.99, 1.2]))
    assert np.allclose(found[:, 0], [0, 0, 24.5, 30.5, 49, 49]) and found.shape == (6, AXES)
    assert inside.tolist() == [False, True, True, True, True, False]


class Quiet(Augmentation):
    """Without noise or echo, so that one can see where speech begins."""

    def draw(self, generator: np.random.Generator) -> Surroundings:
        return replace(super().draw(generator), noise=None, decay_s=None)


def test_what_is_heard_in_surroundings_is_to_be_said_at_the_same_times(
    workshop: Workshop, corpus: Corpus, info: ModelInfo
):
    assert info.flow and info.vocoder
    quiet = Quiet(SAMPLE_RATE_HZ, {"none": np.ones(1, np.float32)})
    maker = HeardMaker(quiet, taught(workshop), MelClock.of(info.flow, info.vocoder), info.vocoder)
    questions = list(corpus.select(kind="question", voice=SMOKE_OUTPUT.name))
    assert len(questions) > 2
    one, other = (maker.augmented(questions, np.random.default_rng(seed)) for seed in (0, 0))
    assert torch.equal(one.feats, other.feats)
    begins = []
    for row in range(len(questions)):
        said = one.mel[row, :, : int(one.frames[row])].mean(0)
        heard = one.feats[row, :, : int(one.feats_length[row])].mean(0)
        begins.append(
            [
                float((part > (part.max() + part.min()) / 2).nonzero()[0]) / hz
                for part, hz in ((said, 86.13), (heard, 100))
            ]
        )
        assert abs(begins[-1][0] - begins[-1][1]) < 0.05
        assert int(one.units[row]) == unit_count(int(one.feats_length[row]))
        taught_from_s = int(one.is_taught[row].nonzero()[0]) * UNIT_S
        assert abs(begins[-1][1] - taught_from_s) < 0.15, "the recogniser heard it at that time, too"
    assert max(begin for begin, _ in begins) > 0.3, "there is silence before it"


def test_it_learns_a_fixed_batch_and_is_measured(maker: HeardMaker, corpus: Corpus, tmp_path):
    trained = learner()
    training = TokenizerTraining(trained, corpus, maker, rows=4, seed=0)
    first = {name: float(loss.detach()) for name, loss in training.losses(0).items()}
    parameters = list(trained.parameters())
    train("it", parameters, lambda step: training.losses(0), Recipe(15, 2e-3, warm_up_steps=1), tmp_path / "state")
    last = {name: float(loss.detach()) for name, loss in training.losses(0).items()}
    assert all(last[name] < first[name] for name in first), (first, last)
    training.calibrate(range(15, 18))
    measured = measure(trained, list(corpus)[:6], maker)
    assert 1 < measured["units_in_use"] <= 512
    assert measured["letter_error"] > 0
