"""What counts as good enough, and how fast the rest may be used up.

The windows and rates are those of the multi-window, multi-burn-rate alerts of the SRE workbook (chapter 5): 14.4 times
the budget's pace for an hour is 2 % of a month's budget, 6 times for six hours is 5 %.
"""

from __future__ import annotations

from dataclasses import dataclass

from stream_omni.serving.metrics import FIRST_AUDIO_SECONDS


@dataclass(frozen=True)
class Objective:
    """So large a ``share`` of spoken answers must begin within ``first_audio_s``, a bucket's bound."""

    first_audio_s: float = 1.0  # a second is what a listener takes for an answer and not for a pause
    share: float = 0.95

    def __post_init__(self) -> None:
        bounds = FIRST_AUDIO_SECONDS.buckets
        if self.first_audio_s not in bounds:
            told = ", ".join(f"{bound:g}" for bound in bounds)
            raise ValueError(f"the first sound's objective is {self.first_audio_s:g} s; take a bucket's bound: {told}")
        if not 0.5 <= self.share < 1:
            raise ValueError(f"the objective's share is {self.share:g}; take one from 0.5 to below 1, such as 0.95")

    @property
    def budget(self) -> float:
        """The share that may be late."""
        return round(1 - self.share, 6)


@dataclass(frozen=True)
class Burn:
    """``rate`` times the budget's pace, over the ``long`` window, and over the ``short`` one, so that it ends soon "
    "after."""

    name: str
    rate: float
    long: str
    short: str


FAST = Burn("fast", 14.4, "1h", "5m")
SLOW = Burn("slow", 6.0, "6h", "30m")
WINDOWS = ("5m", "30m", "1h", "6h")
