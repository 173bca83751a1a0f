"""The flow's networks against the recorded cases, and batches against single runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from stream_omni.cosyvoice_checkpoint import open_flow
from stream_omni.mel_clock import MelClock
from stream_omni.model_info import ModelInfo
from stream_omni.networks import make_network
from stream_omni.networks.conformer import align_to_keys
from stream_omni.networks.weights import Network, load_weights
from stream_omni.noise import RecordedNoise

CASES = ["cosy_n1", "cosy_n10", "cosy_n38", "cosy_n41", "cosy_n100", "cosy_prompt"]


@pytest.fixture(scope="module")
def encoder(voice_info: ModelInfo, tiny_cosyvoice: Path) -> Network:
    return load("flow_encoder", voice_info, tiny_cosyvoice)


@pytest.fixture(scope="module")
def estimator(voice_info: ModelInfo, tiny_cosyvoice: Path) -> Network:
    return load("flow_estimator", voice_info, tiny_cosyvoice)


def load(graph: str, info: ModelInfo, cosyvoice: Path) -> Network:
    network = make_network(graph, info)
    load_weights(network, open_flow(cosyvoice))
    return network


def encoder_inputs(case: dict, info: ModelInfo, speaker: np.ndarray) -> list[torch.Tensor]:
    prompt_frames = case["n_prompt_frames"]
    places = MelClock.of(info.flow, info.vocoder).whole(len(case["token"]), len(case["prompt_token"]), prompt_frames)
    units = np.array([*case["prompt_token"], *case["token"]], np.int64)
    return [torch.from_numpy(a[None]) for a in (units, speaker, places.left, places.right, places.weight)]


@pytest.mark.parametrize("name", CASES)
def test_encoder_matches_the_recorded_case(name, fixtures_dir, encoder, voice_info, voices):
    case = json.loads((fixtures_dir / "cases" / f"{name}.json").read_text())
    arrays = np.load(fixtures_dir / "cases" / f"{name}.npz")
    encoder_out, speaker, mu = encoder(*encoder_inputs(case, voice_info, voices[case["speaker"]]))
    np.testing.assert_allclose(encoder_out[0], arrays["encoder_out"], atol=1e-4)
    np.testing.assert_allclose(speaker[0], arrays["spk"], atol=1e-4)
    np.testing.assert_allclose(mu[0], arrays["mu"], atol=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_estimator_matches_the_recorded_case_with_and_without_conditions(name, fixtures_dir, estimator):
    case = json.loads((fixtures_dir / "cases" / f"{name}.json").read_text())
    arrays = np.load(fixtures_dir / "cases" / f"{name}.npz")
    channels, frames = arrays["mu"].shape
    z = RecordedNoise(case["noise_seed"]).flow(0, frames, channels)
    condition = np.zeros_like(arrays["mu"])
    if case["n_prompt_frames"]:
        condition[:, : case["n_prompt_frames"]] = arrays["prompt_feat"].T
    rows = [np.stack([given, np.zeros_like(given)]) for given in (arrays["mu"], arrays["spk"], condition)]
    velocity = estimator(*(torch.from_numpy(a) for a in (np.stack([z, z]), *rows, np.zeros(2, np.float32))))
    np.testing.assert_allclose(velocity[0], arrays["est_cond0"], atol=1e-4)
    np.testing.assert_allclose(velocity[1], arrays["est_uncond0"], atol=1e-4)


@pytest.mark.parametrize(("units", "frames"), [(1, 1), (1, 3), (2, 2), (9, 31), (12, 24)])
def test_a_batch_equals_its_rows_alone(units, frames, encoder, estimator):
    torch.manual_seed(units)
    batch, mel = 3, 80
    inputs = [
        torch.randint(0, 4096, (batch, units)),
        torch.randn(batch, 192),
        torch.randint(0, units, (batch, frames)),
        torch.randint(0, units, (batch, frames)),
        torch.rand(batch, frames),
    ]
    together = encoder(*inputs)
    for row in range(batch):
        for ours, alone in zip(together, encoder(*(a[row : row + 1] for a in inputs)), strict=True):
            torch.testing.assert_close(ours[row], alone[0], atol=1e-5, rtol=0)
    inputs = [
        torch.randn(batch, mel, frames),
        together[2],
        together[1],
        torch.zeros(batch, mel, frames),
        torch.rand(batch),
    ]
    velocity = estimator(*inputs)
    assert velocity.shape == (batch, mel, frames)
    for row in range(batch):
        alone = estimator(*(a[row : row + 1] for a in inputs))[0]
        torch.testing.assert_close(velocity[row], alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("length", [1, 2, 5])
def test_relative_scores_are_read_at_the_distance_of_query_and_key(length):
    distances = torch.arange(length - 1, -length, -1).float()
    scores = distances.expand(1, 1, length, -1)
    positions = torch.arange(length).float()
    assert torch.equal(align_to_keys(scores)[0, 0], positions[:, None] - positions)
