"""Turns by Triton's own HTTP, `generate_stream`: the same answers, errors and ends as over gRPC."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stream_omni.serving.launcher import TritonServer
from stream_omni.serving.metrics import FRONT_DOOR, STREAMS_ACTIVE
from tests.serving.http_client import HttpTurn, samples
from tests.serving.raw_client import ask, tone
from tests.serving.scrape import seconds_until

SPOKEN = {"text": "Tell me a tale", "output": "speech", "max_tokens": 20, "max_audio_ms": 2000}
ENDLESS = {"text": "again", "task": "speak", "max_audio_ms": 163_000}


@pytest.mark.parametrize("inputs", [SPOKEN, {"audio": tone(), "max_tokens": 10, "temperature": 0.8, "seed": 3}])
def test_http_answers_what_grpc_answers(server: TritonServer, inputs: dict[str, Any]) -> None:
    over_grpc = ask(server.grpc_url, **inputs)
    over_http = list(HttpTurn(server.http_url, inputs).answers())
    assert [answer["seq"] for answer in over_http] == list(range(len(over_http)))
    assert over_http[-1]["event"] == "done"
    for kind in ("transcript", "text"):
        assert "".join(a["delta"] for a in over_http if a["event"] == kind) == over_grpc.joined(kind)
    assert np.array_equal(np.concatenate([samples(answer) for answer in over_http]), over_grpc.samples)
    assert [unit for answer in over_http for unit in answer["units"]] == over_grpc.units


@pytest.mark.parametrize(
    "inputs, said",
    [
        ({"text": "hi", "max_tokens": 0}, "INVALID_ARGUMENT: "),
        ({"text": "hi", "audio": [0.5] * 1600}, "INVALID_ARGUMENT: there are both text and audio"),
        ({}, "INVALID_ARGUMENT: "),
    ],
)
def test_what_is_refused_is_refused_with_the_reason(server: TritonServer, inputs: dict[str, Any], said: str) -> None:
    (answer,) = HttpTurn(server.http_url, inputs).answers()
    assert answer["error"].startswith(said)


def test_who_leaves_gives_his_place_back(server: TritonServer) -> None:
    """Long before his answer could have been made: it is as long as speech may be."""
    turns = [HttpTurn(server.http_url, ENDLESS) for _ in range(3)]
    seconds_until(server.metrics_url, lambda now: now(STREAMS_ACTIVE, stage=FRONT_DOOR) == len(turns), 10)
    for turn in turns:
        turn.vanish()
    seconds_until(server.metrics_url, lambda now: now.in_use == 0, 2)
