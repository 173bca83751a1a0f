"""A screened head against the whole one: the same ids, or the word that it is not certain."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stream_omni.networks.screened_head import CANDIDATES, ScreenedHead
from stream_omni.weights import Weight

HIDDEN, OUTPUTS = 64, 3000


def screened(rows: np.ndarray) -> ScreenedHead:
    class Source:
        def shapes(self):
            return {"head.weight": rows.shape}

        def get(self, name):
            return rows

    head = ScreenedHead(rows.shape[1], len(rows))
    for name, origin in head.weights("head", "head").items():
        assert isinstance(origin, Weight)
        value = torch.from_numpy(np.ascontiguousarray(origin.read(Source())))
        parameter = head.get_parameter(name.removeprefix("head."))
        assert (value.shape, value.dtype) == (parameter.shape, parameter.dtype)
        parameter.data = value
    return head.requires_grad_(False)


def two_best(rows: np.ndarray, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    values, ids = torch.topk(x @ torch.from_numpy(rows).T, 2, -1)
    return ids, values


@pytest.mark.parametrize("lead", [(1,), (7,), (2, 3), (0,)])
def test_random_rows_and_states(lead: tuple[int, ...]) -> None:
    random = np.random.default_rng(0)
    rows = random.standard_normal((OUTPUTS, HIDDEN), np.float32)
    rows[5] *= 20  # a row far larger than the others, as a blank's is, must not spoil their bounds
    x = torch.from_numpy(random.standard_normal((*lead, HIDDEN), np.float32))
    ids, values, certain = screened(rows)(x)
    expected_ids, expected = two_best(rows, x)
    assert certain.all() and torch.equal(ids, expected_ids)
    assert torch.allclose(values, expected, rtol=1e-5, atol=1e-5)


def test_more_equals_than_candidates_are_not_certain() -> None:
    random = np.random.default_rng(1)
    rows = np.tile(random.standard_normal((1, HIDDEN), np.float32), (OUTPUTS, 1))
    rows += 1e-4 * random.standard_normal((OUTPUTS, HIDDEN), np.float32)  # far below what 7 bits tell apart
    x = torch.from_numpy(np.vstack([rows[0], -rows[0]]))
    assert not screened(rows)(x)[2].any()


def test_few_near_equals_are_told_apart() -> None:
    """Fewer than there are candidates: the best must be among those that are computed in full."""
    random = np.random.default_rng(2)
    rows = random.standard_normal((OUTPUTS, HIDDEN), np.float32)
    near = random.permutation(OUTPUTS)[: CANDIDATES // 2]
    direction = random.standard_normal(HIDDEN).astype(np.float32)
    rows[near] = 4 * direction + 1e-3 * random.standard_normal((len(near), HIDDEN), np.float32)
    x = torch.from_numpy(direction[None])
    ids, _, certain = screened(rows)(x)
    exact = rows.astype(np.float64) @ direction.astype(np.float64)
    assert certain.all() and set(ids[0].tolist()) == set(np.argsort(-exact)[:2].tolist())


def test_bounds_hold_where_they_are_tightest() -> None:
    """States along what rounding took from a row, where its logit is farthest from the screen's."""
    random = np.random.default_rng(3)
    rows = random.standard_normal((OUTPUTS, HIDDEN), np.float32)
    head = screened(rows)
    lost = rows - head.codes.numpy().T * head.scales.numpy()[:, None]
    x = torch.from_numpy(lost[:200] / np.linalg.norm(lost[:200], axis=1, keepdims=True))
    ids, _, certain = head(x)
    assert torch.equal(ids[certain], two_best(rows, x)[0][certain])
    assert certain.any()


def test_nothing_but_zeros_and_nan() -> None:
    rows = np.zeros((OUTPUTS, HIDDEN), np.float32)
    rows[7], rows[9] = 1.0, 2.0
    x = torch.stack([torch.ones(HIDDEN), torch.full((HIDDEN,), float("nan"))])
    ids, _, certain = screened(rows)(x)
    assert ids[0].tolist() == [9, 7] and certain.tolist() == [True, False]
