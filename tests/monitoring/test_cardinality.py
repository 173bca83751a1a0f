"""How many series there are is known, bounded, and what docs/capacity.md reckons with."""

from __future__ import annotations

import math
import re
from pathlib import Path

from stream_omni.serving.launcher import TritonServer
from stream_omni.serving.metrics import METRICS, SUPERVISOR_METRICS, Metric
from tests.serving.scrape import Scrape

_DOCUMENT = (Path(__file__).parents[2] / "docs" / "capacity.md").read_text(encoding="utf-8")


def series(metric: Metric) -> int:
    """Of all combinations of labels, which are there from the start; a histogram has buckets, a sum and a count."""
    combinations = math.prod(len(values) for values in metric.labels.values())
    return combinations * (len(metric.buckets) + 3 if metric.buckets else 1)


def said(pattern: str) -> int:
    (found,) = re.findall(pattern, _DOCUMENT)
    return int(found.replace(",", ""))


def test_a_server_has_as_many_as_its_metrics_make_and_the_document_says(server: TritonServer) -> None:
    lines = [line for line in Scrape(server.metrics_url).text.splitlines() if line and not line.startswith("#")]
    ours = sum(line.startswith("stream_omni_") for line in lines)
    assert ours == sum(map(series, METRICS)) == said(r"(\d+) of ours and \d+ of Triton's own")
    assert len(lines) - ours <= said(r"\d+ of ours and (\d+) of Triton's own")  # some come with the first turn
    assert said(r"a server has (\d+) series") == ours + said(r"\d+ of ours and (\d+) of Triton's own")


def test_so_has_a_supervisor() -> None:
    assert said(r"its supervisor (\d+),") == sum(map(series, SUPERVISOR_METRICS))


def test_the_sums_of_the_document_are_right() -> None:
    server = said(r"a server has (\d+) series") + said(r"its supervisor (\d+),")
    envoy = said(r"an Envoy about ([\d,]+)")
    (row,) = [line for line in _DOCUMENT.splitlines() if line.startswith("| series |")]
    told = [int(cell.replace(",", "")) for cell in row.split("|")[2:-1]]
    assert told == [server * n + envoy * e for n, e in ((1, 2), (10, 2), (100, 4))] + [10 * (server * 100 + envoy * 4)]
    (samples,) = [line for line in _DOCUMENT.splitlines() if line.startswith("| samples a second")]
    assert [int(cell.replace(",", "")) for cell in samples.split("|")[2:-1]] == [round(count / 15) for count in told]
