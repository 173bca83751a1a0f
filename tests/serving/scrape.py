"""What a live server says on /metrics, and how it changes."""

from __future__ import annotations

import re
import time
import urllib.request
from collections.abc import Callable

from stream_omni.serving.metrics import KV_SLOTS, STREAMS_ACTIVE, STREAMS_WAITING, Metric

_LINE = re.compile(r"^(?P<name>stream_omni_\w+)(?:\{(?P<labels>[^}]*)\})? (?P<value>\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')

Series = tuple[str, frozenset[tuple[str, str]]]  # a name as it stands there, and labels


class Scrape:
    """One look at ``metrics_url``."""

    def __init__(self, metrics_url: str) -> None:
        with urllib.request.urlopen(f"http://{metrics_url}/metrics") as page:
            self.text = page.read().decode()
        self.values: dict[Series, float] = {
            (found["name"], frozenset(_LABEL.findall(found["labels"] or ""))): float(found["value"])
            for found in _LINE.finditer(self.text)
        }

    def __call__(self, metric: Metric, part: str = "", **labels: str) -> float:
        """The value; ``part`` "_count" or "_sum" of a histogram."""
        return self.values[metric.name + part, frozenset(labels.items())]

    def total(self, metric: Metric, part: str = "", **labels: str) -> float:
        """The sum over the labels that are not given."""
        return sum(
            value
            for (name, found), value in self.values.items()
            if name == metric.name + part and found >= set(labels.items())
        )

    @property
    def in_use(self) -> float:
        """Places, slots and chairs of the waiting room, of all stages."""
        return self.total(STREAMS_ACTIVE) + self.total(KV_SLOTS, state="used") + self.total(STREAMS_WAITING)


def seconds_until(metrics_url: str, true: Callable[[Scrape], bool], within_s: float) -> float:
    """Until a scrape is as wanted. Fails with the last one where one that began ``within_s`` after the first is not."""
    began_s = time.monotonic()
    looks = 0
    while True:
        looks += 1
        asked_s = time.monotonic() - began_s
        scrape = Scrape(metrics_url)
        if true(scrape):
            return time.monotonic() - began_s
        ours = "\n".join(line for line in scrape.text.splitlines() if _LINE.match(line) and "_bucket" not in line)
        assert asked_s < within_s, f"not so in {looks} looks in {time.monotonic() - began_s:.1f} s:\n{ours}"
        time.sleep(0.005)
