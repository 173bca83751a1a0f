"""What ``prepare`` made is answered at once, or not at all."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stream_omni.serving.batch_drivers import AnswerDriver
from stream_omni.serving.drain_notice import DrainNotice
from stream_omni.serving.errors import DrainingError, UnauthenticatedError
from stream_omni.serving.stage_secret import StageSecret

TURN_S = 30.0
SECRET = StageSecret("word")


def driver(notice: DrainNotice) -> AnswerDriver:
    nothing: Any = None
    return AnswerDriver(nothing, 1.0, TURN_S, SECRET, notice)


def prepared(age_s: float) -> dict[str, Any]:
    made = {"turn": np.array([json.dumps({"made_s": time.monotonic() - age_s}).encode()], object)}
    return {**made, "seal": np.array([SECRET.seal(made).encode()], object)}


@pytest.fixture
def notice(tmp_path: Path) -> DrainNotice:
    return DrainNotice(tmp_path / "drain")


def test_what_is_fresh_is_taken(notice: DrainNotice) -> None:
    assert driver(notice)._open(prepared(TURN_S / 2)).keys() == {"made_s"}


def test_what_was_kept_is_refused(notice: DrainNotice) -> None:
    with pytest.raises(UnauthenticatedError, match=r"prepare made this more than 30 s ago; call turn$"):
        driver(notice)._open(prepared(TURN_S + 1))


def test_a_time_cannot_be_set_by_who_sends_it(notice: DrainNotice) -> None:
    with pytest.raises(UnauthenticatedError, match="only what prepare has made"):
        driver(notice)._open(prepared(TURN_S + 1) | {"turn": prepared(0)["turn"]})


def test_while_the_server_drains_only_turns_that_ran_go_on(notice: DrainNotice) -> None:
    """Those that had passed ``prepare`` before have reached ``answer`` before, but for a moment."""
    notice.give(time.monotonic() + 9)
    for running_s in (0, 1):
        driver(notice)._open(prepared(running_s))
    with pytest.raises(DrainingError, match=r"^DRAINING retry_after_ms=(9000|8\d\d\d): the server is about to stop"):
        driver(notice)._open(prepared(10))
