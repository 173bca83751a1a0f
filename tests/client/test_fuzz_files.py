"""Sound files of any content are read or refused: the client raises its own errors only."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from stream_omni_client import InvalidRequest
from stream_omni_client.audio import read_audio

from tests.faults.seen import Fault, slowness
from tests.fuzzing import cases

QUICK, LONG = 400, 10_000


def sound(kind: str, subtype: str | None = None) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.sin(np.arange(300) / 5) / 2, 16_000, format=kind, subtype=subtype)
    return file.getvalue()


def endless() -> bytes:
    """Two channels of infinities, which have no mean."""
    file = io.BytesIO()
    soundfile.write(file, np.float32([[np.inf, -np.inf]] * 300), 16_000, format="WAV", subtype="FLOAT")
    return file.getvalue()


FILES = [
    sound("WAV"),
    sound("WAV", "FLOAT"),
    sound("WAV", "ULAW"),
    sound("FLAC"),
    sound("OGG"),
    endless(),
    b"RIFF\0\0\0\0WAVEfmt ",
]


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    content = bytearray(draw(st.sampled_from(FILES)))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, min(len(content), 100)) | st.integers(0, len(content)))
        if draw(st.booleans()):
            content[at : at + 4] = draw(st.sampled_from([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff"]))
        else:
            content[at : at + draw(st.integers(0, 30))] = draw(st.binary(max_size=8))
    return bytes(content)


def fuzz(count: int, by_chance: bool) -> tuple[int, int]:
    """How many were refused, and read."""
    refusals = files = 0

    @cases(count, by_chance)
    @given(spoiled() | st.binary(max_size=100))
    def run(content: bytes) -> None:
        nonlocal refusals, files
        try:
            samples, rate_hz = read_audio(content)
        except InvalidRequest as refusal:
            assert "no sound file" in str(refusal)
            refusals += 1
        else:
            assert samples.dtype == np.float32 and samples.ndim == 1 and isinstance(rate_hz, int)
            files += 1

    run()
    assert min(refusals, files) > 0
    return refusals, files


def test_hostile_files() -> None:
    fuzz(QUICK, by_chance=False)


@pytest.mark.faults
def test_hostile_files_at_length() -> None:
    fault = Fault("fuzzing sound files", "client", "at random", slowness())
    refusals, files = fuzz(LONG, by_chance=True)
    fault.cases, fault.endings = refusals + files, {"refused": refusals, "read": files}
    fault.keep()
