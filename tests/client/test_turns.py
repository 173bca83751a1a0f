"""Turns against a real tritonserver: what goes in arrives, what comes out is typed, complete and in order."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from stream_omni_client import AudioDelta, Done, InvalidRequest, StreamOmni, TextDelta, Timings, TranscriptDelta

QUESTION = (np.linspace(-0.5, 0.5, 1600, dtype=np.float32), 16000)


def test_a_spoken_turn_streams_typed_events_in_order(client: StreamOmni) -> None:
    with client.stream(audio=QUESTION, output="speech") as stream:
        events = list(stream)
    kinds = [TranscriptDelta, TranscriptDelta, TextDelta, AudioDelta, TextDelta, AudioDelta, Done]
    assert [type(event) for event in events] == kinds
    assert [event.seq for event in events] == list(range(7))
    elapsed = [event.elapsed_s for event in events]
    assert elapsed == sorted(elapsed)
    assert elapsed[0] > 0
    audio = events[3]
    assert isinstance(audio, AudioDelta)
    assert (audio.samples.dtype, audio.units.tolist()) == (np.int16, [5, 6, 7, 8, 9])
    assert [tuple(mark) for mark in audio.marks] == [(0, 5, 0), (7, 9, 200)]
    assert audio.marks[1].start_ms == 200


def test_chat_returns_the_whole_reply(client: StreamOmni, tmp_path: Path) -> None:
    reply = client.chat(audio=QUESTION, output="speech")
    assert (reply.transcript, reply.text) == ("what is this", "Grüße, 世界")
    assert reply.done is not None
    assert (reply.finish_reason, reply.done.text_finish, reply.done.audio_finish) == ("stop", "stop", "length")
    assert reply.usage == {"prompt_tokens": 7, "text_tokens": 3}
    assert reply.timings == Timings(first_text_ms=1.5, total_ms=2)
    seen = reply.client_timings
    assert seen.first_transcript_ms is not None and seen.first_text_ms is not None and seen.total_ms is not None
    assert seen.first_transcript_ms <= seen.first_text_ms <= seen.total_ms

    assert reply.audio is not None
    assert reply.audio.duration_s == pytest.approx(0.4)
    np.testing.assert_array_equal(reply.audio.samples, np.arange(8820))
    reply.audio.save(tmp_path / "answer.wav")
    samples, rate = soundfile.read(tmp_path / "answer.wav", dtype="float32")
    assert rate == 22050
    np.testing.assert_array_equal(samples, reply.audio.numpy())


def test_a_written_turn_has_no_transcript_and_no_audio(client: StreamOmni) -> None:
    reply = client.chat("hello")
    assert (reply.transcript, reply.audio, reply.finish_reason) == ("", None, "stop")


def test_every_input_arrives_as_the_protocol_names_it(client: StreamOmni) -> None:
    effective = sent(
        client.chat(
            audio=QUESTION,
            image=[b"one", io.BytesIO(b"two")],
            output="speech",
            history=[{"role": "user", "text": "Grüß dich"}],
            system="Be brief.",
            voice="英文女",
            max_tokens=7,
            max_audio_ms=900,
            temperature=0.5,
            top_p=0.25,
            seed=2**64 - 1,
        )
    )
    audio = effective.pop("audio")
    assert (audio["type"], audio["shape"], audio["first"]) == ("float32", [1600], -0.5)
    scalars = {name: (value["type"], value["first"]) for name, value in effective.items() if isinstance(value, dict)}
    assert scalars == {
        "sample_rate": ("int32", 16000),
        "max_tokens": ("int32", 7),
        "max_audio_ms": ("int32", 900),
        "temperature": ("float32", 0.5),
        "top_p": ("float32", 0.25),
        "seed": ("uint64", 2**64 - 1),
    }
    assert {name: value for name, value in effective.items() if isinstance(value, list)} == {
        "task": ["answer"],
        "image": ["one", "two"],
        "output": ["speech"],
        "history": ['[{"role": "user", "text": "Grüß dich"}]'],
        "system": ["Be brief."],
        "voice": ["英文女"],
    }


def test_what_is_not_given_is_not_sent(client: StreamOmni) -> None:
    assert sent(client.chat("hello", image=[], voice=None)).keys() == {"task", "text", "output"}


def test_transcribe_and_speak_are_tasks_of_their_own(client: StreamOmni) -> None:
    transcribed = client.transcribe(QUESTION)
    assert (transcribed.transcript, transcribed.text) == ("what is this", "")
    assert sent(transcribed)["task"] == ["transcribe"]
    spoken = client.speak("hello", voice="default")
    assert spoken.audio is not None
    assert (sent(spoken)["task"], sent(spoken)["output"], sent(spoken)["text"]) == (["speak"], ["speech"], ["hello"])


def test_speech_and_transcripts_stream_too(client: StreamOmni) -> None:
    with client.stream_transcript(QUESTION) as stream:
        assert [type(event) for event in stream] == [TranscriptDelta, TranscriptDelta, Done]
    assert (sent(stream.reply)["task"], stream.reply.transcript) == (["transcribe"], "what is this")
    with client.stream_speech("hello", voice="default") as stream:
        assert [type(event) for event in stream] == [TextDelta, AudioDelta, TextDelta, AudioDelta, Done]
    assert (sent(stream.reply)["task"], sent(stream.reply)["voice"]) == (["speak"], ["default"])


def test_an_answer_can_be_the_next_question(client: StreamOmni) -> None:
    answer = client.chat("hello", output="speech").audio
    assert answer is not None
    assert sent(client.chat(audio=answer))["sample_rate"]["first"] == 22050


def test_the_client_refuses_what_cannot_be_sent(client: StreamOmni) -> None:
    with pytest.raises(InvalidRequest, match="max_tokens") as refused:
        client.chat("hello", max_tokens=2**40)
    assert refused.value.request_id and refused.value.__cause__ is not None
    with pytest.raises(InvalidRequest, match="no sound file") as refused:
        client.transcribe(b"no sound")
    assert refused.value.request_id
    with pytest.raises(InvalidRequest, match="temperature"):
        client.chat("hello", temperature=[0.1, 0.2])  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="seed"):
        client.chat("hello", seed=-1)
    with pytest.raises(InvalidRequest, match="text"):
        client.chat("\udcff")
    with pytest.raises(TypeError, match="unknown option volume"):
        client.chat("hello", volume=3)  # type: ignore[call-arg]
    with pytest.raises(InvalidRequest, match="host:port"):
        StreamOmni("http://localhost:8001")


def test_voices_info_and_readiness(client: StreamOmni) -> None:
    assert client.voices() == ["default", "英文女"]
    assert client.info()["version"] == "test"
    assert client.ready()


def sent(reply: Any) -> dict[str, Any]:
    """The inputs as the server saw them."""
    return dict(reply.done.effective)
