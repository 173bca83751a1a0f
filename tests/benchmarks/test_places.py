"""Places as /metrics tell them."""

from __future__ import annotations

import time

import pytest

from benchmarks.askers import ServedAsker
from benchmarks.places import Places, look, read_places, wait_for
from benchmarks.questions import spoken
from stream_omni.serving.launcher import TritonServer

PAGE = """\
# HELP stream_omni_streams_active Turns
stream_omni_streams_active{stage="stream_omni"} 3.000000
stream_omni_streams_active{stage="llm"} 1.000000
stream_omni_kv_slots{stage="llm",state="free"} 7.000000
stream_omni_kv_slots{state="used",stage="llm"} 1.000000
stream_omni_kv_slots{stage="speech_top",state="used"} 2.000000
nv_inference_count{model="llm",version="1"} 12
"""


def test_the_page() -> None:
    places = read_places(PAGE)
    assert places == Places(3, {"llm": 1, "speech_top": 2})
    assert places.taken == 6


def test_another_servers_page() -> None:
    with pytest.raises(KeyError):
        read_places('nv_inference_count{model="llm",version="1"} 12\n')


def test_a_turn_takes_places_and_leaves_none(server: TritonServer) -> None:
    asker = ServedAsker(server.grpc_url)
    wait_for(server.metrics_url, lambda places: not places.taken, within_s=5)
    asker.ask(spoken(30.0)(0, 0), leave_after=2)
    began_s = time.monotonic()
    assert wait_for(server.metrics_url, lambda places: not places.taken, within_s=5) < began_s + 5
    assert look(server.metrics_url) == Places(0, {"llm": 0, "speech_top": 0})
    with pytest.raises(TimeoutError, match="turns=0"):
        wait_for(server.metrics_url, lambda places: places.turns == 1, within_s=0.05)
    asker.close()
