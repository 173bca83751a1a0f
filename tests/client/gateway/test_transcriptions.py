"""Transcripts by OpenAI's own package: whole, as text, with details, and as they come."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
from openai import OpenAI

from tests.client.gateway.conftest import MODEL

HEARD = "what is this"


def test_json(openai: OpenAI, question: Path) -> None:
    transcript = openai.audio.transcriptions.create(model=MODEL, file=question)
    assert transcript.text == HEARD
    assert transcript.usage is not None and transcript.usage.type == "duration"
    assert transcript.usage.seconds == 0.1


def test_text(openai: OpenAI, question: Path) -> None:
    transcript = openai.audio.transcriptions.create(model=MODEL, file=question, response_format="text")
    assert transcript == HEARD


def test_verbose_json(openai: OpenAI, question: Path) -> None:
    """An alias of the model's name; the language is what the caller says that it is."""
    transcript = openai.audio.transcriptions.create(
        model="whisper-1", file=question, response_format="verbose_json", language="en", temperature=0
    )
    assert (transcript.text, transcript.language, transcript.duration) == (HEARD, "en", 0.1)


def test_as_it_is_understood(openai: OpenAI, question: Path) -> None:
    *deltas, last = list(openai.audio.transcriptions.create(model=MODEL, file=question, stream=True))
    assert [event.type for event in deltas] == ["transcript.text.delta"] * 2
    assert "".join(getattr(event, "delta", "") for event in deltas) == HEARD
    assert last.type == "transcript.text.done" and last.text == HEARD


def test_files_of_many_kinds(openai: OpenAI, tmp_path: Path) -> None:
    """In memory too, and in stereo: what soundfile reads."""
    sound = np.sin(np.arange(22_050)[:, None] / 5) * [0.5, 0.25]
    for suffix in ("wav", "flac", "ogg", "mp3"):
        path = tmp_path / f"question.{suffix}"
        soundfile.write(path, sound, 22_050)
        transcript = openai.audio.transcriptions.create(
            model=MODEL, file=(path.name, path.read_bytes()), response_format="verbose_json"
        )
        assert transcript.text == HEARD
        assert abs(transcript.duration - 1) < 0.06
