"""The forms in which sound and pictures may be given."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image
from stream_omni_client import Audio, InvalidRequest
from stream_omni_client.audio import read_audio
from stream_omni_client.image import read_images

SAMPLES = np.array([0, 8192, -16384, 32767], np.int16)


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    path = tmp_path / "问题.wav"
    soundfile.write(path, SAMPLES, 8000)
    return path


def test_every_form_of_sound_is_the_same_sound(wav: Path) -> None:
    with wav.open("rb") as file:
        given = (wav, str(wav), wav.read_bytes(), bytearray(wav.read_bytes()), file, Audio(SAMPLES, 8000))
        forms = [read_audio(source) for source in given]
    forms += [read_audio((SAMPLES, 8000)), read_audio((SAMPLES / 32768, 8000))]
    forms += [read_audio((SAMPLES.astype(np.int32) << 16, 8000))]
    for samples, rate in forms:
        assert (samples.dtype, rate) == (np.float32, 8000)
        np.testing.assert_array_equal(samples, np.float32([0, 0.25, -0.5, 32767 / 32768]))


def test_channels_are_averaged() -> None:
    stereo = np.stack([np.ones(4, np.float32), np.zeros(4, np.float32)], axis=1)
    np.testing.assert_array_equal(read_audio((stereo, 16000))[0], np.full(4, 0.5))
    content = io.BytesIO()
    soundfile.write(content, stereo, 16000, format="WAV", subtype="FLOAT")
    np.testing.assert_array_equal(read_audio(content.getvalue())[0], np.full(4, 0.5))


def test_sound_that_is_not_finite_is_left_to_the_server(recwarn: pytest.WarningsRecorder) -> None:
    """Which refuses it and names the sample; nothing is printed here, not even of channels without a mean."""
    stereo = np.float32([[np.inf, -np.inf], [np.finfo(np.float32).max] * 2, [0.5, 0.5]])
    content = io.BytesIO()
    soundfile.write(content, stereo, 16000, format="WAV", subtype="FLOAT")
    for source in (content.getvalue(), (stereo, 16000), (stereo.astype(np.float64) * 10, 16000)):
        assert not np.isfinite(read_audio(source)[0][0])
    assert not recwarn.list


def test_sound_that_cannot_be_saved_is_said(tmp_path: Path) -> None:
    audio = Audio(SAMPLES, 8000)
    with pytest.raises(ValueError, match=r"answer\.xyz must end in one of \.wav"):
        audio.save(tmp_path / "answer.xyz")
    with pytest.raises(OSError, match=r"answer\.wav"):
        audio.save(tmp_path / "nowhere" / "answer.wav")
    audio.save(tmp_path / "answer.FLAC")
    assert read_audio(tmp_path / "answer.FLAC")[1] == 8000


def test_what_is_no_sound_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a sound")
    with pytest.raises(InvalidRequest, match=r"notes\.txt is no sound file"):
        read_audio(tmp_path / "notes.txt")
    with pytest.raises(InvalidRequest, match="uint8"):
        read_audio((np.zeros(4, np.uint8), 16000))
    with pytest.raises(InvalidRequest, match=r"\[1, 2, 3\]"):
        read_audio((np.zeros((1, 2, 3), np.float32), 16000))
    with pytest.raises(FileNotFoundError):
        read_audio(tmp_path / "absent.wav")
    for wrong in ((SAMPLES,), (SAMPLES, "8000"), (SAMPLES, None)):
        with pytest.raises(InvalidRequest, match="samples go with their rate"):
            read_audio(wrong)  # type: ignore[arg-type]
    with (tmp_path / "notes.txt").open() as text, pytest.raises(TypeError, match="a file open for bytes"):
        read_audio(text)  # type: ignore[arg-type]


def test_pictures_one_or_many(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(b"png")
    assert read_images(None) == []
    assert (
        read_images(path)
        == read_images(str(path))
        == read_images(b"png")
        == read_images(io.BytesIO(b"png"))
        == [b"png"]
    )
    assert read_images([path, bytearray(b"jpg"), memoryview(b"webp")]) == [b"png", b"jpg", b"webp"]
    with pytest.raises(TypeError, match="or a PIL image, not int"):
        read_images([3])  # type: ignore[list-item]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "CMYK"])
def test_an_image_in_memory_arrives_pixel_by_pixel(mode: str) -> None:
    picture = Image.effect_noise((31, 17), 90).convert(mode)
    (encoded,) = read_images(picture)
    arrived = Image.open(io.BytesIO(encoded))
    assert (arrived.format, arrived.mode) == ("PNG", "RGB")
    assert arrived.tobytes() == picture.convert("RGB").tobytes()
