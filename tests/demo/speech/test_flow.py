"""The flow's training: windows on the mel's clock, what is known of them, and that it learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from stream_omni_demo.loop import Recipe, train
from stream_omni_demo.speech import flow_learner
from stream_omni_demo.speech.flow_learner import UNCONDITIONAL_SHARE, Draw, FlowLearner, initial_tensors
from stream_omni_demo.speech.flow_training import FlowTraining, measure
from stream_omni_demo.speech.flow_windows import Spoken, WindowMaker, Windows

from stream_omni.mel_clock import MelClock
from stream_omni.model_info import ModelInfo


@pytest.fixture(scope="module")
def utterances(info: ModelInfo) -> list[Spoken]:
    """Whose units and frames count up, so that one sees where they come from."""
    assert info.flow and info.vocoder
    clock = MelClock.of(info.flow, info.vocoder)
    found = []
    for number, units in enumerate((12, 25, 40, 41, 41, 60, 90)):
        frames = np.arange(clock.frames(units), dtype=np.float32) + 1000 * number
        found.append(Spoken(np.arange(units), np.repeat(frames[None], 80, axis=0)))
    return found


def test_windows_lie_where_the_clock_puts_them(utterances: list[Spoken], info: ModelInfo):
    assert info.flow and info.vocoder
    maker, clock = WindowMaker(utterances, info.flow, info.vocoder), MelClock.of(info.flow, info.vocoder)
    seen, firsts = set(), set()
    for step in range(60):
        windows = maker.batch(np.random.default_rng(step), 5)
        rows, units = windows.units.shape
        assert windows.mel.shape == (rows, 80, windows.left.shape[1])
        for row in range(rows):
            first, frame = int(windows.units[row, 0]), int(windows.mel[row, 0, 0])
            number = frame // 1000
            whole = len(utterances[number].units) == units
            places = clock.whole(units) if whole and units > 40 else clock.window(first, units)
            assert frame % 1000 == clock.frames(first)
            assert windows.units[row].tolist() == list(range(first, first + units))
            assert windows.mel.shape[2] == clock.frames(first + units) - clock.frames(first)
            if not whole:
                np.testing.assert_array_equal(windows.left[row], places.left)
                np.testing.assert_array_equal(windows.weight[row], places.weight)
            seen.add(whole)
            firsts.add(first)
        assert torch.equal(windows.known.sum(2), windows.known.cumprod(2).sum(2)), "known frames come first"
    assert seen == {True, False}
    assert len(firsts) > 5


def test_a_quarter_of_the_rows_know_what_a_streamed_chunk_knows(utterances: list[Spoken], info: ModelInfo):
    assert info.flow and info.vocoder
    maker, shares = WindowMaker(utterances[-2:], info.flow, info.vocoder), []
    settled = []
    for step in range(200):
        known = maker.batch(np.random.default_rng(step), 4).known
        shares += known.float().mean((1, 2)).tolist()
        settled += (known.sum((1, 2)) == 53).tolist()  # 34 of the context and 19 that the vocoder heard
    assert 0.4 < np.mean([share > 0 for share in shares]) < 0.6
    assert 0.15 < np.mean(settled) < 0.3


def test_times_are_spread_and_a_fifth_is_told_nothing():
    draw = Draw.of(np.random.default_rng(0), torch.Size((500, 80, 2)))
    angle = torch.arccos(1 - draw.time) * 2 / torch.pi
    assert torch.equal(torch.bincount((angle * 500).long().clamp(max=499), minlength=500).clamp(max=3), torch.ones(500))
    assert abs(float(draw.given.mean()) - (1 - UNCONDITIONAL_SHARE)) < 0.06


def test_untold_rows_hang_on_nothing_that_is_told(
    utterances: list[Spoken], info: ModelInfo, monkeypatch: pytest.MonkeyPatch
):
    assert info.flow and info.vocoder
    monkeypatch.setattr(flow_learner, "SPREAD", 1.0)  # else what they are to learn hangs on the mean of what is told
    windows = WindowMaker(utterances, info.flow, info.vocoder).batch(np.random.default_rng(1), 4)
    draw = Draw.of(np.random.default_rng(1), windows.mel.shape)
    untold = Draw(draw.noise, draw.time, torch.zeros_like(draw.given))
    tensors, learner = initial_tensors(info, torch.zeros(80), 0), FlowLearner(info)
    other = Windows(**{**vars(windows), "units": windows.units.flip(1), "known": ~windows.known})
    with torch.no_grad():
        losses = [tensors.run(learner, w, untold, torch.randn(192))["velocity"] for w in (windows, other)]
    assert losses[0] == losses[1]


def test_it_learns_a_fixed_batch_from_the_mean_on(info: ModelInfo, tmp_path):
    assert info.flow and info.vocoder
    generator, clock = np.random.default_rng(0), MelClock.of(info.flow, info.vocoder)
    mean = generator.normal(-6, 2, 80).astype(np.float32)
    said = [
        Spoken(generator.integers(0, 512, 20), mean[:, None] + generator.normal(0, 1, (80, clock.frames(20))))
        for _ in range(4)
    ]
    said = [Spoken(each.units, each.mel.astype(np.float32)) for each in said]
    tensors, speaker = initial_tensors(info, torch.from_numpy(mean), 0), generator.normal(0, 1, 192).astype(np.float32)
    training = FlowTraining(info, tensors, said, speaker, rows=4, seed=0)
    first = {name: float(loss.detach()) for name, loss in training.losses(0).items()}
    assert first["mean"] < 2
    train("it", training.parameters, lambda step: training.losses(0), Recipe(12, 2e-3, warm_up_steps=1), tmp_path / "s")
    last = {name: float(loss.detach()) for name, loss in training.losses(0).items()}
    assert all(last[name] < first[name] for name in first), (first, last)
    measured = measure(info, tensors, said[:1], speaker)
    assert measured.keys() == {"sampled_error", "sampled_envelope_db", "mean_error", "mean_envelope_db"}
