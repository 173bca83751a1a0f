"""docs/realtime.md: its examples run in front of the real pipeline, and its numbers are those of the code."""

from __future__ import annotations

import re
import wave
from pathlib import Path

import pytest
from stream_omni_client.gateway.realtime.audio_formats import FORMATS
from stream_omni_client.gateway.realtime.limits import RealtimeLimits
from stream_omni_client.gateway.realtime.session_settings import ANSWER_FIELDS
from stream_omni_client.gateway.realtime.turn_detector import TurnDetection

from tests.client.gateway.gateway_process import gateway_process
from tests.client.gateway.realtime.talk import RATE_HZ, spoken_question

DOCUMENT = (Path(__file__).parents[4] / "docs" / "realtime.md").read_text(encoding="utf-8")


def test_the_examples_run(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with wave.open(str(tmp_path / "question.wav"), "wb") as file:
        file.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
        file.writeframes(spoken_question().tobytes())
    monkeypatch.chdir(tmp_path)
    written, spoken = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    with gateway_process(url) as gateway:
        for example in (written, spoken):
            exec(compile(example.replace("http://localhost:8080", gateway.url), "docs/realtime.md", "exec"), {})
    told = capsys.readouterr().out
    assert "error:" not in told and "asked:" in told and "answered:" in told
    with wave.open(str(tmp_path / "answer.wav")) as file:
        assert file.getnframes() > 0


def test_the_defaults_are_those_of_the_code() -> None:
    for name, value in vars(TurnDetection()).items():
        assert f"| `{name}` | {str(value).lower()} |" in DOCUMENT
    for name in FORMATS:
        assert f'{{"type": "{name}"' in DOCUMENT
    for name in ANSWER_FIELDS:
        assert f"`{name}`" in DOCUMENT
    limits = RealtimeLimits()
    assert (limits.idle_timeout_s, limits.session_timeout_s) == (600, 3600)
    assert "10 minutes" in DOCUMENT and "an hour" in DOCUMENT
