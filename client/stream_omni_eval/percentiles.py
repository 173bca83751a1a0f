"""Many numbers in a few."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Percentiles:
    """Of ``count`` values, interpolated linearly between ranks; None where there are no values."""

    count: int
    p50: float | None
    p95: float | None
    p99: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Percentiles:
        if not values:
            return cls(0, None, None, None)
        p50, p95, p99 = np.percentile(np.array(values, np.float64), [50, 95, 99]).tolist()
        return cls(len(values), p50, p95, p99)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def rounded(value: Any) -> Any:
    """JSON with five digits, which is more than any clock or ear here knows."""
    if isinstance(value, dict):
        return {str(name): rounded(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(part) for part in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value
