"""Files of speech made piece by piece are the files of the whole, whatever the pieces were."""

from __future__ import annotations

import io
import wave

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from stream_omni_client import Audio
from stream_omni_client.gateway.resampling import Resampler
from stream_omni_client.gateway.sound_files import NO_SPEECH, SPEECH_FORMATS, whole_file

RATE_HZ = 22_050


def tone(hertz: float, seconds: float = 2.0, rate_hz: int = RATE_HZ) -> NDArray[np.int16]:
    sound: NDArray[np.int16] = (
        np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate_hz)) / rate_hz) * 16_000
    ).astype(np.int16)
    return sound


def in_pieces(name: str, samples: NDArray[np.int16], sizes: list[int]) -> bytes:
    encoder = SPEECH_FORMATS[name].encoder(RATE_HZ)
    ends = np.cumsum(sizes)
    return b"".join([*(encoder.add(piece) for piece in np.split(samples, ends)), encoder.finish()])


@pytest.mark.parametrize("name", SPEECH_FORMATS)
def test_pieces_make_the_file_of_the_whole(name: str) -> None:
    samples = tone(440)
    made = [in_pieces(name, samples, sizes) for sizes in ([], [1], [7000, 3, 9000], [100] * 400)]
    if name == "opus":  # whose streams have numbers of their own
        made = [np.round(read(name, content)[0], 3).tobytes() for content in made]
    assert len(set(made)) == 1


@pytest.mark.parametrize(("name", "rate_hz"), [("mp3", RATE_HZ), ("opus", 24_000), ("flac", RATE_HZ), ("wav", RATE_HZ)])
def test_it_is_heard_as_it_was(name: str, rate_hz: int) -> None:
    samples, found_hz = read(name, in_pieces(name, tone(440), [5000, 20_000]))
    assert found_hz == rate_hz
    assert len(samples) / rate_hz == pytest.approx(2.0, abs=0.11)  # MP3 comes in whole frames, after one of silence
    middle = samples[rate_hz // 2 : -rate_hz // 2]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert np.argmax(spectrum) * rate_hz / len(middle) == pytest.approx(440, abs=2)
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(
        16_000 / 32_768 / np.sqrt(2), rel=0.06
    )  # LAME lowers by a twentieth


@pytest.mark.parametrize("name", ["flac", "wav"])
def test_nothing_is_lost_without_compression(name: str) -> None:
    samples = tone(440)
    for content in (in_pieces(name, samples, [5000]), whole_file(Audio(samples, RATE_HZ), SPEECH_FORMATS[name])):
        np.testing.assert_array_equal(soundfile.read(io.BytesIO(content), dtype="int16")[0], samples)


def test_a_whole_wav_tells_its_length_and_a_streamed_one_the_greatest() -> None:
    samples = tone(440)
    with wave.open(io.BytesIO(whole_file(Audio(samples, RATE_HZ), SPEECH_FORMATS["wav"]))) as file:
        assert file.getnframes() == len(samples)
    streamed = in_pieces("wav", samples, [5000])
    assert streamed.count(b"RIFF") == 1 and streamed[:8] == b"RIFF\xff\xff\xff\xff"
    with wave.open(io.BytesIO(streamed)) as file:
        assert len(file.readframes(10**9)) == 2 * len(samples)


@pytest.mark.parametrize("name", SPEECH_FORMATS)
def test_no_speech_is_a_file_all_the_same(name: str) -> None:
    samples, rate_hz = read(name, whole_file(NO_SPEECH, SPEECH_FORMATS[name]))
    assert 0 < len(samples) / rate_hz < 0.1
    assert np.abs(samples).max() < 0.001


@pytest.mark.parametrize(("from_hz", "to_hz"), [(22_050, 24_000), (24_000, 16_000), (16_000, 24_000)])
def test_resampled_tones_keep_their_shape_and_place(from_hz: int, to_hz: int) -> None:
    for hertz in (100, 1000, 6000):
        resampler = Resampler(from_hz, to_hz)
        made = np.concatenate([resampler.add(tone(hertz, 0.5, from_hz)), resampler.finish()])
        assert len(made) == to_hz // 2
        ideal = np.sin(2 * np.pi * hertz * np.arange(len(made)) / to_hz) * 16_000
        inside = slice(to_hz // 100, -to_hz // 100)  # the ends meet silence
        assert np.abs(made[inside] - ideal[inside]).max() < 16_000 * 10 ** (-60 / 20)


def test_what_the_lower_rate_cannot_hold_is_gone() -> None:
    resampler = Resampler(24_000, 16_000)
    made = np.concatenate([resampler.add(tone(10_000, 0.5, 24_000)), resampler.finish()])
    assert np.abs(made[200:-200]).max() < 16_000 * 10 ** (-60 / 20)


def read(name: str, content: bytes) -> tuple[NDArray[np.float64], int]:
    if name == "pcm":
        return np.frombuffer(content, "<i2") / 32_768, 24_000
    samples, rate_hz = soundfile.read(io.BytesIO(content))
    return samples, rate_hz
