"""How much of everything: all amounts of a training, in one place."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    name: str
    seed: int = 0
    judged: bool = True  # whether a stage must pass its gate
    threads: int = 1  # of each training process; two stages can train side by side on two cores


FULL = Plan("full")
SMOKE = Plan("smoke", judged=False)  # two minutes for all stages: shows that every part runs, teaches nothing

PLANS = {plan.name: plan for plan in (FULL, SMOKE)}
