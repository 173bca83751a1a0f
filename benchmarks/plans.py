"""How much is measured: quickly for a look, or long enough to be quoted."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """Times are of sound. Rounds are of A B A B."""

    levels: tuple[int, ...]  # concurrent streams
    rounds: int
    turns: int  # counted ones of each stream and round
    least_turns: int  # of a level and round: few streams ask more turns each
    answer_s: float
    pair_rounds: int  # of comparisons of single turns
    reference_units: int
    growth_units: int
    loads: tuple[float, ...]  # arrivals, as a share of what the server can do
    load_duration_s: float
    cancels: int
    soak_turns: tuple[int, int]  # memory is compared after the first number and after both

    def turns_of(self, streams: int) -> int:
        return max(self.turns, -(-self.least_turns // streams))


PLANS = {
    # correctness of the harness only
    "smoke": Plan((1, 2), 1, 1, 1, 1.0, 1, 12, 40, (0.5,), 3.0, 2, (6, 6)),
    # minutes
    "quick": Plan((1, 2, 4, 8, 16), 2, 1, 4, 10.0, 5, 60, 1500, (0.5, 0.9), 45.0, 20, (200, 300)),
    # long enough to be quoted
    "full": Plan((1, 2, 4, 8, 16), 5, 2, 6, 10.0, 15, 150, 1500, (0.3, 0.6, 0.9, 1.2), 180.0, 100, (200, 1800)),
}
