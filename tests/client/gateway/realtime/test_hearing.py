"""The real network hears when somebody speaks, in sound as clients send it."""

from __future__ import annotations

import asyncio
import io

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from stream_omni_client.gateway.realtime.audio_formats import FORMATS, PCM16, AudioFormat
from stream_omni_client.gateway.realtime.listener import Listener
from stream_omni_client.gateway.realtime.turn_detector import Change, SpeechStarted, SpeechStopped, TurnDetection
from stream_omni_client.gateway.realtime.voice_activity import RATE_HZ, VoiceActivities
from stream_omni_client.gateway.resampling import Resampler

from tests.client.gateway.realtime.talk import silence, spoken_question

ACTIVITIES = VoiceActivities()  # making a network takes longer than all of these tests


def heard(
    samples: NDArray[np.int16], detection: TurnDetection, form: AudioFormat = PCM16
) -> tuple[list[Change], Listener]:
    """``samples`` at 24 kHz, in pieces of 20 ms of the format. The listener is as it is after them."""

    async def hear() -> tuple[list[Change], Listener]:
        listener = Listener(ACTIVITIES, form, detection)
        content = form.encode(Resampler(24_000, form.rate_hz).add(samples) if form.rate_hz != 24_000 else samples)
        piece, changes = form.rate_hz // 50 * form.bytes_a_sample, list[Change]()
        for begin in range(0, len(content), piece):
            decoded = listener.decode(content[begin : begin + piece])
            changes += [change async for change in listener.hear(decoded)]
        listener.close()
        return changes, listener

    return asyncio.run(hear())


@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
def test_a_spoken_question_between_silences(form: AudioFormat) -> None:
    sound = np.concatenate([silence(0.7), spoken_question(), silence(0.8)])
    (started, stopped), _ = heard(sound, TurnDetection(), form)
    assert isinstance(started, SpeechStarted) and isinstance(stopped, SpeechStopped)
    assert 0.7 < started.at / RATE_HZ < 1.1  # the recording itself begins with some silence
    assert 2.6 + 0.5 < stopped.at / RATE_HZ < 3.5


def test_what_is_kept_begins_before_the_speech_by_the_padding() -> None:
    sound = np.concatenate([silence(2.0), spoken_question()])
    (started,), listener = heard(sound, TurnDetection(prefix_padding_ms=200))
    assert started.at - listener.buffer.begin == 0.2 * RATE_HZ
    loudness = np.abs(listener.take()[: round(0.15 * RATE_HZ)]).max()
    assert loudness < 300  # the padding is the silence before


def test_silence_hum_and_noise_are_no_speech_and_are_not_kept() -> None:
    time_s, random = np.arange(24_000 * 3) / 24_000, np.random.default_rng(1)
    hum = (np.sin(2 * np.pi * 50 * time_s) * 3000).astype(np.int16)
    noise = (random.standard_normal(len(time_s)) * 1000).astype(np.int16)
    changes, listener = heard(np.concatenate([silence(3), hum, noise]), TurnDetection(prefix_padding_ms=300))
    assert changes == []
    assert len(listener.buffer) < 0.5 * RATE_HZ


def test_a_shorter_silence_ends_it_sooner() -> None:
    sound = np.concatenate([spoken_question(), silence(1.2)])
    quick = heard(sound, TurnDetection(silence_duration_ms=200))[0][-1]
    slow = heard(sound, TurnDetection(silence_duration_ms=800))[0][-1]
    assert slow.at - quick.at == pytest.approx(0.6 * RATE_HZ, abs=0.05 * RATE_HZ)


def test_without_detection_everything_is_kept() -> None:
    async def keep() -> int:
        listener = Listener(ACTIVITIES, PCM16, None)
        assert [change async for change in listener.hear(spoken_question())] == []
        return len(listener.take())

    assert asyncio.run(keep()) == len(spoken_question())


@pytest.mark.parametrize(("form", "subtype"), [("audio/pcmu", "ULAW"), ("audio/pcma", "ALAW")])
def test_the_telephone_s_formats_are_those_of_everybody_else(form: str, subtype: str) -> None:
    samples = np.arange(-32768, 32768, dtype=np.int16)
    ours = FORMATS[form].encode(samples)
    file = io.BytesIO()
    soundfile.write(file, samples, 8000, format="RAW", subtype=subtype)
    theirs = soundfile.read(
        io.BytesIO(ours), samplerate=8000, channels=1, format="RAW", subtype=subtype, dtype="int16"
    )[0]
    assert np.array_equal(FORMATS[form].decode(ours), theirs)  # what we write means to them what it means to us
    mine, others = (FORMATS[form].decode(content).astype(int) for content in (ours, file.getvalue()))
    assert np.abs(mine - samples).max() <= np.abs(others - samples).max()  # and is as near as can be
