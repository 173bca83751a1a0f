"""Pieces of PromQL."""

from __future__ import annotations

from dataclasses import dataclass

from stream_omni.serving.metrics import Metric


@dataclass(frozen=True)
class Scope:
    """Whose series are meant (``matchers`` of every selector), and the window that a rate is taken over."""

    matchers: str
    window: str

    def of(self, metric: Metric | str, *matchers: str, part: str = "") -> str:
        """A selector. ``part``: `_bucket`, `_sum` or `_count` of a histogram."""
        name = metric.name if isinstance(metric, Metric) else metric
        given = ", ".join(filter(None, (self.matchers, *matchers)))
        return f"{name}{part}{{{given}}}" if given else f"{name}{part}"

    def rate(self, metric: Metric | str, *matchers: str, part: str = "", by: str = "") -> str:
        """A second, summed ``by`` labels."""
        return f"sum by ({by}) (rate({self.of(metric, *matchers, part=part)}[{self.window}]))"

    def quantile(self, share: float, metric: Metric | str, *matchers: str, by: str = "") -> str:
        labels = f"le, {by}" if by else "le"
        return f"histogram_quantile({share:g}, {self.rate(metric, *matchers, part='_bucket', by=labels)})"

    def mean(self, metric: Metric | str, *matchers: str, by: str = "") -> str:
        """Of what a histogram observed. No value where nothing was."""
        total, count = (self.rate(metric, *matchers, part=part, by=by) for part in ("_sum", "_count"))
        return f"{total} / {count}"

    def share_above(self, bound: float, metric: Metric, by: str = "") -> str:
        """Of what a histogram observed: how much lay above ``bound``, one of its buckets'."""
        assert bound in metric.buckets
        below = self.rate(metric, bucket(bound), part="_bucket", by=by)
        return f"1 - {below} / {self.rate(metric, part='_count', by=by)}"

    def sum(self, metric: Metric | str, *matchers: str, by: str = "") -> str:
        return f"sum by ({by}) ({self.of(metric, *matchers)})"


def bucket(bound: float) -> str:
    """Prometheus 3 writes a whole bound `1.0`, where Triton and Prometheus 2 write `1`."""
    return f'le=~"{bound:g}|{bound:g}[.]0"' if bound == int(bound) else f'le="{bound:g}"'


def is_one_of(label: str, *values: str) -> str:
    return f'{label}=~"{"|".join(values)}"'
