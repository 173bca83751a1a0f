"""Loudspeaker and microphone, through the real PortAudio: a tape of ALSA's stands for the hardware."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from stream_omni_client import Audio
from stream_omni_client.speaker import PlayBuffer

from tests.client.conftest import heard_on

RAMP = np.arange(1, 4411, dtype=np.int16)  # 0.2 s, no two samples alike, none of them silence

Run = Callable[[str], str]


@pytest.fixture
def with_tape(tape: Path) -> Run:
    """Runs a program in a process of its own, for PortAudio looks for devices once."""

    def run(program: str) -> str:
        command = [sys.executable, "-c", "import numpy as np\n" + program]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30, cwd=tape).stdout

    return run


def test_pieces_are_played_one_after_the_other_without_a_gap(with_tape: Run, tmp_path: Path) -> None:
    told = with_tape(
        "from stream_omni_client import Audio\n"
        "from stream_omni_client.speaker import Speaker\n"
        "ramp = np.arange(1, 4411, dtype=np.int16)\n"
        "with Speaker() as speaker:\n"
        "    assert speaker.played_ms == 0\n"
        "    for piece in np.split(ramp, 10):\n"
        "        speaker.play(Audio(piece, 22050))\n"
        "    speaker.wait()\n"
        "    print(speaker.played_ms, speaker.stop(), speaker.played_ms)\n"
    )
    played_ms, heard_ms, after_ms = map(float, told.split())
    assert 0 < played_ms == heard_ms <= 200 and after_ms == 0
    assert ramps_in(tmp_path / "out.raw") == 1


def test_audio_plays_itself(with_tape: Run, tmp_path: Path) -> None:
    with_tape(
        "from stream_omni_client import Audio\n"
        "Audio(np.arange(1, 4411, dtype=np.int16), 22050).play()\n"
        "Audio(np.arange(1, 4411, dtype=np.int16), 22050)[:0.1].play()\n"
    )
    assert ramps_in(tmp_path / "out.raw") == 0  # the second has written over the first: each opens the device anew
    assert (heard_on(tmp_path) == RAMP[:2205]).all()


def test_the_microphone_keeps_what_it_hears_up_to_its_limit(with_tape: Run, tmp_path: Path) -> None:
    told = with_tape(
        "import time\n"
        "from stream_omni_client.microphone import Microphone\n"
        "with Microphone(longest_s=1.5) as microphone:\n"
        "    while not microphone.is_full:\n"
        "        time.sleep(0.01)\n"
        "    samples, rate = microphone.recording\n"
        "print(samples.dtype, len(samples) / rate, rate, len(np.unique(samples)) > 1000)\n"
    )
    assert told.split()[:2] == ["float32", "1.5"]
    assert told.split()[3] == "True"


def test_a_machine_without_devices_is_an_oserror(with_tape: Run, tape: Path) -> None:
    (tape / "asound.conf").write_text("pcm.absent { type hw card 99 }")
    told = with_tape(
        "from stream_omni_client import Audio\n"
        "from stream_omni_client.microphone import Microphone\n"
        "for use in (Audio(np.ones(100, np.int16), 22050).play, Microphone):\n"
        "    try:\n"
        "        use()\n"
        "    except OSError as error:\n"
        "        print(error)\n"
    )
    first, second = told.splitlines()
    assert first.startswith("the loudspeaker cannot be used: ")
    assert second.startswith("the microphone cannot be used: ")


def test_without_the_extra_it_is_named() -> None:
    program = (
        "import sys\n"
        "sys.modules['sounddevice'] = None\n"
        "from stream_omni_client import Audio\n"
        "Audio(None, 22050).play()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert (
        'ModuleNotFoundError: to play and record, sounddevice is needed: pip install "stream-omni[play' in done.stderr
    )


def test_what_waits_is_played_in_order_and_silence_is_not_counted() -> None:
    buffer = PlayBuffer()
    buffer.put(RAMP[:5])
    buffer.put(RAMP[5:8])
    assert buffer.take(4).tolist() == [1, 2, 3, 4]
    assert buffer.take(6).tolist() == [5, 6, 7, 8, 0, 0]
    assert (buffer.played, len(buffer)) == (8, 0)
    buffer.put(RAMP[:5])
    assert (buffer.clear(), buffer.played, len(buffer)) == (8, 0, 0)


def ramps_in(tape: Path) -> int:
    """How often the whole ramp was played in one piece."""
    return np.fromfile(tape, np.int16).tobytes().count(RAMP.tobytes())


def test_audio_is_cut_by_seconds() -> None:
    audio = Audio(np.arange(100, dtype=np.int16), 10)
    assert audio[1:2.5].samples.tolist() == list(range(10, 25))
    assert (audio[:0.5].duration_s, audio[9:].duration_s, audio[-2:].duration_s) == (0.5, 1.0, 2.0)
    assert (audio[:].duration_s, audio[20:].duration_s, audio[:99].sample_rate_hz) == (10.0, 0.0, 10)
    for wrong in (3, slice(0, 1, 2)):
        with pytest.raises(TypeError, match="by seconds"):
            audio[wrong]  # type: ignore[index]
    with pytest.raises(TypeError):
        list(audio)  # type: ignore[call-overload]
