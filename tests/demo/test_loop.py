"""The training loop: its learning rate, and that an interruption changes nothing."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from stream_omni_demo import loop
from stream_omni_demo.loop import Recipe, train
from torch import nn


def test_a_round_warms_up_and_cools_down_and_the_next_begins_anew() -> None:
    recipe = Recipe(600, 1e-2, warm_up_steps=100, rounds=2)
    rates = [recipe.rate_at(step) for step in range(600)]
    assert rates[:300] == rates[300:]
    assert rates[99] == 1e-2 == max(rates) and rates[0] == pytest.approx(1e-4)
    assert rates[299] == pytest.approx(2e-4, rel=0.01)  # the last share
    assert all(later < earlier for earlier, later in itertools.pairwise(rates[100:300]))


def test_an_interrupted_training_ends_where_an_uninterrupted_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "_SAVE_EVERY_S", 0.0)

    def trained(state: Path, parameter: nn.Parameter, break_at: int | None = None) -> torch.Tensor:
        def losses(step: int) -> dict[str, torch.Tensor]:
            if step == break_at:
                raise KeyboardInterrupt
            return {"far": (parameter - step).square().mean()}

        train("it", [parameter], losses, Recipe(12, 0.1, warm_up_steps=3), state, lambda text: None)
        return parameter.detach()

    whole = trained(tmp_path / "whole", nn.Parameter(torch.ones(2, 2)))
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "broken", nn.Parameter(torch.ones(2, 2)), break_at=7)
    resumed = trained(tmp_path / "broken", nn.Parameter(torch.zeros(2, 2)))
    assert torch.equal(whole, resumed)
    assert not (tmp_path / "broken").exists()
