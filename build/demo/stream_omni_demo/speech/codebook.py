"""The speech tokenizer's codebook: means that what is heard lies near to (k-means, Lloyd 1982)."""

from __future__ import annotations

import torch
from torch import Tensor

_ROUNDS = 20
_ROWS = 8192  # at once


def find_means(heard: Tensor, count: int, seed: int) -> Tensor:
    """[count, width] of ``heard`` [N, width]. Raises ValueError where there are not as many."""
    if len(heard) < count:
        raise ValueError(f"{len(heard)} moments cannot have {count} means")
    order = torch.randperm(len(heard), generator=torch.Generator().manual_seed(seed))
    means = heard[order[:count]].clone()
    for _ in range(_ROUNDS):
        nearest = torch.cat([torch.cdist(rows, means).argmin(1) for rows in torch.split(heard, _ROWS)])
        members = torch.bincount(nearest, minlength=count)
        sums = torch.zeros_like(means).index_add_(0, nearest, heard)
        # a mean that nothing is near to begins anew somewhere else
        lost = (members == 0).nonzero().squeeze(1)
        means = sums / members.clamp(min=1)[:, None]
        means[lost] = heard[order[count : count + len(lost)] if len(order) >= count + len(lost) else order[: len(lost)]]
    return means


def perplexity(units: Tensor, count: int) -> float:
    """How many units are in use, counted as if all were used alike."""
    shares = torch.bincount(units.flatten(), minlength=count) / units.numel()
    used = shares[shares > 0]
    return float(torch.exp(-(used * used.log()).sum()))
