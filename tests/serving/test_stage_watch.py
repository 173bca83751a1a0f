"""What a look at a server concludes from the words with which its own turn was refused."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from stream_omni.serving import stage_watch
from stream_omni.serving.errors import StageError
from stream_omni.serving.metrics import FRONT_DOOR
from stream_omni.serving.probe import NOT_IN_TIME
from stream_omni.serving.stage_watch import PIPELINE, StageWatch

INTERNAL = "INTERNAL: the turn failed inside the server, whose log says why; send it again"
INVALID = "INVALID_ARGUMENT: cannot reshape array of size 3 into shape (2,)"
KEYLESS = "UNAUTHENTICATED: a key is needed"
LATE = "DEADLINE: llm made nothing for 60 s; send the turn again"


class Server:
    """Each turn that is asked for gets ``message``, and moves the stages of ``working``."""

    metrics_url = ""

    def __init__(self, message: str | None, *working: str, speaks: bool = True) -> None:
        self.message, self._working, self._speaks = message, working, speaks
        self.work = dict.fromkeys(PIPELINE, 1.0)

    def probe(self, timeout_s: float) -> None:
        for stage in self._working:
            self.work[stage] += 1
        if self.message is not None:
            raise ConnectionError(self.message)

    def says_anything(self, timeout_s: float) -> bool:
        return self._speaks


def watch_of(server: Server, monkeypatch: pytest.MonkeyPatch) -> StageWatch:
    def page(_: str) -> Any:
        work: Mapping[str, float] = dict(server.work)
        return SimpleNamespace(work_done=lambda: work)

    monkeypatch.setattr(stage_watch, "MetricsPage", page)
    return StageWatch(server, dict, 1.0)  # type: ignore[arg-type]


@pytest.mark.parametrize("message", ["OVERLOADED retry_after_ms=1000: full", "DRAINING retry_after_ms=1000: it ends"])
def test_a_server_that_is_full_or_stops_is_healthy(message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = watch_of(Server(message), monkeypatch)
    assert [watch.find_silent() for _ in range(3)] == [None] * 3


@pytest.mark.parametrize("message", [INTERNAL, INVALID, KEYLESS, str(StageError(FRONT_DOOR, ""))])
@pytest.mark.parametrize("working", [(), PIPELINE[:2], PIPELINE])
def test_a_front_door_that_refuses_a_turn_twice_is_blamed(
    message: str, working: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = watch_of(Server(message, *working), monkeypatch)
    assert watch.find_silent() is None
    assert watch.find_silent() == (FRONT_DOOR, f"it refuses a turn that nothing is wrong with: {message}")


def test_one_refusal_is_forgotten_when_turns_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(INTERNAL)
    watch = watch_of(server, monkeypatch)
    for message in (INTERNAL, None, INTERNAL):
        server.message = message
        assert watch.find_silent() is None


@pytest.mark.parametrize("message", [LATE, NOT_IN_TIME])
def test_a_late_turn_blames_the_first_stage_without_progress(message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert watch_of(Server(message, *PIPELINE[:3]), monkeypatch).find_silent() == (PIPELINE[3], message)
    assert watch_of(Server(message, *PIPELINE), monkeypatch).find_silent() is None, "all work: the machine is slow"


def test_what_triton_says_blames_the_first_idle_stage_else_the_front_door(monkeypatch: pytest.MonkeyPatch) -> None:
    message = "Stub process is not healthy."
    assert watch_of(Server(message, PIPELINE[0]), monkeypatch).find_silent() == (PIPELINE[1], message)
    assert watch_of(Server(message, *PIPELINE), monkeypatch).find_silent() == (FRONT_DOOR, message)


def test_a_named_stage_is_blamed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    message = str(StageError("vocoder", ""))
    assert watch_of(Server(message, *PIPELINE), monkeypatch).find_silent() == ("vocoder", message)


@pytest.mark.parametrize("message", [INTERNAL, LATE, NOT_IN_TIME])
def test_a_front_door_that_says_nothing_is_blamed_at_once(message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = watch_of(Server(message, *PIPELINE, speaks=False), monkeypatch)
    assert watch.find_silent() == (FRONT_DOOR, f"it answers nothing: {message}")
