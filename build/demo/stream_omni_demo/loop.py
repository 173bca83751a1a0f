"""The one training loop: AdamW with a warm-up and a cosine, progress with an estimate of the time left, resumable."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

_SAY_EVERY_S = 20.0
_SAVE_EVERY_S = 120.0

Losses = Mapping[str, Tensor]  # by name, each already weighted; their sum is minimised


@dataclass(frozen=True)
class Recipe:
    steps: int
    learning_rate: float
    warm_up_steps: int = 100
    weight_decay: float = 0.01
    largest_norm: float = 1.0  # of all gradients together
    last_share: float = 0.02  # of the learning rate, at the end
    rounds: int = 1  # of warm-up and cosine, one after the other: much is learnt where a round ends

    def rate_at(self, step: int) -> float:
        steps = max(1, self.steps // self.rounds)
        step %= steps
        if step < self.warm_up_steps:
            return self.learning_rate * (step + 1) / self.warm_up_steps
        done = (step - self.warm_up_steps) / max(1, steps - self.warm_up_steps)
        share = self.last_share + (1 - self.last_share) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
        return self.learning_rate * share


def train(
    name: str,
    parameters: Sequence[nn.Parameter],
    losses_of: Callable[[int], Losses],
    recipe: Recipe,
    state: Path,
    say: Callable[[str], None] = print,
) -> None:
    """Minimise ``losses_of(step)``, which draws its batch from the step's number, so that a resumed run sees what an
    uninterrupted one would have. ``state`` is the file to resume from; it is removed when the training is complete."""
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=recipe.learning_rate,
        betas=(0.9, 0.98),
    )
    begin = _resume(state, parameters, optimizer)
    if begin:
        say(f"{name}: goes on at step {begin}")
    began_s = said_s = saved_s = time.monotonic()
    seen: dict[str, float] = {}
    for step in range(begin, recipe.steps):
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate_at(step)
        optimizer.zero_grad(set_to_none=True)
        losses = losses_of(step)
        total = torch.stack(list(losses.values())).sum()
        total.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(parameters, recipe.largest_norm)
        if not bool(torch.isfinite(norm)):
            raise FloatingPointError(f"{name}: the gradient of step {step} is not finite ({dict(losses)})")
        optimizer.step()
        for key, value in losses.items():
            seen[key] = 0.98 * seen.get(key, value.item()) + 0.02 * value.item()
        now_s = time.monotonic()
        if now_s - said_s > _SAY_EVERY_S or step == recipe.steps - 1:
            left_s = (now_s - began_s) / (step + 1 - begin) * (recipe.steps - step - 1)
            shown = ", ".join(f"{key} {value:.4f}" for key, value in seen.items())
            say(f"{name}: step {step + 1} of {recipe.steps}, {shown}; {left_s / 60:.1f} minutes left")
            said_s = now_s
        if now_s - saved_s > _SAVE_EVERY_S:
            _save(state, parameters, optimizer, step + 1)
            saved_s = time.monotonic()
    state.unlink(missing_ok=True)


def _save(state: Path, parameters: Sequence[nn.Parameter], optimizer: torch.optim.Optimizer, step: int) -> None:
    state.parent.mkdir(parents=True, exist_ok=True)
    partial = state.with_suffix(".partial")
    values = [p.detach() for p in parameters]
    torch.save({"step": step, "values": values, "optimizer": optimizer.state_dict()}, partial)
    partial.replace(state)


def _resume(state: Path, parameters: Sequence[nn.Parameter], optimizer: torch.optim.Optimizer) -> int:
    """The step to go on with."""
    if not state.is_file():
        return 0
    content = torch.load(state, weights_only=True)
    for parameter, value in zip(parameters, content["values"], strict=True):
        parameter.data.copy_(value)
    optimizer.load_state_dict(content["optimizer"])
    return int(content["step"])
